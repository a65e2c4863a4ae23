"""The documents say what is there: tables are made from the code, links lead somewhere, names exist.

``python -m tests.test_documents`` writes the tables anew.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from adapters.discord.commands import SUBS
from adapters.slack.manifest import SCOPES
from bot.commands.joining import PERMISSIONS
from bot.settings import Settings
from core import attachments, catalog, setup
from core.commands.grammar import COMMANDS, OPTIONS, USAGES, parse
from core.telemetry.metrics import METRICS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / f"{n}.md" for n in ("README", "CHANGELOG", "CONTRIBUTING")),
]
EACH = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
_TABLE = re.compile(r"(?<=<!-- table: )(?P<name>[a-z]+) -->\n(?P<body>.*?)(?=<!-- end -->)", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<to>[^)\s]+)\)")


def read(path: Path) -> str:
    return path.read_text("utf-8")


# --- tables ---------------------------------------------------------------------------------------------


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _table(*rows: tuple[str, ...]) -> list[str]:
    head, *rest = rows
    return [_row(*head), "|" + "---|" * len(head), *(_row(*row) for row in rest)]


def commands() -> str:
    """Every command, a table a topic."""
    lines: list[str] = []
    for topic in dict.fromkeys(usage.topic for usage in USAGES):
        rows = [(f"`{usage.usage}`", usage.does) for usage in USAGES if usage.topic == topic]
        lines += [f"### {topic}", "", *_table(("Write", "To"), *rows), ""]
    return "\n" + "\n".join(lines)


def options() -> str:
    """The options of ``ask``."""
    return "\n" + "\n".join([*_table(("Option", "Says"), *((f"`{o}`", does) for o, does in OPTIONS.items())), "", ""])


def slash() -> str:
    """Discord's sub-commands with their options."""
    rows = [(f"`{sub.usage}`", sub.does) for sub in SUBS]
    return "\n" + "\n".join([*_table(("Command", "Does"), *rows), "", ""])


def metrics() -> str:
    """Every figure that a process has, beside those of the library."""
    rows = [(f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels), m.meaning) for m in METRICS]
    return "\n" + "\n".join([*_table(("Name", "Type", "Labels", "Meaning"), *rows), "", ""])


TABLES = {"commands": commands, "options": options, "slash": slash, "metrics": metrics}


def renewed(text: str) -> str:
    """A document with its tables as they should be."""
    return _TABLE.sub(lambda found: f"{found['name']} -->\n{TABLES[found['name']]()}", text)


@EACH
def test_tables_are_those_of_the_code(path: Path) -> None:
    assert read(path) == renewed(read(path)), "python -m tests.test_documents writes them anew"


def test_every_table_is_shown_somewhere() -> None:
    assert {found["name"] for path in DOCUMENTS for found in _TABLE.finditer(read(path))} == set(TABLES)


# --- links and pictures ---------------------------------------------------------------------------------


def _anchors(text: str) -> set[str]:
    """The headings of a document as links name them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@EACH
def test_links_lead_somewhere(path: Path) -> None:
    for found in _LINK.finditer(read(path)):
        target, _, anchor = found["to"].partition("#")
        if target.startswith(("https://", "http://")):
            continue
        there = (path.parent / target).resolve() if target else path
        assert there.is_relative_to(ROOT), found["to"]
        assert there.exists(), found["to"]
        assert not anchor or anchor in _anchors(read(there)), found["to"]


def test_every_document_and_picture_is_linked_to() -> None:
    linked = {
        (path.parent / found["to"].partition("#")[0]).resolve()
        for path in DOCUMENTS
        for found in _LINK.finditer(read(path))
    }
    there = {path.resolve() for path in (ROOT / "docs").rglob("*") if path.is_file()}
    assert there - linked == set()


def test_pictures_are_light() -> None:
    assert {p.name: p.stat().st_size for p in (ROOT / "docs").rglob("*.png") if p.stat().st_size > 150_000} == {}


# --- names ----------------------------------------------------------------------------------------------


def _code(path: Path) -> Iterator[str]:
    """What stands between backticks in a line, and each line of a block of code."""
    text = read(path)
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


@EACH
def test_commands_exist(path: Path) -> None:
    words = {sub.words for sub in SUBS}
    for code in _code(path):
        found = re.match(r"/consortium (?P<rest>.+)", code)
        if found is None:
            continue
        named = found["rest"].replace("\\|", "|").split(" [")[0].split(" … ")[0]
        if path.name == "discord.md":
            assert any(named == word or named.startswith(f"{word} ") for word in words), code
        else:
            assert named.split()[0] in (*COMMANDS, "…"), code


USAGES_AS_WRITTEN = {usage.usage for usage in USAGES}


@pytest.mark.parametrize("name", ["governance.md", "commands.md"])
def test_examples_of_commands_are_read(name: str) -> None:
    examples = [
        code
        for code in _code(ROOT / "docs" / name)
        if code.split()[0] in COMMANDS
        and code not in COMMANDS  # the name stands for the command, without what belongs behind it
        and code.replace("\\|", "|") not in USAGES_AS_WRITTEN
        and "…" not in code
    ]
    assert examples
    for code in examples:
        assert parse(code)


@EACH
def test_settings_exist(path: Path) -> None:
    known = {name.upper() for name in Settings.model_fields}
    known |= {"PATH", "BENCH", "PYTHON", "SIGTERM", "DEMO", "WORKERS"}
    for code in _code(path):
        for name in re.findall(r"\b[A-Z]{3,}(?:_[A-Z]+)+\b", code):
            assert name in known, name


@EACH
def test_commands_of_the_terminal_exist(path: Path) -> None:
    known = _terminal()
    for code in _code(path):
        found = re.match(r"(?:.*\| )?consortium (?P<name>[a-z-]+)", code)
        if found and not code.startswith("consortium."):
            assert found["name"] in known, code


@cache
def _terminal() -> frozenset[str]:
    import typer.main
    from typer.core import TyperGroup

    from bot import cli

    group = typer.main.get_command(cli.app)
    assert isinstance(group, TyperGroup)
    return frozenset(group.commands)


# --- figures --------------------------------------------------------------------------------------------


def test_limits_of_files_are_told_as_they_are() -> None:
    told = read(ROOT / "docs" / "commands.md")
    for figure in (
        f"| files with one question | {attachments.MOST_FILES} |",
        f"| one file | {attachments.MOST_BYTES // 2**20} MB |",
        f"{attachments.MOST_CHARACTERS:,} characters",
        f"first {attachments.MOST_PAGES} pages, {attachments.PDF_SECONDS:g} seconds",
        f"{attachments.MOST_PIXELS:,} pixels a side; above {attachments.HEAVY_IMAGE / 1e6:g} MB",
        f"to {attachments.SIDE:,} pixels",
    ):
        assert figure in told


def test_every_scope_is_explained_and_no_other() -> None:
    explained = re.findall(r"^\| (`[a-z:_.`, ]+`) \|", read(ROOT / "docs" / "slack.md"), re.MULTILINE)
    assert sorted(re.findall(r"[a-z_.]+(?::[a-z]+)?", " ".join(explained).replace("`", ""))) == sorted(SCOPES)


def test_permissions_of_discord_are_those_asked_for() -> None:
    assert str(PERMISSIONS) in read(ROOT / "docs" / "discord.md")


def test_keys_of_the_models_file_exist() -> None:
    told = read(ROOT / "docs" / "governance.md")
    block = re.search(r"```toml\n\[governance\]\n(.*?)```", told, re.DOTALL)
    assert block is not None
    keys = re.findall(r"^([a-z_]+) =", block[1], re.MULTILINE)
    assert set(keys) == set(catalog.GovernanceSpec.model_fields)
    assert {"vision", "input_price", "output_price"} <= set(catalog.ModelSpec.model_fields)
    assert "confidence_threshold" in setup.ConsortiumSpec.model_fields


def test_words_of_buttons_exist() -> None:
    """Each label in the tables of buttons stands in the code."""
    section = read(ROOT / "docs" / "commands.md").split("\n## Buttons\n")[1].split("\n## ")[0]
    labels = {
        label
        for line in section.splitlines()
        if line.startswith("| `")
        for label in re.findall(r"`([^`]+)`", line.split(" | ")[0])
    }
    assert len(labels) > 20
    there = _strings()
    missing = {label for label in labels if not label.isdecimal() and label.partition("…")[0] not in there}
    assert missing == set()


@cache
def _strings() -> str:
    """All text constants of the core and the adapters."""
    found = []
    for package in ("core", "adapters"):
        for module in (ROOT / package).rglob("*.py"):
            nodes = ast.walk(ast.parse(module.read_text("utf-8")))
            found += [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return "\n".join(found)


def test_tests_that_are_named_exist() -> None:
    """What is said to be refused is refused by somebody."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", read(ROOT / "docs" / "security.md"))
    assert len(named) > 20
    for path, test in named:
        assert re.search(rf"^(async )?def {test}\(", read(ROOT / path), re.MULTILINE), f"{path}::{test}"


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(renewed(read(document)), "utf-8")
