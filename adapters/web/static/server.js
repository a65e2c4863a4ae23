// What the page asks its server.

const LOST = { type: "error", lost: true, html: "<p>The server does not answer. Is it still running?</p>" };

export function newId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(3)), (part) => part.toString(16)).join("-");
}

/** Sends a text with files, a tap or a filled form: ``{text, action, filled, thread, id}``. The reply has a type. */
export async function send(sent, files = []) {
  try {
    const response = await fetch("/api/commands", { method: "POST", ...body(sent, files) });
    return { status: response.status, ...(await response.json()) };
  } catch {
    return LOST;
  }
}

function body(sent, files) {
  const command = JSON.stringify(sent);
  if (!files.length) return { headers: { "Content-Type": "application/json" }, body: command };
  const form = new FormData();
  form.append("command", command);
  for (const file of files) form.append("file", file, file.name);
  return { body: form };
}

/** What may stand at the end of a text: ``{start, options}``. */
export async function suggest(text) {
  try {
    const response = await fetch(`/api/suggest?text=${encodeURIComponent(text)}`);
    if (response.ok) return await response.json();
  } catch { /* what is typed can be sent all the same */ }
  return { start: 0, options: [] };
}

/** What the server remembers of this browser; null when it does not answer. */
export async function remembered() {
  return fetch("/api/threads").then((response) => (response.ok ? response.json() : null)).catch(() => null);
}
