// Runs and their threads. A run arrives whole, however far it is, and is drawn again each time; only what has changed
// is touched. HTML comes from the server, already made safe; all else is text.

import { $, announce, clone, element, keepInView, put, putButtons, whileBusy } from "./dom.js";
import { act, behind, opinions } from "./actions.js";
import { newComposer } from "./composer.js";

export const runs = new Map(); // id -> the run as it was drawn last

const feed = $("#feed");
const sizes = new Map(); // id -> whether the reader wants it long
let newest = null; // id of the run that is kept in view while it grows, until the reader scrolls

for (const moved of ["wheel", "touchmove"]) {
  window.addEventListener(moved, () => keep(null), { passive: true });
}

/** Keeps a run in view while it grows; null: none. */
export function keep(id) {
  newest = id;
}

export function threadNode(id) {
  let node = document.getElementById(`thread-${id}`);
  if (!node) {
    node = clone("thread");
    node.id = `thread-${id}`;
    node.append(newComposer(id));
    feed.append(node);
  }
  return node;
}

function runNode(run) {
  let node = document.getElementById(`run-${run.id}`);
  if (node) return node;
  node = clone("run");
  node.id = `run-${run.id}`;
  const question = $(".question", node);
  question.id = `question-${run.id}`;
  question.textContent = run.question;
  node.setAttribute("aria-labelledby", question.id);
  const files = $(":scope > .files", node);
  files.hidden = run.attachments.length === 0;
  files.append(...run.attachments.map(({ name, shortened }) => element("li", "", shortened ? `${name} (its beginning)` : name)));
  $(".behind", node).id = `behind-${run.id}`;
  $(".replies", threadNode(run.thread)).append(node);
  return node;
}

export function draw(told) {
  const before = runs.get(told.id);
  const run = asWanted(told, before);
  runs.set(run.id, run);
  const node = runNode(run);
  node.dataset.state = run.over ? run.status : run.answered ? "answered" : "running";
  node.dataset.tone = run.tone;
  $(".answer", node).setAttribute("aria-busy", String(!run.answered && !run.over));
  put($(".headline", node), { html: run.headline });
  put($(".answer > .details", node), { html: run.details });
  for (const member of run.members) drawMember($(".members", node), member, run);
  put($(".answer > .body", node), { html: run.body });
  put($(".sections", node), { html: run.sections.map(sectionHtml).join("") });
  put($(".small", node), { html: run.footer.map((line) => `<p>${line}</p>`).join("") });
  put($(".note", node), { text: run.note ?? "" });
  drawTools(node, run);
  $("form.composer", threadNode(run.thread)).hidden = [...runs.values()].some(
    (other) => other.thread === run.thread && !other.answered && !other.over,
  );
  tell(run, before);
  if (run.id === newest) keepInView(node);
}

/** An answer that the reader has made long or short stays so, whatever the server tells of it later. */
function asWanted(run, before) {
  const long = sizes.get(run.id);
  if (long === undefined || long === run.long || !before?.answered || before.long !== long) return run;
  return { ...run, body: before.body, sections: before.sections, buttons: before.buttons, long };
}

/** The reader has chosen how long an answer is to be. */
export function drawnSize(run) {
  sizes.set(run.id, run.long);
}

function sectionHtml({ title, lines }) {
  const heading = element("h3", "", title).outerHTML;
  return `<section>${heading}<ul>${lines.map((line) => `<li>${line}</li>`).join("")}</ul></section>`;
}

function drawTools(node, run) {
  const box = $(".buttons", node);
  putButtons(box, run.buttons, (action, button) => {
    if (/^(resize|again|stop):/.test(action)) pressHere(run, node, action, button);
    else behind(runs.get(run.id), action, button);
  });
  for (const button of box.querySelectorAll("button")) {
    if (!/^(answers|dissent|charts):/.test(button.dataset.action)) continue;
    button.setAttribute("aria-controls", `behind-${run.id}`);
    const open = !$(".behind", node).hidden && $(".behind", node).dataset.action === button.dataset.action;
    button.setAttribute("aria-expanded", String(open));
  }
  const opinion = $(".opinion", node);
  if (run.opinion.length && !opinion.childElementCount) opinions(opinion, $(".thanks", node), run);
}

/** A button whose reply is a word at most: it is said below the others. */
function pressHere(run, node, action, button) {
  const thanks = $(".thanks", node);
  const show = (result) => put(thanks, { html: result.html });
  return whileBusy(button, () => act({ action }, { thread: run.thread, show }));
}

function drawMember(list, member, run) {
  let item = $(`[data-id="${CSS.escape(member.id)}"]`, list);
  if (!item) {
    item = clone("member");
    item.dataset.id = member.id;
    list.append(item);
    paintSeat($(".seat", item), member);
  }
  const round = String(run.round);
  if (member.state === "thinking" && (item.dataset.state !== "thinking" || item.dataset.round !== round)) {
    // In the first round since it was asked, which a page that is opened late knows too.
    item.since = run.round <= 1 ? Date.parse(run.asked_at) : Date.now() - (member.seconds ?? 0) * 1000;
  }
  item.dataset.round = round;
  item.dataset.state = member.state;
  put($(".name", item), { text: [member.label, member.role].filter(Boolean).join(", ") });
  put($(".meta", item), { text: member.state === "thinking" ? elapsed(item) : member.meta });
}

export function drawPanel(list, panel) {
  for (const member of panel) drawMember(list, { ...member, state: "ready", role: null, meta: "" }, { round: 0 });
}

function elapsed(item) {
  return `${Math.max(0, Math.floor((Date.now() - item.since) / 1000))} s`;
}

setInterval(() => {
  for (const item of document.querySelectorAll('.run[data-state="running"] li[data-state="thinking"]')) {
    put($(".meta", item), { text: elapsed(item) });
  }
}, 500);

function paintSeat(seat, { seat: number, colour, ink }) {
  seat.textContent = number;
  seat.style.setProperty("--seat", colour);
  seat.style.setProperty("--ink-on-seat", ink);
}

/** Announces what is new about a run that goes on here. */
function tell(run, before) {
  if (!before || run.headline === before.headline) return;
  if (run.answered === before.answered && run.over === before.over && /\d done/.test(run.headline)) return;
  const node = $(`#run-${run.id}`);
  announce([$(".headline", node), $(".answer > .details", node)].map((line) => line.textContent).filter(Boolean).join(". "));
}

/** Goes to a run that is on the page. */
export function reveal(id) {
  const node = $(`#run-${id}`);
  keep(null);
  node.scrollIntoView();
  $(".question", node).focus({ preventScroll: true });
}

/** Takes runs off the page that are deleted; null: all of them. */
export function forget(ids) {
  for (const id of ids ?? [...runs.keys()]) {
    runs.delete(id);
    const node = document.getElementById(`run-${id}`);
    const thread = node?.closest(".thread");
    node?.remove();
    if (thread && !$(".run", thread)) thread.remove();
  }
  if (ids === null || ids.length) follow();
  if (!runs.size) $("#welcome").hidden = false;
}

// --- what is new of them ------------------------------------------------------------------------

let source = null;
let watched = "";

/** Follows all runs that are not over, over one connection; a connection that breaks is made anew. */
export function follow() {
  const open = [...runs.values()].filter((run) => !run.over).map((run) => run.id).join(",");
  if (open === watched) return;
  source?.close();
  watched = open;
  source = open ? new EventSource(`/api/events?runs=${open}`) : null;
  if (!source) return;
  source.onmessage = (message) => {
    const run = JSON.parse(message.data);
    if (run.gone) forget(run.gone.filter((id) => runs.has(id))); // deleted in another tab
    else if (runs.has(run.id)) draw(run);
    if (![...runs.values()].some((other) => !other.over)) follow();
  };
  source.onerror = ({ target }) => {
    if (target.readyState !== EventSource.CLOSED || target !== source) return; // else the browser tries again itself
    watched = "";
    setTimeout(follow, 3000);
  };
}
