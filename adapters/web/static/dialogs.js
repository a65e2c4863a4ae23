// Forms to fill in, and the reader's history.

import { $, announce, clone, element, put } from "./dom.js";
import { act, showReply } from "./actions.js";
import { reveal } from "./runs.js";
import { newId } from "./server.js";

// --- forms --------------------------------------------------------------------------------------

/** Opens a form; what comes of it is shown in ``place``. What is wrong is told beside its input, and nothing is lost. */
export function openForm(form, place) {
  const dialog = clone("form-dialog");
  const body = $("form", dialog);
  const title = $("h2", dialog);
  title.textContent = form.title;
  title.id = `form-${newId()}`;
  dialog.setAttribute("aria-labelledby", title.id);
  put($(".intro", dialog), { html: form.intro });
  $(".inputs", dialog).append(...form.inputs.map(field));
  $('[type="submit"]', dialog).textContent = form.submit;
  $(".cancel", dialog).addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  let id = newId();
  body.addEventListener("input", () => { id = newId(); });
  body.addEventListener("submit", async (event) => {
    event.preventDefault();
    const result = await submit(dialog, form, place, id);
    if (result && !result.lost) id = newId();
  });
  document.body.append(dialog);
  dialog.showModal();
  $("input:not([hidden]), textarea, select", dialog)?.focus();
}

/** Sends what is filled in; the reply to it, or undefined where one is still to come. */
async function submit(dialog, form, place, id) {
  if (dialog.classList.contains("busy")) return undefined;
  dialog.classList.add("busy");
  const filled = Object.fromEntries(form.inputs.map((input) => [input.name, valuesOf(dialog, input)]));
  const result = await act({ action: form.action, filled, id }, place);
  dialog.classList.remove("busy");
  const problems = result.type === "form" ? result.problems : {};
  for (const input of form.inputs) mark($(`[data-name="${CSS.escape(input.name)}"]`, dialog), problems[input.name]);
  const refused = result.type === "error" && result.status !== 409;
  put($("form > .problem", dialog), { html: refused ? result.html : "" });
  if (result.type !== "form" && !refused) dialog.close();
  else $('[aria-invalid="true"]', dialog)?.focus();
  return result;
}

function valuesOf(dialog, input) {
  const box = $(`[data-name="${CSS.escape(input.name)}"]`, dialog);
  if (input.kind === "choices") return [...box.querySelectorAll("input:checked")].map((checked) => checked.value);
  const { value } = $("input, textarea, select", box);
  return value ? [value] : [];
}

/** Tells what is wrong with an input; undefined: nothing is. */
function mark(box, problem) {
  put($(".problem", box), { text: problem ?? "" });
  for (const control of box.querySelectorAll("input, textarea, select")) {
    control.setAttribute("aria-invalid", String(Boolean(problem)));
  }
}

function field(input) {
  const several = input.kind === "choices";
  const box = element(several ? "fieldset" : "div", "input");
  box.dataset.name = input.name;
  const id = `input-${newId()}`;
  const hint = element("p", "hint", input.hint);
  const problem = element("p", "problem");
  hint.id = `${id}-hint`;
  problem.id = `${id}-problem`;
  hint.hidden = !input.hint;
  problem.hidden = true;
  const label = element(several ? "legend" : "label", "", input.label);
  if (!input.required && !input.kind.startsWith("choice")) label.append(element("small", "", " optional"));
  if (several) box.append(label, hint, ...input.options.map((option) => checkbox(input, option)), problem);
  else {
    const control = made(input);
    control.id = label.htmlFor = id;
    control.setAttribute("aria-describedby", `${hint.id} ${problem.id}`);
    control.setAttribute("aria-required", String(input.required));
    box.append(label, hint, control, problem);
  }
  return box;
}

function made(input) {
  const first = input.value[0] ?? "";
  if (input.kind === "choice") {
    const select = element("select");
    if (!input.required && !input.options.some((option) => option.value === "")) select.append(new Option("", ""));
    select.append(...input.options.map((option) => new Option(worded(option), option.value)));
    select.value = first;
    return select;
  }
  const control = element(input.kind === "lines" ? "textarea" : "input");
  control.maxLength = input.max_length;
  control.value = first;
  if (input.kind === "lines") control.rows = 4;
  return control;
}

function worded(option) {
  return option.about ? `${option.label}: ${option.about}` : option.label;
}

function checkbox(input, option) {
  const label = element("label", "check");
  const control = element("input");
  Object.assign(control, { type: "checkbox", value: option.value, checked: input.value.includes(option.value) });
  const text = element("span", "", option.label);
  if (option.about) text.append(element("small", "", ` ${option.about}`));
  label.append(control, text);
  return label;
}

// --- history ------------------------------------------------------------------------------------

const LONGEST_ACTION = 100; // characters

const history = $("#history");
const search = $("input", history);

const list = {
  thread: null,
  show(result) {
    showReply($(".reply", history), result, list);
    if (result.type !== "error") announce($(".body", history).textContent.slice(0, 200));
  },
  done: () => history.close(),
};

/** A page of history; a search goes into the action as a button of the server's would have it, as far as it fits. */
function load() {
  const letters = [...search.value.trim()];
  const coded = () => `history:1:${encodeURIComponent(letters.join(""))}`;
  while (coded().length > LONGEST_ACTION) letters.pop();
  return act({ action: coded() }, list);
}

export function openHistory() {
  search.value = "";
  $(".reply", history).replaceChildren();
  history.showModal();
  search.focus();
  load();
}

let waiting = 0;
search.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(load, 200);
});
$("form", history).addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(waiting);
  load();
});
$(".close", history).addEventListener("click", () => history.close());
history.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#run-']");
  if (link) {
    event.preventDefault();
    history.close();
    reveal(link.hash.slice("#run-".length));
  } else if (event.target === history) history.close(); // beside the sheet
});
