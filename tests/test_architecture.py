"""The rules of the house that no single module can show: who imports whom, and what is where."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from bot import cli
from core.commands.grammar import USAGES, help_text

pytestmark = pytest.mark.xdist_group("architecture")  # so that each module is parsed once

ROOT = Path(__file__).parents[1]
PACKAGES = ("bot", "adapters", "core")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def breaches(rule: Callable[[Path], Iterable[object]]) -> dict[str, list[object]]:
    """The modules in which something is against a rule, and what."""
    found = {str(path.relative_to(ROOT)): list(rule(path)) for path in MODULES}
    return {name: against for name, against in found.items() if against}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(tree(path)))


def imports(path: Path) -> Iterator[str]:
    """All that a module imports, in whatever place, by full name."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their package"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) > 40
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(PACKAGES)


# --- layers ---------------------------------------------------------------------------------------------


def test_imports_go_from_bot_to_adapters_to_core() -> None:
    def upward(path: Path) -> Iterator[str]:
        package, *rest = path.relative_to(ROOT).parts
        ours = [name for name in imports(path) if name.split(".")[0] in (*PACKAGES, "tests")]
        allowed = {"core": ("core",), "adapters": ("core", "adapters"), "bot": PACKAGES}[package]
        yield from (name for name in ours if name.split(".")[0] not in allowed)
        if package == "adapters":  # they know nothing of each other
            yield from (n for n in ours if n.startswith("adapters.") and n.split(".")[1] != rest[0])

    assert breaches(upward) == {}


def test_no_import_goes_in_a_circle() -> None:
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES}
    graph = {name: _run_at_import(path, names) - {name} for name, path in names.items()}
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in sorted(graph[name]):
                walk(other, (*trail, name))
            done.add(name)

    for name in graph:
        walk(name, ())


def _run_at_import(path: Path, ours: Container[str]) -> set[str]:
    """Which of our modules a module loads as it is loaded itself: not in functions, not for types alone."""
    found: set[str] = set()
    for node in tree(path).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in ours else node.module or "" for name in names}
    return {name for name in found if name in ours}


# --- one place for each thing ---------------------------------------------------------------------------


def test_the_environment_is_read_in_one_file_only() -> None:
    def reads(path: Path) -> Iterator[object]:
        if path == ROOT / "bot" / "settings.py":
            return
        yield from (n for n in imports(path) if n.startswith("dotenv") or n in ("os.environ", "os.getenv"))
        attributes = [node for node in nodes(path) if isinstance(node, ast.Attribute)]
        # What a process of its own sets for the libraries that it loads: os.environ.update(…).
        set_only = {id(node.value) for node in attributes if (node.attr, path.stem) == ("update", "workshop")}
        read = [node for node in attributes if node.attr in ("environ", "environb", "getenv")]
        yield from (node.lineno for node in read if id(node) not in set_only)

    assert breaches(reads) == {}


def test_figures_are_drawn_without_global_state() -> None:
    assert breaches(lambda path: [name for name in imports(path) if "pyplot" in name or "pylab" in name]) == {}


def test_models_are_called_through_the_wrappers_alone() -> None:
    """Retries, breakers and deadlines are in one place: nobody else calls a model."""

    def calls(path: Path) -> Iterator[int]:
        if path in (ROOT / "core" / "resilience.py", ROOT / "adapters" / "models" / "openai.py"):
            return
        for node in nodes(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "complete":
                yield node.lineno

    assert breaches(calls) == {}


def test_every_public_module_and_what_it_offers_is_documented() -> None:
    def bare(path: Path) -> Iterator[str]:
        module = tree(path)
        if not ast.get_docstring(module) and path.stat().st_size:
            yield "the module"
        for node in module.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if not node.name.startswith("_") and not ast.get_docstring(node):
                yield node.name

    assert breaches(bare) == {}


def test_no_file_is_longer_than_can_be_read() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > 500} == {}


# --- commands -------------------------------------------------------------------------------------------


def test_every_command_is_documented_and_named_once() -> None:
    names = [command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback]
    assert {"ask", "serve", "worker", "demo", "models"} <= set(names)
    assert len(set(names)) == len(names)
    for command in cli.app.registered_commands:
        assert command.callback
        assert (command.callback.__doc__ or "").strip()
    usages = [usage.usage for usage in USAGES]
    assert len(set(usages)) == len(usages)
    assert all(usage.does and f"`/consortium {usage.usage}`" in help_text(topic="all") for usage in USAGES)


# --- what an import costs -------------------------------------------------------------------------------

HEAVY = (
    *("matplotlib", "sklearn", "scipy", "numpy", "textblob", "nltk", "vaderSentiment", "wordllama", "tokenizers"),
    *("discord", "slack_bolt", "slack_sdk", "docket", "aiohttp", "httpx", "sqlalchemy", "alembic", "redis", "limits"),
    *("PIL", "safetensors", "prometheus_client", "opentelemetry"),
)
IN_DRAWING_PROCESSES = ("analysis", "charts", "canvas", "embedders", "workshop")


def loaded_by(*modules: str) -> set[str]:
    program = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_by("bot.cli") & {*HEAVY, "pydantic_settings"} == set()


def test_the_core_loads_nothing_heavy_outside_of_the_drawing_processes() -> None:
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "core").rglob("*.py")]
    light = [".".join(p.parts) for p in paths if p.name != "__init__" and p.name not in IN_DRAWING_PROCESSES]
    assert len(light) > 40
    assert loaded_by(*light) & set(HEAVY) == set()


def test_serving_loads_no_library_of_the_drawing_processes() -> None:
    loaded = loaded_by("bot.app", "bot.processes", "bot.console", "bot.config")
    assert loaded & {"matplotlib", "sklearn", "scipy", "textblob", "nltk", "wordllama", "tokenizers"} == set()
    lazy = {"discord", "slack_bolt", "slack_sdk", "docket", "prometheus_client", "google"}
    assert loaded & lazy == set(), "only where they are used"
