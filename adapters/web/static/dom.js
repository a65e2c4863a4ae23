// Small helpers that all parts of the page share.

export const $ = (selector, parent = document) => parent.querySelector(selector);

export function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

/** Puts HTML or text into an element, unless it is there already: selections stay as they are. */
export function put(node, { html, text }) {
  const value = html ?? text ?? "";
  if (node.shown === value) return;
  node.shown = value;
  if (html === undefined) node.textContent = value;
  else node.innerHTML = value;
  node.hidden = !value;
}

/** Says something to those who listen to the page. */
export function announce(text) {
  $("#status").textContent = text;
}

/** Rows of buttons. They are made anew only when they change; whoever stands on one stays on the one at its place. */
export function putButtons(box, rows, press) {
  const key = JSON.stringify(rows);
  if (box.shown === key) return;
  box.shown = key;
  const place = [...box.querySelectorAll("button")].indexOf(document.activeElement);
  box.replaceChildren(...rows.map((row) => {
    const line = element("div", "row");
    line.append(...row.map((button) => madeButton(button, press)));
    return line;
  }));
  box.hidden = rows.length === 0;
  if (place >= 0) box.querySelectorAll("button")[place]?.focus({ preventScroll: true });
}

export function madeButton({ label, action, style, emoji }, press) {
  const button = element("button", style, emoji || label);
  button.type = "button";
  button.dataset.action = action;
  if (emoji) {
    button.setAttribute("aria-label", label);
    button.title = label;
  }
  button.addEventListener("click", () => press(action, button));
  return button;
}

/** While work goes on, its button cannot be pressed again. */
export async function whileBusy(button, work) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

/** The page moves down until all from one node to another is in view, or as much as there is room for. */
export function keepInView(first, last = first) {
  const { top } = first.getBoundingClientRect();
  const below = last.getBoundingClientRect().bottom - $("body > footer").getBoundingClientRect().top + 24;
  if (below > 0 && top > 16) window.scrollBy(0, Math.min(below, top - 16));
}

export function sizeText(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
