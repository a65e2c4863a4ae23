"""The slash commands: what Discord lists, offers and checks, and how an invocation becomes a core command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from adapters.discord import limits
from adapters.discord.library import app_commands, discord
from adapters.discord.render import cut
from core.catalog import Catalog
from core.commands.grammar import USAGES, Usage, help_with
from core.commands.values import (
    AskCommand,
    AssignRole,
    ClearRoles,
    Command,
    HelpCommand,
    HistoryCommand,
    ModelsCommand,
    RolesCommand,
    ShuffleRoles,
)
from core.telemetry import get_logger

log = get_logger(__name__)

Interaction = discord.Interaction[discord.Client]
Choices = list[app_commands.Choice[str]]
Handler = Callable[[Interaction, Command], Awaitable[None]]


def _does(*words: str) -> str:
    """What a command does, in the words of the help."""
    wanted = " ".join(words)
    does = next(u.does for u in USAGES if u.usage == wanted or u.usage.startswith(f"{wanted} "))
    return cut(does[0].upper() + does[1:], limits.DESCRIPTION)


def choices(labels: Mapping[str, str], typed: str) -> Choices:
    """What is offered while somebody types: values (with labels) that hold what was typed, best first."""
    typed = typed.strip().lower()
    found = [value for value in labels if typed in labels[value].lower() and limits.size(value) <= limits.CHOICE]
    found.sort(key=lambda value: not value.lower().startswith(typed))
    return [
        app_commands.Choice(name=cut(labels[value], limits.CHOICE), value=value) for value in found[: limits.CHOICES]
    ]


def named(names: Iterable[str], typed: str) -> Choices:
    """Choices that are labelled as they are called."""
    return choices({name: name for name in names}, typed)


class ConsortiumGroup(app_commands.Group):
    """``/consortium …``: every callback makes the core's command and hands it over."""

    def __init__(self, catalog: Catalog, handle: Handler) -> None:
        super().__init__(
            name="consortium",
            description="Ask a panel of language models and get one answer",
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        )
        self._catalog, self._handle = catalog, handle

    @app_commands.command(name="ask", description=_does("ask"))
    @app_commands.describe(
        question="What to ask",
        consortium="Which panel to ask",
        domain="What the question is about",
        charts="Whether to draw the charts",
    )
    async def ask(
        self,
        interaction: Interaction,
        question: app_commands.Range[str, 1, limits.QUESTION],
        consortium: str | None = None,
        domain: str | None = None,
        charts: bool = True,
    ) -> None:
        """Ask the panel."""
        await self._handle(interaction, AskCommand(text=question, consortium=consortium, domain=domain, charts=charts))

    @app_commands.command(name="history", description=_does("history"))
    @app_commands.describe(page="Which page, the latest being 1")
    async def history(self, interaction: Interaction, page: app_commands.Range[int, 1, 10_000] = 1) -> None:
        """List my questions."""
        await self._handle(interaction, HistoryCommand(page=page))

    @app_commands.command(name="models", description=_does("models"))
    async def models(self, interaction: Interaction) -> None:
        """Show models and consortia."""
        await self._handle(interaction, ModelsCommand())

    @app_commands.command(name="help", description="What can be written, and what happens")
    async def help(self, interaction: Interaction) -> None:
        """Show the help."""
        await self._handle(interaction, HelpCommand())

    roles = app_commands.Group(name="roles", description=_does("roles"))

    @roles.command(name="list", description=_does("roles"))
    async def roles_list(self, interaction: Interaction) -> None:
        """Show the roles."""
        await self._handle(interaction, RolesCommand())

    @roles.command(name="assign", description=_does("roles", "assign"))
    @app_commands.describe(model="Which model", role="A role there is, or your own words")
    async def roles_assign(
        self, interaction: Interaction, model: str, role: app_commands.Range[str, 1, limits.ROLE]
    ) -> None:
        """Give a model a role."""
        await self._handle(interaction, AssignRole(model=model, role=role))

    @roles.command(name="clear", description=_does("roles", "clear"))
    @app_commands.describe(model="Which model; all when left out")
    async def roles_clear(self, interaction: Interaction, model: str | None = None) -> None:
        """Take roles away."""
        await self._handle(interaction, ClearRoles(model=model))

    @roles.command(name="shuffle", description=_does("roles", "shuffle"))
    @app_commands.describe(roles="Roles with commas between them")
    async def roles_shuffle(self, interaction: Interaction, roles: app_commands.Range[str, 1, limits.QUESTION]) -> None:
        """Deal roles by chance."""
        await self._handle(interaction, ShuffleRoles(roles=roles))

    @ask.autocomplete("consortium")
    async def _consortia(self, interaction: Interaction, typed: str) -> Choices:
        return named(self._catalog.consortia, typed)

    @ask.autocomplete("domain")
    async def _domains(self, interaction: Interaction, typed: str) -> Choices:
        return named(self._catalog.all_domains, typed)

    @roles_assign.autocomplete("role")
    async def _role_names(self, interaction: Interaction, typed: str) -> Choices:
        return named(self._catalog.all_roles, typed)

    @roles_assign.autocomplete("model")
    @roles_clear.autocomplete("model")
    async def _models(self, interaction: Interaction, typed: str) -> Choices:
        simulated = {key for key, spec in self._catalog.models.items() if spec.provider == "simulated"}
        labels = {key: f"{key} (simulated)" if key in simulated else key for key in self._catalog.models}
        return choices(labels, typed)


def slash_help(group: ConsortiumGroup) -> str:
    """The help where slash commands are what there is, with their options as Discord names them."""
    order = [usage.name for usage in USAGES]
    commands = [command for command in group.walk_commands() if isinstance(command, app_commands.Command)]
    commands.sort(key=lambda command: order.index(command.qualified_name.split()[1]))
    return help_with(Usage(c.name, " ".join([f"/{c.qualified_name}", *_options(c)]), c.description) for c in commands)


def _options(command: app_commands.Command[Any, ..., Any]) -> Iterator[str]:
    for option in command.parameters:
        yield f"{option.name}: …" if option.required else f"[{option.name}: …]"


class Tree(app_commands.CommandTree[discord.Client]):
    """The tree with its commands and a way to tell of errors before a command is reached."""

    def __init__(
        self, client: discord.Client, catalog: Catalog, handle: Handler, refuse: Callable[..., Awaitable[None]]
    ) -> None:
        super().__init__(client)
        self.add_command(ConsortiumGroup(catalog, handle))
        self._refuse = refuse

    async def on_error(self, interaction: Interaction, error: app_commands.AppCommandError, /) -> None:
        """Options that do not fit the command any more, and errors that slipped through."""
        cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
        log.error("slash command failed", error=type(cause).__name__, detail=str(cause)[:200])
        if interaction.type is not discord.InteractionType.autocomplete:
            await self._refuse(interaction, cause)

    async def sync_if_changed(self) -> bool:
        """Send the commands to Discord if it has others; writing them is limited to 200 a day."""
        wanted = [command.to_dict(self) for command in self.get_commands()]
        application = self.client.application_id
        if application is None:
            raise RuntimeError("not logged in")
        present = await self.client.http.get_global_commands(application)
        if _shape(wanted) == _shape(list(present)):
            return False
        await self.sync()
        return True


_COMPARED = (
    *("name", "description", "required", "autocomplete", "min_length", "max_length", "min_value", "max_value"),
    *("choices", "default_member_permissions", "nsfw"),
)


def _shape(commands: Iterable[Any]) -> list[dict[str, Any]]:
    """What matters of commands, ours or as Discord returns them, without what it adds and defaults."""
    shapes = []
    for command in commands:
        shape = {key: command[key] for key in _COMPARED if command.get(key)}
        shape |= {key: sorted(command[key]) for key in ("contexts", "integration_types") if command.get(key)}
        shape["type"] = command.get("type", 1)
        shapes.append(shape | {"options": _shape(command.get("options") or ())})
    return shapes
