// The local page: sends commands, follows runs, shows threads. HTML arrives sanitised from the server;
// everything else is set as text.

const feed = document.querySelector("#feed");
const composer = document.querySelector("#composer");

function fill(selector, parent, html) {
  parent.querySelector(selector).innerHTML = html ?? "";
}

function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

function show(node) {
  node.scrollIntoView({ behavior: "smooth", block: "nearest" });
}

async function send(text, thread) {
  try {
    const response = await fetch("/api/commands", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text, thread }),
    });
    return await response.json();
  } catch {
    return { type: "error", html: "<p>The server does not answer. Is it still running?</p>" };
  }
}

function addNote(said, html, isError) {
  const note = document.createElement("article");
  note.className = isError ? "note error" : "note";
  const quote = document.createElement("p");
  quote.className = "said";
  quote.textContent = said;
  const body = document.createElement("div");
  body.innerHTML = html;
  note.append(quote, body);
  feed.append(note);
  show(note);
}

// --- threads and runs ---------------------------------------------------------------------------

const threads = new Map();

function threadNode(id) {
  if (threads.has(id)) return threads.get(id);
  const node = clone("thread");
  const form = node.querySelector("form.reply");
  form.hidden = false;
  onSubmit(form, (text) => submit(text, id));
  threads.set(id, node);
  feed.append(node);
  return node;
}

function memberLine(list, member) {
  let line = list.querySelector(`li[data-id="${CSS.escape(member.id)}"]`);
  if (!line) {
    line = document.createElement("li");
    line.dataset.id = member.id;
    const name = document.createElement("span");
    name.textContent = member.label + (member.role ? ` as ${member.role}` : "");
    const state = document.createElement("span");
    state.className = "state";
    line.append(name, state);
    list.append(line);
  }
  return line;
}

function setMember(list, member, kind, state) {
  const line = memberLine(list, member);
  line.className = kind;
  line.querySelector(".state").textContent = state;
}

function ended(list, outcome) {
  const seconds = `${outcome.seconds.toFixed(1)} s`;
  if (outcome.ok) setMember(list, outcome, "ok", `answered in ${seconds}`);
  else setMember(list, outcome, "failed", outcome.why);
}

function showAnswer(node, answer) {
  fill(".headline", node, answer.headline);
  fill(".body", node, answer.body);
  fill(".footer", node, answer.footer);
  for (const part of ["views", "failures"]) {
    const list = node.querySelector(`.${part}`);
    list.replaceChildren(...answer[part].map((html) => {
      const item = document.createElement("li");
      item.innerHTML = html;
      return item;
    }));
  }
  const list = node.querySelector(".members");
  for (const outcome of answer.members) ended(list, outcome);
  const all = node.querySelector("details.all");
  all.hidden = false;
  all.querySelector("div").replaceChildren(...answer.members.filter((m) => m.ok).flatMap((m) => {
    const name = document.createElement("h3");
    name.textContent = m.label;
    const text = document.createElement("div");
    text.innerHTML = m.html;
    return [name, text];
  }));
  node.querySelector(".writing").hidden = true;
}

function showCharts(node, charts, note) {
  node.querySelector(".charts").replaceChildren(...charts.map((chart) => {
    const figure = document.createElement("figure");
    const image = document.createElement("img");
    Object.assign(image, { src: chart.url, alt: chart.alt, width: chart.width, height: chart.height });
    const caption = document.createElement("figcaption");
    caption.textContent = chart.title;
    figure.append(image, caption);
    return figure;
  }));
  if (note) node.querySelector(".charts").textContent = note;
}

function addRun(thread, run) {
  const node = clone("run");
  node.dataset.run = run.id;
  node.querySelector(".question").textContent = run.question;
  const list = node.querySelector(".members");
  for (const member of run.panel) setMember(list, member, "thinking", "waiting");
  threadNode(thread).querySelector(".replies").append(node);
  if (run.answer) {
    showAnswer(node, run.answer);
    showCharts(node, run.charts);
  }
  if (run.error) fill(".headline", node, run.error);
  if (run.status === "pending" || run.status === "running") follow(node, run.id);
  return node;
}

function follow(node, id) {
  const list = node.querySelector(".members");
  const writing = node.querySelector(".writing");
  const source = new EventSource(`/api/runs/${id}/events`);
  const handlers = {
    run_started(event) {
      for (const member of event.panel) setMember(list, member, "thinking", "thinking …");
      node.querySelector(".headline").textContent =
        event.round > 1 ? `Round ${event.round} of at most ${event.max_rounds}` : "Asking the panel";
    },
    member_ended(event) { ended(list, event); },
    arbiter_started(event) {
      node.querySelector(".headline").textContent = `${event.judge} is weighing the answers`;
      writing.textContent = "";
      writing.hidden = false;
    },
    text_delta(event) { writing.textContent += event.text; },
    round_ended() {},
    answered(event) { showAnswer(node, event); show(node); },
    charts_drawn(event) { showCharts(node, event.charts, event.note); show(node); },
    run_ended(event) {
      source.close();
      if (event.error) fill(".headline", node, event.error);
      for (const line of list.querySelectorAll(".thinking")) line.className = "";
    },
  };
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    handlers[event.type](event);
  };
}

// --- sending ------------------------------------------------------------------------------------

async function submit(text, thread) {
  document.querySelector("#welcome")?.remove();
  const result = await send(text, thread);
  if (result.type === "run") show(addRun(result.thread, result.run));
  else addNote(text, result.html, result.type === "error");
}

function onSubmit(form, action) {
  const field = form.querySelector("textarea");
  const button = form.querySelector("button");
  const grow = () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };
  field.addEventListener("input", grow);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text || button.disabled) return;
    button.disabled = true;
    field.value = "";
    grow();
    await action(text);
    button.disabled = false;
    field.focus();
  });
}

onSubmit(composer, (text) => submit(text, null));
for (const example of document.querySelectorAll(".examples button")) {
  example.addEventListener("click", () => submit(example.textContent, null));
}

const stored = await fetch("/api/threads").then((r) => r.json()).catch(() => ({ threads: [] }));
if (stored.threads?.length) document.querySelector("#welcome")?.remove();
for (const { thread, runs } of stored.threads ?? []) for (const run of runs) addRun(thread, run);
