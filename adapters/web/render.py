"""Markdown to safe HTML, and a run's events to what the page understands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from core.present import FAILED_BECAUSE, answer_text
from core.types import (
    Answered,
    ArbiterStarted,
    Chart,
    ChartsDrawn,
    Member,
    MemberEnded,
    Outcome,
    Response,
    RoundEnded,
    Run,
    RunEnded,
    RunEvent,
    RunStarted,
    TextDelta,
)


def html(markdown: str) -> str:
    """Safe HTML: no raw HTML, no images, links only to http(s) and mail, opened apart."""
    return str(_parser().render(markdown))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.disable("image")
    parser.add_render_rule("link_open", _link_apart)
    return parser


def _link_apart(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: Any) -> str:
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    return renderer.renderToken(tokens, index, options, env)


def member_json(member: Member) -> dict[str, Any]:
    """A member as the page shows it."""
    return {"id": member.id, "label": member.label, "role": member.role}


def event_json(event: RunEvent) -> dict[str, Any]:
    """One event for the page."""
    match event:
        case RunStarted():
            return {
                "type": event.type,
                "round": event.round,
                "max_rounds": event.max_rounds,
                "panel": [member_json(m) for m in event.panel],
            }
        case MemberEnded():
            return {"type": event.type, **outcome_json(event.outcome)}
        case ArbiterStarted():
            return {"type": event.type, "judge": event.judge.label}
        case TextDelta():
            return {"type": event.type, "text": event.text}
        case RoundEnded():
            return {"type": event.type, "round": event.round}
        case Answered():
            return {"type": event.type, "charts_follow": event.charts_follow, **answer_json(event.run)}
        case ChartsDrawn():
            return {"type": event.type, "note": event.note, "kinds": list(event.kinds)}
        case RunEnded():
            return {"type": event.type, "status": event.status, "error": html(event.error) if event.error else None}


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """How a member ended."""
    common = {"id": outcome.member.id, "label": outcome.member.label, "seconds": round(outcome.seconds, 1)}
    if isinstance(outcome, Response):
        return {**common, "ok": True, "html": html(outcome.text)}
    return {**common, "ok": False, "why": FAILED_BECAUSE[outcome.kind], "detail": outcome.detail}


def answer_json(run: Run) -> dict[str, Any]:
    """An answer in its parts; ``members`` holds what each of the last round said."""
    text = answer_text(run)
    last = next(r for r in reversed(run.rounds) if r.verdict)
    return {
        "headline": html(text.headline),
        "body": html(text.body),
        "views": [html(v) for v in text.views],
        "failures": [html(f) for f in text.failures],
        "footer": html(text.footer),
        "members": [outcome_json(o) for o in last.outcomes],
    }


def chart_json(run_id: str, chart: Chart) -> dict[str, Any]:
    """Where a chart's picture is, and what it says in words."""
    return {
        "url": f"/api/runs/{run_id}/charts/{chart.filename}",
        "title": chart.title,
        "alt": chart.alt,
        "width": chart.width,
        "height": chart.height,
    }


def run_json(run: Run, charts: Sequence[Chart]) -> dict[str, Any]:
    """A stored run, whole, for a page that is opened again."""
    return {
        "id": run.id,
        "question": run.ask.text,
        "panel": [member_json(m) for m in run.panel],
        "status": run.status,
        "answer": answer_json(run) if run.verdict and run.answered_at else None,
        "error": html(run.error) if run.error else None,
        "charts": [chart_json(run.id, chart) for chart in charts],
    }
