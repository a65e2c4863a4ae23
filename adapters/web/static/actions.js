// What becomes of a text, a tap or a filled form: a run, a reply, a form to fill in, or a refusal.

import { $, announce, clone, element, keepInView, madeButton, put, putButtons, sizeText, whileBusy } from "./dom.js";
import { openForm } from "./dialogs.js";
import { draw, drawnSize, follow, forget, keep, reveal, runs, threadNode } from "./runs.js";
import { send } from "./server.js";

const feed = $("#feed");

/**
 * Sends something and shows what comes of it. ``place`` is where: it has ``thread``, ``show(result)`` for replies and
 * refusals; and where it closes behind a run ``done()``, where buttons lead out of it ``leave(action, button)``.
 */
export async function act(sent, place, files = []) {
  const result = await send({ thread: place.thread ?? null, ...sent }, files);
  if (result.gone !== undefined) forget(result.gone);
  if (result.type === "run") {
    begin(result.run, sent);
    place.done?.();
  } else if (result.type === "form" && !sent.filled) {
    openForm(result.form, place);
  } else if (result.type !== "form" && !(sent.filled && result.type === "error")) {
    place.show(result);
  }
  return result;
}

function begin(run, sent) {
  if (sent.action?.startsWith("resize:")) {
    drawnSize(run);
    draw(run);
    return;
  }
  $("#welcome").hidden = true;
  keep(run.id);
  draw(run);
  follow();
  announce("The panel is being asked.");
}

/** Presses a button that is shown in ``place``. */
export function press(place) {
  return (action, button) => {
    if (place.leave?.(action, button)) return undefined;
    const shown = action.startsWith("show:") && action.slice(5);
    if (!shown || !runs.has(shown)) return whileBusy(button, () => act({ action }, place));
    place.done?.();
    return reveal(shown);
  };
}

/** Draws a reply: its text, pictures, file and buttons. */
export function showReply(box, result, place) {
  box.classList.toggle("refused", result.type === "error");
  const text = element("div", "body prose");
  if (result.type === "error") text.setAttribute("role", "alert");
  const rows = element("div", "buttons");
  const figures = element("div", "figures");
  box.replaceChildren(text, figures, rows);
  put(text, { html: result.html });
  for (const code of text.querySelectorAll("code")) {
    if (runs.has(code.textContent)) linkToRun(code);
  }
  figures.append(...(result.pictures ?? []).map(figure));
  putButtons(rows, result.buttons ?? [], press(place));
  if (result.download) rows.before(downloadLink(result.download));
}

function figure(picture) {
  const made = clone("figure");
  const { url, alt, width, height, title } = picture;
  Object.assign($("img", made), { src: url, alt, width, height, loading: "lazy" });
  Object.assign($("a", made), { href: url, title: `${title} (open in full size)` });
  return made;
}

function downloadLink({ url, filename, bytes }) {
  const link = element("a", "download", `Download ${filename} (${sizeText(bytes)})`);
  Object.assign(link, { href: url, download: filename });
  return link;
}

function linkToRun(code) {
  const link = document.createElement("a");
  link.href = `#run-${code.textContent}`;
  code.replaceWith(link);
  link.append(code);
}

/** A new note at the end of the page, or of a thread: each reply gets one, and goes on in it. */
export function noting(thread, said) {
  return {
    thread,
    show(result) {
      $("#welcome").hidden = true;
      const note = clone("note");
      const box = thread ? $(".replies", threadNode(thread)) : feed;
      put($(".quote", note), { text: said });
      box.append(note);
      const place = {
        thread,
        show(next) {
          note.classList.toggle("error", next.type === "error");
          showReply($(".reply", note), next, place);
          if (next.type !== "error") announce($(".body", note).textContent.slice(0, 300));
          keepInView(note);
        },
        done: () => note.remove(),
      };
      place.show(result);
      keep(null);
      keepInView(note, box.closest(".thread") ?? note);
    },
  };
}

/** What opens below an answer: what each member said, who dissents, the charts. One at a time. */
export function behind(run, action, button) {
  const node = $(`#run-${run.id}`);
  const box = $(".behind", node);
  const close = () => {
    box.hidden = true;
    box.dataset.action = "";
    for (const other of node.querySelectorAll(".buttons [aria-expanded]")) other.setAttribute("aria-expanded", "false");
  };
  if (!box.hidden && box.dataset.action === action) return close();
  const place = {
    thread: run.thread,
    show(result) {
      if (box.dataset.action !== action) close();
      box.hidden = false;
      box.dataset.action = action;
      $("h3", box).textContent = button.textContent;
      box.setAttribute("aria-label", button.textContent);
      showReply($(".reply", box), result, place);
      const now = $(`[data-action="${CSS.escape(action)}"]`, $(".buttons", node));
      now?.setAttribute("aria-expanded", "true");
      announce(`${button.textContent}: shown below the answer`);
      keepInView(node, box);
    },
    done: close,
    /** From one thing that is behind the answer to another. */
    leave(next, pressed) {
      const other = /^(answers|dissent|charts):/.test(next) && next.split(":")[0] !== action.split(":")[0];
      if (other) behind(run, next, pressed);
      return other;
    },
  };
  $(".close", box).onclick = () => {
    close();
    button.focus({ preventScroll: true });
  };
  return whileBusy(button, () => act({ action }, place));
}

/** The thumbs: what comes of them is said beside them. */
export function opinions(box, thanks, run) {
  const place = {
    thread: run.thread,
    show: (result) => put(thanks, { html: result.html }),
  };
  box.replaceChildren(...run.opinion.map((button) => madeButton(button, (action, pressed) => whileBusy(pressed, async () => {
    const result = await act({ action }, place);
    if (result.type === "error") return;
    for (const other of box.children) other.setAttribute("aria-pressed", String(other.dataset.action === action));
  }))));
}
