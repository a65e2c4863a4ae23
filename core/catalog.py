"""What ``consortium.toml`` says: providers, models, consortia, roles, domains, limits; checked as a whole."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from core.types import Member

Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
"""A name in the file: letters, digits, dot, dash, underscore; at most 40 characters."""

BUILT_IN_ROLES = {
    "Utilitarian": "Judge by consequences: prefer what brings the greatest well-being to the most people, and say "
    "how you weigh gains against harms.",
    "Deontologist": "Judge by duties and rights: some acts are wrong whatever they bring. Name the duty or right at "
    "stake and hold to it.",
    "Virtue Ethicist": "Judge by character: ask what an honest, fair, brave and temperate person would do here, and "
    "which habits the choice would build.",
    "Libertarian": "Judge by liberty: consent, property and freedom from coercion come first. Say who would be forced "
    "to do what.",
    "Rawlsian": "Judge from behind a veil of ignorance: choose what you would accept not knowing whose place you "
    "take, and look first at those who fare worst.",
    "Precautionary": "Judge by what could go badly wrong: where harm may be grave or lasting, ask for proof of "
    "safety first, and name the cautious course.",
}
"""The six ethical roles that are always there."""

BUILT_IN_DOMAINS = {
    "education": "The question is about education: consider learners, teachers, evidence on learning and fair access.",
    "healthcare": "The question is about health care: consider safety, evidence and consent, and say what needs a "
    "clinician. Do not replace medical advice.",
    "policy": "The question is about public policy: consider who gains and loses, cost, enforcement and evidence from "
    "elsewhere.",
    "science": "The question is about science: separate what is established from what is conjecture, and give "
    "uncertainty.",
    "environment": "The question is about the environment: consider long horizons, ecosystems, trade-offs and those "
    "not present to speak.",
}
"""The five domains that are always there: each is a prefix to the members' instructions."""


class Section(BaseModel):
    """Base of all sections: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Provider(Section):
    """A server that speaks the OpenAI protocol. ``api_key_env`` names the variable that holds its key."""

    base_url: str = Field(pattern=r"^https?://[^\s]+$")
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")

    @field_validator("base_url")
    @classmethod
    def _no_trailing_slash(cls, url: str) -> str:
        return url.rstrip("/")


class ModelSpec(Section):
    """A model at a provider. ``timeout`` bounds one call, in seconds.

    ``structured`` tells how it gives JSON: "schema" (by schema, with fallback), "json" (any object) or
    "text" (asked for in words). Provider "simulated" needs no server; ``name`` is then a character.
    """

    provider: str
    name: str = Field(min_length=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=800, ge=1)
    timeout: float = Field(default=60, gt=0, le=3600)
    structured: Literal["schema", "json", "text"] = "schema"


class ConsortiumSpec(Section):
    """A panel. ``members`` are models or ``model:count``; ``deadline`` bounds one run, in seconds.

    A member that is far behind is not waited for: once ``quorum`` (a share of those that have not failed) has
    answered, the rest get ``patience`` times the time that took (one second more at the least), then the run goes on.
    ``context_tokens`` bounds what a follow-up carries of its thread.
    """

    members: tuple[str, ...] = Field(min_length=1)
    arbiter: str
    arbiter_fallbacks: tuple[str, ...] = ()
    confidence_threshold: float = Field(default=0.8, ge=0, le=1)
    min_iterations: int = Field(default=1, ge=1, le=10)
    max_iterations: int = Field(default=3, ge=1, le=10)
    deadline: float = Field(default=120, gt=0, le=3600)
    quorum: float = Field(default=0.66, gt=0, le=1)
    patience: float = Field(default=2.0, ge=1, le=100)
    context_tokens: int = Field(default=4000, ge=0)

    @field_validator("members")
    @classmethod
    def _are_seats(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        for entry in members:
            parse_seat(entry)
        return members

    @model_validator(mode="after")
    def _iterations_in_order(self) -> Self:
        if self.min_iterations > self.max_iterations:
            raise ValueError(
                f"min_iterations ({self.min_iterations}) must not exceed max_iterations ({self.max_iterations})"
            )
        if not 1 <= self.size <= 12:
            raise ValueError(f"a panel has 1 to 12 members, this one has {self.size}")
        return self

    @property
    def seats(self) -> tuple[tuple[str, int], ...]:
        """The members as (model key, count), the same model named twice added up."""
        counts: dict[str, int] = {}
        for entry in self.members:
            key, count = parse_seat(entry)
            counts[key] = counts.get(key, 0) + count
        return tuple(counts.items())

    @property
    def size(self) -> int:
        """How many members the panel has."""
        return sum(count for _, count in self.seats)


class LimitSpec(Section):
    """How often people may ask: "10/minute", "200 per day"; several with a semicolon between them."""

    user: str = "10/minute;200/day"
    workspace: str = "120/minute"


class Catalog(Section):
    """The whole file, cross-checked. Built-in roles and domains are added; the file's own win."""

    providers: dict[Key, Provider] = Field(default_factory=dict)
    models: dict[Key, ModelSpec]
    consortia: dict[Key, ConsortiumSpec]
    roles: dict[str, str] = Field(default_factory=dict)
    domains: dict[Key, str] = Field(default_factory=dict)
    limits: LimitSpec = LimitSpec()

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        problems: list[str] = []
        for key, model in self.models.items():
            if model.provider != "simulated" and model.provider not in self.providers:
                known = ", ".join(["simulated", *self.providers])
                problems.append(f"models.{key}.provider: no provider {model.provider!r} (there are: {known})")
        known = ", ".join(self.models)
        for name, spec in self.consortia.items():
            used = [("members", key) for key, _ in spec.seats] + [("arbiter", spec.arbiter)]
            used += [("arbiter_fallbacks", key) for key in spec.arbiter_fallbacks]
            problems += [
                f"consortia.{name}.{field}: no model {key!r} (there are: {known})"
                for field, key in used
                if key not in self.models
            ]
        if "default" not in self.consortia:
            problems.append("consortia.default: missing; one consortium must be called default")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def all_roles(self) -> dict[str, str]:
        """Role names with their instructions, the built-in ones first."""
        return {**BUILT_IN_ROLES, **self.roles}

    @property
    def all_domains(self) -> dict[str, str]:
        """Domain names with their prefixes, the built-in ones first."""
        return {**BUILT_IN_DOMAINS, **self.domains}

    def panel(self, consortium: str, roles: dict[str, str] | None = None) -> tuple[Member, ...]:
        """The members of a consortium with the roles that a person gave to models."""
        return tuple(
            Member(
                id=key if count == 1 else f"{key} {seat + 1}",
                model=key,
                role=(roles or {}).get(key),
                simulated=self.models[key].provider == "simulated",
            )
            for key, count in self.consortia[consortium].seats
            for seat in range(count)
        )

    def judges(self, consortium: str) -> tuple[Member, ...]:
        """The arbiter and its stand-ins, in the order in which they are tried."""
        spec = self.consortia[consortium]
        keys = dict.fromkeys((spec.arbiter, *spec.arbiter_fallbacks))
        return tuple(Member(id=k, model=k, simulated=self.models[k].provider == "simulated") for k in keys)


_SEAT = re.compile(r"(?P<key>[A-Za-z0-9][A-Za-z0-9._-]{0,39})(?::(?P<count>[1-9][0-9]?))?")


def parse_seat(entry: str) -> tuple[str, int]:
    """Read "model" or "model:count". Raises ValueError."""
    match = _SEAT.fullmatch(entry)
    if not match:
        raise ValueError(f'{entry!r} is not a member; write "model" or "model:count", e.g. "qwen:2"')
    return match["key"], int(match["count"] or 1)
