// The local page: what it is made of when it is opened, and what its bar does.

import { $, whileBusy } from "./dom.js";
import { act, noting, showReply } from "./actions.js";
import { newComposer, takeDrops } from "./composer.js";
import { openHistory } from "./dialogs.js";
import { draw, drawPanel, follow, runs } from "./runs.js";
import { remembered } from "./server.js";

const welcome = $("#welcome");
const composer = newComposer(null, {
  label: "Command or question",
  hint: "Ask, or type /",
  send: "Ask",
});
$("textarea", composer).id = "text";
$("#main-composer").replaceWith(composer);
takeDrops(composer);

/** Draws what the server remembers of this browser. */
async function restore() {
  const stored = await remembered();
  if (!stored) {
    noting(null, "").show({ type: "error", html: "<p>The threads could not be loaded. Reload the page to try again.</p>" });
    return;
  }
  const first = runs.size === 0;
  stored.runs.forEach(draw);
  welcome.hidden = runs.size > 0;
  drawPanel($(".panel", welcome), stored.panel);
  const { show, thread } = noting(null, "");
  showReply($(".reply", welcome), stored.welcome, { show, thread });
  if (first) window.scrollTo(0, runs.size ? document.body.scrollHeight : 0);
  follow();
}

for (const button of document.querySelectorAll(".shortcuts button")) {
  const { action, text, opens } = button.dataset;
  button.addEventListener("click", () => {
    if (opens) return openHistory();
    return whileBusy(button, () => act(text ? { text } : { action }, noting(null, button.textContent)));
  });
}

document.addEventListener("taken", restore); // a text had been taken although its reply was lost
await restore();
$("textarea", composer).focus({ preventScroll: true });
