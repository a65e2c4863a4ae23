"""First contact: what newcomers are told, and questions to begin with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from core.cards import Button, Reply
from core.catalog import Catalog
from core.commands import values
from core.commands.actions import encode
from core.examples import by_domain, questions
from core.present.figures import short

Occasion = Literal["joined", "opened", "home"]
"""The bot joined a channel or server; a person opened a direct message; a person opened the app's home."""

FEW = 3
"""Questions that newcomers are offered."""

A_ROW = 5
LABEL = 70

_BEGIN: dict[Occasion, str] = {
    "joined": "Mention me with a question, or write `{ask}`, and the answer comes in a thread of its own.",
    "opened": "Write me a question here: what is asked here is for you alone.",
    "home": "Write me a question in a direct message, mention me in a channel, or write `{ask}` anywhere. "
    "What you tap here is answered in our direct messages.",
}

_HERE = "Write your question below; its answer comes here, and you can go on from it."
"""Where commands need nothing in front, whatever is written comes to us."""

_SIMULATED = (
    "**Every member here is simulated**: no language model is asked, so the texts only show how this works. "
    "Whoever runs this bot can set up real models."
)

Numbered = tuple[str, int, str]
"""A domain, the number of a question in it, and the question."""


def welcome(catalog: Catalog, occasion: Occasion, prefix: str) -> Reply:
    """What this is, three example questions as buttons, what is stored."""
    written = {
        name: f"{prefix} {name}".strip() for name in ("ask", "settings", "help", "export", "forget-me", "delete")
    }
    picked = _picked(catalog)
    simulated = all(member.simulated for member in catalog.panel(catalog.consortia["default"]))
    parts = [
        "**I ask a panel of language models your question and bring their answers to one.**\n"
        "You see who agrees, who disagrees, how sure the answer is, who failed, and what it cost.\n"
        + (_BEGIN[occasion].format(ask=f"{written['ask']} …") if prefix else _HERE),
        _SIMULATED if simulated else "",
        "**To begin with**\n" + "\n".join(f"- {question}" for _, _, question in picked) if picked else "",
        f"**What is kept**: your questions, the answers, and what you set. `{written['export']}` sends you all of it, "
        f"`{written['delete']}` and a run's id deletes one, `{written['forget-me']}` deletes everything of yours."
        + ("" if simulated else " Questions go to the providers of the models that are asked."),
        f"`{written['settings']}` chooses panel, domain and more for you; `{written['help']}` tells the rest.",
    ]
    more = (
        Button(label="More examples", action=encode(values.ExamplesCommand())),
        Button(label="Settings", action=encode(values.SettingsCommand())),
        Button(label="Help", action=encode(values.HelpCommand())),
    )
    return Reply(text="\n\n".join(filter(None, parts)), buttons=(*_rows(picked), more))


def examples(catalog: Catalog, domain: str | None) -> Reply:
    """Example questions as buttons: of one domain, or one of each. Raises NotFound."""
    if domain is not None:
        name, found = questions(catalog, domain)
        listed = [(name, number, question) for number, question in enumerate(found, 1)]
        lines = [f"{number}. {question}" for _, number, question in listed]
        return Reply(text="\n".join([f"**Questions to begin with: {name}**", *lines]), buttons=_rows(listed))
    first = [(name, 1, found[0]) for name, found in by_domain(catalog).items()]
    lines = [f"- {name}: {question}" for name, _, question in first]
    more = f"`examples` and a domain lists more, e.g. `examples {first[-1][0]}`." if first else "There are none."
    return Reply(text="\n".join(["**Questions to begin with**", *lines, "", more]), buttons=_rows(first))


def _picked(catalog: Catalog) -> list[Numbered]:
    """Three questions of as many domains as there are, those of the models file before the built-in ones."""
    there = by_domain(catalog)
    order = [*(name for name in there if name in catalog.examples), *(n for n in there if n not in catalog.examples)]
    most = max(map(len, there.values()), default=0)
    dealt = [(name, n + 1, there[name][n]) for n in range(most) for name in order if n < len(there[name])]
    return dealt[:FEW]


def _rows(picked: Iterable[Numbered]) -> tuple[tuple[Button, ...], ...]:
    """A button a question, in rows that every platform has room for."""
    buttons = [
        Button(label=short(question, LABEL), action=encode(values.AskExample(domain=domain, number=number)))
        for domain, number, question in picked
    ]
    return tuple(tuple(buttons[n : n + A_ROW]) for n in range(0, len(buttons), A_ROW))
