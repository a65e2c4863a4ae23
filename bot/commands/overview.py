"""What there is to ask: ``models`` and ``strategies``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.base import Json, configured, run

if TYPE_CHECKING:
    from core.catalog import Catalog, ModelSpec
    from core.strategies import Description, Parameter


def models(as_json: Json = False) -> None:
    """Show the models: providers, keys, breakers; and the consortia.

    Prices are not shown: what a call has cost is what its provider said, see consortium run.

    Examples:

    \b
      consortium models
      consortium models --json
    """
    run(_models(as_json))


async def _models(as_json: bool) -> None:
    from bot.app import open_core
    from bot.commands.consortia import known_consortia
    from bot.records import open_history
    from bot.tables import Table, print_json, print_table
    from core.present.lists import breaker_text

    settings, catalog = configured()
    async with open_core(settings, catalog, work=False) as core, open_history(settings) as history:
        states = {key: await core.state.breakers().state(key) for key in catalog.models}
        consortia = {name: setup for name, (_, setup) in (await known_consortia(history.consortia, catalog)).items()}
        mine, _ = await core.service.setup()
    rows = [_model(key, spec, catalog) for key, spec in catalog.models.items()]
    if as_json:
        found = [{**row, "breaker": states[row["model"]]} for row in rows]
        print_json({"models": found, "consortia": consortia, "default": mine})
        return
    cells = [(r["model"], r["provider"], r["name"], r["key"], breaker_text(states[r["model"]])) for r in rows]
    print_table(Table(("model", "provider", "name", "key", "state"), cells))
    print()
    lines = [
        (f"{name} (default)" if name == mine else name, ", ".join(s.members), s.arbiter, s.strategy)
        for name, s in consortia.items()
    ]
    print_table(Table(("consortium", "members", "arbiter", "strategy"), lines))


def _model(key: str, spec: ModelSpec, catalog: Catalog) -> dict[str, Any]:
    from bot.settings import provider_keys

    provider = catalog.providers.get(spec.provider)
    variable = provider.api_key_env if provider else None
    state = "none needed" if variable is None else f"{variable} set" if variable in provider_keys(catalog) else None
    return {
        "model": key,
        "provider": spec.provider,
        "name": spec.name,
        "key": state or f"{variable} missing",
        "simulated": spec.provider == "simulated",
        "structured": spec.structured,
        "timeout": spec.timeout,
    }


def strategies(
    name: Annotated[str | None, typer.Argument(help="Only this one.")] = None, as_json: Json = False
) -> None:
    """Show the strategies by which a panel comes to its answer.

    Each with when to use it and its parameters.

    Examples:

    \b
      consortium strategies
      consortium strategies voting
      consortium ask --strategy voting --param lead=2 "Is 91 prime?"
    """
    from bot.tables import print_json
    from core.errors import NotFound
    from core.strategies import describe

    found = [d for d in describe() if name is None or d.name == name.lower()]
    if not found:
        raise NotFound(f"NAME {name}: there is no such strategy; there are {', '.join(d.name for d in describe())}")
    if as_json:
        print_json(found)
        return
    for i, description in enumerate(found):
        if i:
            print()
        _print_strategy(description)


def _print_strategy(description: Description) -> None:
    from bot.tables import Table, print_table

    print(f"{description.name}: {description.summary}\n  Use it {description.use_when}.")
    if description.parameters:
        columns = ("parameter", "kind", "default", "meaning")
        print_table(Table(columns, [_parameter(p) for p in description.parameters]))


def _parameter(parameter: Parameter) -> tuple[str, ...]:
    import json

    default = "none" if parameter.default is None else json.dumps(parameter.default, default=list)
    return (parameter.name, parameter.kind, default, parameter.meaning)
