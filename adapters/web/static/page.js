// The local page: sends commands, draws runs, keeps threads. A run arrives whole, however far it is, and is drawn
// again each time; only what has changed is touched. HTML comes from the server, already made safe; all else is text.

const $ = (selector, parent = document) => parent.querySelector(selector);
const feed = $("#feed");
const welcome = $("#welcome");
const composer = $("#composer");

function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** Puts HTML or text into an element, unless it is there already: selections and open details stay as they are. */
function put(element, { html, text }) {
  const value = html ?? text ?? "";
  if (element.shown === value) return;
  element.shown = value;
  if (html === undefined) element.textContent = value;
  else element.innerHTML = value;
  element.hidden = !value;
}

/** Says something to those who listen to the page. */
function announce(text) {
  $("#status").textContent = text;
}

// --- runs ---------------------------------------------------------------------------------------

const runs = new Map(); // id -> the run as it was drawn last
let newest = null; // id of the run that is kept in view while it grows, until the reader scrolls

function threadNode(id) {
  let node = document.getElementById(`thread-${id}`);
  if (!node) {
    node = clone("thread");
    node.id = `thread-${id}`;
    handleForm($("form", node), id);
    feed.append(node);
  }
  return node;
}

function runNode(run) {
  let node = document.getElementById(`run-${run.id}`);
  if (!node) {
    node = clone("run");
    node.id = `run-${run.id}`;
    const question = $(".question", node);
    question.id = `question-${run.id}`;
    question.textContent = run.question;
    node.setAttribute("aria-labelledby", question.id);
    $(".replies", threadNode(run.thread)).append(node);
  }
  return node;
}

function draw(run) {
  const before = runs.get(run.id);
  runs.set(run.id, run);
  const node = runNode(run);
  node.dataset.state = run.over ? run.status : run.answered ? "answered" : "running";
  $(".answer", node).setAttribute("aria-busy", String(!run.answered && !run.over));
  put($(".headline", node), { html: run.headline });
  put($(".body", node), { html: run.body });
  put($(".small", node), { html: run.footer });
  put($(".note", node), { text: run.note ?? (run.charts_follow ? "Drawing the charts …" : "") });
  drawSure($(".sure", node), run.sure);
  drawVotes($(".votes", node), run.votes);
  for (const member of run.members) drawMember($(".members", node), member);
  put($(".asides", node), { html: run.asides.map((line) => `<li>${line}</li>`).join("") });
  for (const chart of run.charts) drawChart($(".charts", node), chart);
  drawReply(run);
  tell(run, before);
  if (run.id === newest) keepInView(node);
}

function paintSeat(seat, { seat: number, colour, ink }) {
  seat.textContent = number;
  seat.style.setProperty("--seat", colour);
  seat.style.setProperty("--ink-on-seat", ink);
}

/** How sure the answer is: in words, as a bar, and with a mark on it where the arbiter alone would put it. */
function drawSure(box, sure) {
  box.hidden = !sure;
  if (!sure) return;
  const own = sure.own === null ? "" : ` <small>The arbiter's own figure: ${sure.own.toFixed(2)}</small>`;
  put($("p", box), { html: sure.html + own });
  const bar = $(".bar", box);
  bar.hidden = sure.value === null;
  bar.style.setProperty("--share", sure.value ?? 0);
  $("b", bar).hidden = sure.own === null;
  bar.style.setProperty("--own", sure.own ?? 0);
}

/** Who voted for what. Drawn once: votes stand when the answer does. */
function drawVotes(list, votes) {
  if (!votes || list.childElementCount) return;
  list.dataset.basis = votes.basis;
  list.setAttribute("aria-label", votes.basis === "meaning" ? "Groups of like answers" : "Votes");
  for (const camp of votes.camps) {
    const item = clone("camp");
    put($(".vote", item), { html: camp.html });
    $(".bar", item).style.setProperty("--share", camp.share);
    for (const member of camp.members) {
      const seat = document.createElement("span");
      seat.className = "seat";
      paintSeat(seat, member);
      seat.title = member.label;
      $(".seats", item).append(seat);
    }
    put($(".unseen", item), { text: `: ${camp.members.map((member) => member.label).join(", ")}` });
    list.append(item);
  }
}

function drawMember(list, member) {
  let item = $(`[data-id="${CSS.escape(member.id)}"]`, list);
  if (!item) {
    item = clone("member");
    item.dataset.id = member.id;
    list.append(item);
    paintSeat($(".seat", item), member);
  }
  item.dataset.state = member.state;
  put($(".line", item), { html: member.line });
  put($(".meta", item), { text: [member.role, member.meta].filter(Boolean).join(" · ") });
  if (!member.html) return;
  if (!$("details", item)) unfoldable(item);
  put($(".said", item), { html: member.html });
}

/** Makes a member's line open onto its whole answer. */
function unfoldable(item) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const said = document.createElement("div");
  const row = $(".row", item);
  summary.className = "row";
  said.className = "said prose";
  summary.append(...row.childNodes);
  details.append(summary, said);
  row.replaceWith(details);
}

function drawChart(box, chart) {
  if ($(`a[href="${CSS.escape(chart.url)}"]`, box)) return;
  const figure = clone("chart");
  Object.assign($("img", figure), { src: chart.url, alt: chart.alt, width: chart.width, height: chart.height });
  Object.assign($("a", figure), { href: chart.url, title: `${chart.title} (open in full size)` });
  box.append(figure);
}

/** A thread can go on once its last answer stands. */
function drawReply(run) {
  const form = $("form.reply", threadNode(run.thread));
  form.hidden = [...runs.values()].some((r) => r.thread === run.thread && !r.answered && !r.over);
}

/** Announces what is new about a run that goes on here. */
function tell(run, before) {
  if (!before || run.headline === before.headline) return;
  if (run.answered === before.answered && run.over === before.over && /\d done/.test(run.headline)) return;
  const sure = run.sure ? $(`#run-${run.id} .sure p`).textContent : "";
  announce(`${$(`#run-${run.id} .headline`).textContent} ${sure}`.trim());
}

/** Scrolls down until all from one node to another is in view, or as much as there is room for. */
function keepInView(first, last = first) {
  const { top } = first.getBoundingClientRect();
  const below = last.getBoundingClientRect().bottom - $("body > footer").getBoundingClientRect().top + 24;
  if (below > 0 && top > 16) window.scrollBy(0, Math.min(below, top - 16));
}

for (const moved of ["wheel", "touchmove"]) {
  window.addEventListener(moved, () => { newest = null; }, { passive: true });
}

// --- the server ---------------------------------------------------------------------------------

let source = null;
let watched = "";

/** Follows all runs that are not over, over one connection; a connection that breaks is made anew. */
function watch() {
  const open = [...runs.values()].filter((run) => !run.over).map((run) => run.id).join(",");
  if (open === watched) return;
  source?.close();
  watched = open;
  source = open ? new EventSource(`/api/events?runs=${open}`) : null;
  if (!source) return;
  source.onmessage = (message) => {
    draw(JSON.parse(message.data));
    if (![...runs.values()].some((run) => !run.over)) watch();
  };
  source.onerror = ({ target }) => {
    if (target.readyState !== EventSource.CLOSED || target !== source) return; // else the browser tries again itself
    watched = "";
    setTimeout(watch, 3000);
  };
}

async function send(text, thread, id) {
  try {
    const response = await fetch("/api/commands", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text, thread, id }),
    });
    return { status: response.status, ...(await response.json()) };
  } catch {
    return { type: "error", lost: true, html: "<p>The server does not answer. Is it still running?</p>" };
  }
}

/** Draws what the server remembers of this browser. */
async function restore() {
  const stored = await fetch("/api/threads").then((response) => (response.ok ? response.json() : null)).catch(() => null);
  if (!stored) {
    addNote(feed, "", "<p>The threads could not be loaded. Reload the page to try again.</p>", true);
    return;
  }
  stored.runs.forEach(draw);
  if (!welcome.isConnected) return watch();
  for (const member of stored.panel) {
    drawMember($(".panel"), { ...member, state: "ready", line: "", meta: "" });
    put($(`.panel [data-id="${CSS.escape(member.id)}"] .line`), { text: member.label });
  }
  $(".simulated").hidden = !stored.simulated;
  welcome.hidden = runs.size > 0;
  window.scrollTo(0, runs.size ? document.body.scrollHeight : 0);
  watch();
}

// --- what the reader does -----------------------------------------------------------------------

/** Sends a text; tells whether it was taken. ``id`` lets the server know a text that it has been sent before. */
async function submit(text, thread, id) {
  const result = await send(text, thread, id);
  welcome.remove();
  if (result.status === 409) {
    await restore();
    return result;
  }
  if (result.type === "run") {
    newest = result.run.id;
    draw(result.run);
    watch();
    announce("The panel is being asked.");
  } else {
    const place = thread ? $(".replies", threadNode(thread)) : feed;
    addNote(place, text, result.html, result.type === "error");
  }
  return result;
}

function addNote(place, said, html, isError) {
  const note = clone("note");
  note.classList.toggle("error", isError);
  if (isError) $(".body", note).setAttribute("role", "alert");
  put($(".quote", note), { text: said });
  place.append(note);
  put($(".body", note), { html });
  for (const code of note.querySelectorAll("code")) {
    if (runs.has(code.textContent)) linkToRun(code);
  }
  newest = null;
  keepInView(note, place.closest(".thread") ?? note);
  if (!isError) announce($(".body", note).textContent.slice(0, 300));
}

function linkToRun(code) {
  const link = document.createElement("a");
  link.href = `#run-${code.textContent}`;
  code.replaceWith(link);
  link.append(code);
}

function handleForm(form, thread) {
  const field = $("textarea", form);
  const button = $("button", form);
  let id = null;
  const fit = () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };
  field.addEventListener("input", () => {
    id = null;
    fit();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text || form.classList.contains("busy")) return;
    form.classList.add("busy");
    button.setAttribute("aria-disabled", "true");
    id ??= Array.from(crypto.getRandomValues(new Uint32Array(3)), (part) => part.toString(16)).join("-");
    field.value = "";
    fit();
    const result = await submit(text, thread, id);
    if (!result.lost) id = null;
    if (result.type === "error" && result.status !== 409 && !field.value) {
      field.value = text; // to be put right, or sent again
      fit();
    }
    form.classList.remove("busy");
    button.removeAttribute("aria-disabled");
    if (!form.hidden) field.focus({ preventScroll: true });
  });
}

handleForm(composer, null);
for (const button of document.querySelectorAll(".examples button, .shortcuts button")) {
  button.addEventListener("click", () => {
    $("textarea", composer).value = button.dataset.command ?? button.textContent;
    composer.requestSubmit();
  });
}
await restore();
