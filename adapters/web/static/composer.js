// The boxes to write in: at the foot of the page, and at the end of each thread. Text, files, suggestions.

import { $, clone, element, sizeText } from "./dom.js";
import { act, noting } from "./actions.js";
import { newId, suggest } from "./server.js";

const MOST_FILES = 5;
const MOST_BYTES = 10 * 2 ** 20;

const boxes = new WeakMap(); // form -> what can be done with it

/** A box to write in; ``thread`` null: the one that begins threads. */
export function newComposer(thread, { label = "Follow up in this thread", hint = "Follow up …", send = "Reply" } = {}) {
  const form = clone("composer");
  const field = $("textarea", form);
  field.setAttribute("aria-label", label);
  field.placeholder = hint;
  $('[type="submit"]', form).textContent = send;
  const fit = () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };
  const files = attachments(form);
  const suggestions = suggesting(form, field, fit);
  const box = { form, field, fit, files, suggestions, thread, id: null };
  boxes.set(form, box);
  field.addEventListener("input", () => {
    box.id = null;
    fit();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.defaultPrevented) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(box);
  });
  return form;
}

async function submit(box) {
  const { form, field, files, thread } = box;
  const text = field.value.trim();
  if (!text || form.classList.contains("busy")) {
    if (files.list.length && !text) files.complain("Write a question to go with the files.");
    return;
  }
  form.classList.add("busy");
  $('[type="submit"]', form).setAttribute("aria-disabled", "true");
  box.id ??= newId(); // lets the server know a text that it has been sent before
  const sent = files.take();
  field.value = "";
  box.fit();
  box.suggestions.close();
  const result = await act({ text, id: box.id }, noting(thread, text), sent);
  if (!result.lost) box.id = null;
  if (result.type === "error" && result.status !== 409 && !field.value) {
    field.value = text; // to be put right, or sent again
    files.add(sent);
    box.fit();
  }
  if (result.status === 409) document.dispatchEvent(new Event("taken"));
  form.classList.remove("busy");
  $('[type="submit"]', form).removeAttribute("aria-disabled");
  if (!form.hidden && !$("dialog[open]")) field.focus({ preventScroll: true });
}

// --- files --------------------------------------------------------------------------------------

function attachments(form) {
  const chips = $(".files", form);
  const picker = $('input[type="file"]', form);
  const files = { list: [], add, take, complain };

  function add(more) {
    const problems = new Set();
    for (const file of more) {
      if (file.size > MOST_BYTES) problems.add(`${file.name} has ${sizeText(file.size)}; a file may have 10 MB.`);
      else if (files.list.length >= MOST_FILES) problems.add(`A question has at most ${MOST_FILES} files.`);
      else files.list.push(file);
    }
    show();
    problems.forEach(complain); // below what is sent
  }
  function take() {
    const taken = files.list;
    files.list = [];
    show();
    return taken;
  }
  function complain(text) {
    chips.hidden = false;
    const line = element("li", "problem", text);
    line.setAttribute("role", "alert");
    chips.append(line);
  }
  function show() {
    chips.replaceChildren(...files.list.map((file) => {
      const chip = element("li", "", `${file.name}, ${sizeText(file.size)}`);
      const remove = element("button", "", "✕");
      remove.type = "button";
      remove.setAttribute("aria-label", `Leave out ${file.name}`);
      remove.addEventListener("click", () => {
        files.list = files.list.filter((other) => other !== file);
        show();
        $("textarea", form).focus();
      });
      chip.append(remove);
      return chip;
    }));
    chips.hidden = files.list.length === 0;
  }
  $(".attach", form).addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    add([...picker.files]);
    picker.value = "";
    $("textarea", form).focus();
  });
  form.addEventListener("paste", (event) => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    add([...event.clipboardData.files]);
  });
  return files;
}

/** Files that are dropped anywhere go into the box of their thread, else into the one at the foot of the page. */
export function takeDrops(main) {
  const sign = $("#drop");
  let inside = 0;
  const holds = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (!holds(event)) return;
    inside += 1;
    sign.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!holds(event)) return;
    inside -= 1;
    sign.hidden = inside > 0;
  });
  document.addEventListener("dragover", (event) => {
    if (holds(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!holds(event)) return;
    event.preventDefault();
    inside = 0;
    sign.hidden = true;
    const there = event.target.closest?.(".thread")?.querySelector("form.composer:not([hidden])");
    boxes.get(there ?? main).files.add([...event.dataTransfer.files]);
  });
}

// --- suggestions --------------------------------------------------------------------------------

/** Names and commands that fit what is typed; arrows choose, Enter or Tab takes, Escape closes. */
function suggesting(form, field, fit) {
  const list = $(".options", form);
  list.id = `options-${newId()}`;
  field.setAttribute("aria-controls", list.id);
  let found = { start: 0, options: [] };
  let chosen = -1;
  let asked = 0;

  function close() {
    asked += 1;
    list.hidden = true;
    chosen = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }
  function choose(number) {
    chosen = (number + found.options.length) % found.options.length;
    for (const [place, item] of [...list.children].entries()) {
      item.setAttribute("aria-selected", String(place === chosen));
      if (place !== chosen) continue;
      item.scrollIntoView({ block: "nearest" });
      field.setAttribute("aria-activedescendant", item.id);
    }
  }
  function take(number) {
    field.value = field.value.slice(0, found.start) + found.options[number].insert;
    field.focus();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    fit();
  }
  async function look() {
    const text = field.value;
    if (!text.startsWith("/") || field.selectionStart !== text.length) return close();
    const mine = (asked += 1);
    const told = await suggest(text);
    if (mine !== asked) return undefined;
    if (!told.options.length) return close();
    found = told;
    chosen = -1;
    list.replaceChildren(...told.options.map((option, number) => {
      const item = element("li");
      item.id = `${list.id}-${number}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      item.append(element("b", "", option.label), element("small", "", option.about));
      item.addEventListener("mousedown", (event) => event.preventDefault()); // the box keeps the focus
      item.addEventListener("click", () => take(number));
      return item;
    }));
    list.hidden = false;
    list.scrollTop = 0;
    field.setAttribute("aria-expanded", "true");
    field.removeAttribute("aria-activedescendant");
    return undefined;
  }
  field.addEventListener("input", look);
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (list.hidden || event.isComposing) return;
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen < 0 ? -1 : chosen - 1);
    else if (event.key === "Escape") close();
    else if (chosen >= 0 && (event.key === "Enter" || event.key === "Tab") && !event.shiftKey) take(chosen);
    else return;
    event.preventDefault();
  });
  return { close };
}
