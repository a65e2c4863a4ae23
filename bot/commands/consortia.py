"""The operator's saved consortia: ``save``, ``update``, ``list``, ``show``, ``remove``, ``default``.

Those that workspaces saved for themselves are left to them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bot.commands.base import Json, configured, listed, run
from bot.commands.setups import changed_setup, checked_name, from_file, given, new_setup, toml_of, worded

if TYPE_CHECKING:
    from adapters.history.consortia import SqlConsortia
    from core.catalog import Catalog
    from core.setup import ConsortiumSpec

Name = Annotated[str, typer.Argument(help="The consortium's name.")]
Members = Annotated[
    list[str] | None, typer.Option("--model", help="A member: model or model:seats, e.g. qwen:2. Repeatable.")
]
Arbiter = Annotated[str | None, typer.Option(help="The model that judges; one that is no member when left out.")]
Fallbacks = Annotated[list[str] | None, typer.Option("--fallback", help="A stand-in for the arbiter. Repeatable.")]
Strategy = Annotated[str | None, typer.Option(help="How the panel comes to its answer; see strategies.")]
Params = Annotated[list[str] | None, typer.Option("--param", help="A strategy's parameter: name=value. Repeatable.")]
Judging = Annotated[
    Literal["synthesis", "rank", "pick-one"] | None, typer.Option(help="What the arbiter is asked for.")
]
BothOrders = Annotated[
    bool | None, typer.Option("--both-orders/--one-order", help="Judge twice, in opposite orders of the answers.")
]
Threshold = Annotated[float | None, typer.Option(help="Confidence from which no further round is needed, 0 to 1.")]
MinIterations = Annotated[int | None, typer.Option(help="Rounds at the least.")]
MaxIterations = Annotated[int | None, typer.Option(help="Rounds at the most.")]
Deadline = Annotated[float | None, typer.Option(help="Seconds that one run may take.")]
Quorum = Annotated[float | None, typer.Option(help="Share of members after which stragglers are not waited for long.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="A role for a model: model=role. Repeatable.")]
System = Annotated[str | None, typer.Option(help="Instructions for the members.")]
Description = Annotated[str | None, typer.Option(help="A line on what it is for.")]


def save(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="What to call it.")] = None,
    model: Members = None,
    arbiter: Arbiter = None,
    fallback: Fallbacks = None,
    strategy: Strategy = None,
    param: Params = None,
    judging: Judging = None,
    both_orders: BothOrders = None,
    threshold: Threshold = None,
    min_iterations: MinIterations = None,
    max_iterations: MaxIterations = None,
    deadline: Deadline = None,
    quorum: Quorum = None,
    role: Roles = None,
    system: System = None,
    description: Description = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Take the consortia of a TOML file, all or the named one.")
    ] = None,
    default: Annotated[bool, typer.Option("--default", help="Ask it when no consortium is named.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace one that has the name already.")] = False,
    as_json: Json = False,
) -> None:
    """Save a consortium for everybody, on every surface and in every workspace.

    A saved one goes before one of the models file that has the same name, and one that a workspace saved for itself
    goes before both, there.

    Examples:

    \b
      consortium save careful --model qwen:2 --model llama --arbiter mistral --strategy voting --param lead=2
      consortium save review --model qwen --model llama --role llama="Fact Checker" --judging rank --default
      consortium save --from consortia.toml
      consortium save careful --from consortia.toml --replace
    """
    from core.errors import BadInput

    fields = given(ctx.params)
    if source and fields:
        raise BadInput(
            f"--from: takes consortia as they are in the file; change them with update ({listed([*fields])})"
        )
    if name is None and (source is None or default):
        raise BadInput("NAME: missing; write e.g. consortium save careful --model qwen --model llama")
    if source is None and not model:
        raise BadInput(f"--model: missing; write e.g. consortium save {name} --model qwen:2 --model llama")
    _, catalog = configured()
    found = from_file(source, name, catalog) if source else {checked_name(name or ""): new_setup(catalog, fields)}
    run(_save(found, default, replace, as_json))


def update(
    ctx: typer.Context,
    name: Name,
    model: Members = None,
    arbiter: Arbiter = None,
    fallback: Fallbacks = None,
    strategy: Strategy = None,
    param: Params = None,
    judging: Judging = None,
    both_orders: BothOrders = None,
    threshold: Threshold = None,
    min_iterations: MinIterations = None,
    max_iterations: MaxIterations = None,
    deadline: Deadline = None,
    quorum: Quorum = None,
    role: Roles = None,
    system: System = None,
    description: Description = None,
    as_json: Json = False,
) -> None:
    """Change a saved consortium: only what is given changes.

    Members and stand-ins are replaced as a whole, parameters and roles one by one. An empty value takes something away:
    --role qwen= or --param lead= or --system "" or --fallback "".

    Examples:

    \b
      consortium update careful --threshold 0.9 --max-iterations 4
      consortium update careful --model qwen:3 --model llama
      consortium update careful --param lead=3 --role llama=
    """
    run(_update(name, given(ctx.params), as_json))


def list_(as_json: Json = False) -> None:
    """List the saved consortia and those of the models file.

    Examples:

    \b
      consortium list
      consortium list --json
    """
    run(_list(as_json))


def show(
    name: Name,
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print a section that save --from and consortium.toml take.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how a consortium is set up.

    Examples:

    \b
      consortium show default
      consortium show careful --toml > careful.toml
    """
    run(_show(name, as_toml, as_json))


def remove(name: Name, as_json: Json = False) -> None:
    """Remove a saved consortium. What was asked of it stays on record.

    Examples:

    \b
      consortium remove careful
    """
    run(_remove(name, as_json))


def default(
    name: Annotated[str | None, typer.Argument(help="The consortium to ask when none is named.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help='Go back to the one called "default".')] = False,
    as_json: Json = False,
) -> None:
    """Show or set which consortium is asked when none is named.

    Examples:

    \b
      consortium default
      consortium default careful
      consortium default --clear
    """
    from core.errors import BadInput

    if name and clear:
        raise BadInput("--clear: takes no name; write either consortium default --clear or consortium default NAME")
    run(_default(name, clear, as_json))


# --- what is done ---------------------------------------------------------------------------------------


async def _save(found: Mapping[str, ConsortiumSpec], default: bool, replace: bool, as_json: bool) -> None:
    from bot.records import open_history
    from bot.tables import print_json
    from core.errors import BadInput

    settings, catalog = configured()
    async with open_history(settings) as history:
        consortia = history.consortia
        there = [name for name in found if await consortia.get(name, None)]
        if there and not replace:
            raise BadInput(f"NAME {listed(there)}: saved already; add --replace, or change it with update")
        for name, setup in found.items():
            await consortia.save(name, setup, None)
        if default:
            await consortia.set_default(next(iter(found)))
    if as_json:
        print_json({"saved": [*found], "replaced": there, "default": next(iter(found)) if default else None})
        return
    for name, setup in found.items():
        print(f"{'Replaced' if name in there else 'Saved'} {name}: {_in_short(setup)}")
        if name in catalog.consortia and name not in there:
            print(f"It goes before the {name} of the models file.")
    if default:
        print(f"{next(iter(found))} is asked when no consortium is named.")


def _in_short(setup: ConsortiumSpec) -> str:
    return f"{', '.join(setup.members)}; arbiter {setup.arbiter}; strategy {setup.strategy}"


async def _update(name: str, changes: Mapping[str, Any], as_json: bool) -> None:
    from bot.records import open_history
    from bot.tables import print_json
    from core.errors import BadInput

    if not changes:
        raise BadInput(f"update {name}: nothing is given to change; see consortium update --help")
    settings, catalog = configured()
    async with open_history(settings) as history:
        name = await _saved_name(history.consortia, name, catalog)
        saved = await history.consortia.get(name, None)
        assert saved is not None  # noqa: S101 - looked up above
        setup = changed_setup(catalog, saved.setup, changes)
        await history.consortia.save(name, setup, None)
    if as_json:
        print_json({"name": name, "setup": setup})
    else:
        print(f"Updated {name}: {_in_short(setup)}")


async def _saved_name(consortia: SqlConsortia, name: str, catalog: Catalog) -> str:
    """The name under which it is saved. Raises NotFound."""
    from core.errors import NotFound

    if saved := await consortia.get(name, None):
        return saved.name
    if name in catalog.consortia:
        raise NotFound(
            f"NAME {name}: stands in the models file and is not saved; change it there, "
            f"or save it: consortium show {name} --toml > {name}.toml, consortium save --from {name}.toml"
        )
    names = [s.name for s in await consortia.all(None)]
    raise NotFound(f"NAME {name}: no such consortium is saved{_near(name, names)}")


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {listed(names)}" if names else "; none is"


async def known_consortia(consortia: SqlConsortia, catalog: Catalog) -> dict[str, tuple[str, ConsortiumSpec]]:
    """All consortia by name, each with where it is from; a saved one hides that of the file."""
    saved = {s.name: ("saved", s.setup) for s in await consortia.all(None)}
    lower = {name.lower() for name in saved}
    file = {name: ("file", setup) for name, setup in catalog.consortia.items() if name.lower() not in lower}
    return {**saved, **file}


async def _list(as_json: bool) -> None:
    from bot.records import open_history
    from bot.tables import Table, print_json, print_table, short

    settings, catalog = configured()
    async with open_history(settings) as history:
        known = await known_consortia(history.consortia, catalog)
        chosen = await history.consortia.default() or "default"
    rows = [(name, where, name.lower() == chosen.lower(), setup) for name, (where, setup) in known.items()]
    if as_json:
        print_json([{"name": n, "from": w, "default": d, "setup": s} for n, w, d, s in rows])
        return
    columns = ("consortium", "from", "members", "arbiter", "strategy", "description")
    cells = [
        (f"{n} (default)" if d else n, w, ", ".join(s.members), s.arbiter, s.strategy, short(s.description, 80))
        for n, w, d, s in rows
    ]
    print_table(Table(columns, cells))


async def _show(name: str, as_toml: bool, as_json: bool) -> None:
    from bot.records import open_history
    from bot.tables import print_fields, print_json
    from core.errors import NotFound

    settings, catalog = configured()
    async with open_history(settings) as history:
        known = await known_consortia(history.consortia, catalog)
    by_lower = {key.lower(): key for key in known}
    found = by_lower.get(name.lower())
    if found is None:
        raise NotFound(f"NAME {name}: there is no such consortium{_near(name, [*known])}")
    where, setup = known[found]
    if as_toml:
        print(toml_of(found, setup), end="")
    elif as_json:
        print_json({"name": found, "from": where, "setup": setup})
    else:
        print_fields({"name": found, "from": where, **{k: worded(v) for k, v in setup.model_dump().items()}})


async def _remove(name: str, as_json: bool) -> None:
    from bot.records import open_history
    from bot.tables import print_json

    settings, catalog = configured()
    async with open_history(settings) as history:
        name = await _saved_name(history.consortia, name, catalog)
        await history.consortia.remove(name, None)
        left = name in catalog.consortia
    if as_json:
        print_json({"removed": name})
    else:
        print(f"Removed {name}." + (f" The {name} of the models file holds again." if left else ""))


async def _default(name: str | None, clear: bool, as_json: bool) -> None:
    from bot.records import open_history
    from bot.tables import print_json
    from core.errors import NotFound

    settings, catalog = configured()
    async with open_history(settings) as history:
        known = await known_consortia(history.consortia, catalog)
        if name:
            by_lower = {key.lower(): key for key in known}
            if name.lower() not in by_lower:
                raise NotFound(f"NAME {name}: there is no such consortium{_near(name, [*known])}")
            await history.consortia.set_default(by_lower[name.lower()])
        elif clear:
            await history.consortia.set_default(None)
        chosen = await history.consortia.default() or "default"
    if as_json:
        print_json({"default": chosen})
    else:
        print(chosen)
