"""What ``consortium.toml`` says: providers, models, consortia, roles, domains, limits; checked as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from core.setup import ConsortiumSpec, Key, Section
from core.types import Member, Usage

TWIN_TEMPERATURE, TWIN_STEP = 0.7, 0.1
"""The least temperature of a model's second and further seats, and by how much it is above the first one's."""

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

PANEL_ROLES = {
    "Generator": "Propose the strongest answer that you can find, and be concrete: others will test it.",
    "Devil's Advocate": "Argue against what most would say, as strongly as honesty allows, and name what would have to "
    "be true for you to be right.",
    "Fact Checker": "Check what the question takes for granted and what answers to it usually claim: say what is "
    "known, what is disputed and what cannot be told.",
}
"""Roles that keep a panel from agreeing too fast; the strategy "role" deals them."""

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


class Provider(Section):
    """A server that speaks the OpenAI protocol. ``api_key_env`` names the variable that holds its key."""

    base_url: str = Field(pattern=r"^https?://[^\s]+$")
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")

    @field_validator("base_url")
    @classmethod
    def _no_trailing_slash(cls, url: str) -> str:
        return url.rstrip("/")


class ModelSpec(Section):
    """A model at a provider. ``timeout`` bounds one call, in seconds. With ``vision`` it is shown images.

    ``input_price`` and ``output_price`` are in dollars a million tokens; left out, they are unknown, not zero (a
    provider that reports the cost of a call goes before them). Simulated models cost nothing.
    ``structured`` tells how it gives JSON: "schema" (by schema, with fallback), "json" (any object) or
    "text" (asked for in words). Provider "simulated" needs no server; ``name`` is then a character.
    """

    provider: str
    name: str = Field(min_length=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=800, ge=1)
    timeout: float = Field(default=60, gt=0, le=3600)
    vision: bool = False
    input_price: float | None = Field(default=None, ge=0)
    output_price: float | None = Field(default=None, ge=0)
    structured: Literal["schema", "json", "text"] = "schema"

    def priced(self, usage: Usage) -> Usage:
        """The usage with its cost by this model's prices, where nobody told it and all that it goes by is known."""
        known = (usage.prompt_tokens, usage.completion_tokens, self.input_price, self.output_price)
        if usage.cost is not None or None in known:
            return usage
        asked, said, input_price, output_price = (value or 0 for value in known)
        return usage.model_copy(update={"cost": (asked * input_price + said * output_price) / 1_000_000})


class EmbeddingSpec(Section):
    """What makes vectors of texts. "auto" takes WordLlama's where they are installed, else "tfidf".

    "endpoint" asks ``provider`` for the model ``name`` at its ``/embeddings``; with "sentence-transformers" ``name`` is
    that of a model or the path of its folder. ``timeout`` bounds one request, in seconds.
    """

    backend: Literal["auto", "wordllama", "tfidf", "endpoint", "sentence-transformers"] = "auto"
    provider: str | None = None
    name: str | None = None
    timeout: float = Field(default=20, gt=0, le=600)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.backend == "endpoint" and not (self.provider and self.name):
            raise ValueError('backend "endpoint" needs provider, one of the providers, and name, that of the model')
        if self.backend == "sentence-transformers" and not self.name:
            raise ValueError('backend "sentence-transformers" needs name, that of a model or the path of its folder')
        return self


class LimitSpec(Section):
    """How often people may ask: "10/minute", "200 per day"; several with a semicolon between them.

    ``at_once`` is how many runs of a workspace are at work at the most, 0: any number; further ones wait in its queue.
    """

    user: str = "10/minute;200/day"
    workspace: str = "120/minute"
    at_once: int = Field(default=32, ge=0)


class GovernanceSpec(Section):
    """What holds in every workspace until its administrators change it; each entry is taken over once.

    ``ask``, ``save``, ``moderate``, ``admin`` and ``block`` name subjects as "slack:user:U123",
    "discord:role:456" or "slack:channel:C789"; ``block`` is from asking. ``budgets`` are lines like
    "user day 20000 tokens" or "workspace month $50 9M tokens". ``confirm`` is an amount ("$0.50 50000 tokens") from
    which a run is asked for twice. ``retention_days``: after how many days runs are deleted; left out: never.
    """

    ask: tuple[str, ...] = ()
    save: tuple[str, ...] = ()
    moderate: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    confirm: str | None = None
    retention_days: int | None = Field(default=None, ge=1)


class Catalog(Section):
    """The whole file, cross-checked. Built-in roles and domains are added; the file's own win."""

    providers: dict[Key, Provider] = Field(default_factory=dict)
    models: dict[Key, ModelSpec]
    consortia: dict[Key, ConsortiumSpec]
    roles: dict[str, str] = Field(default_factory=dict)
    domains: dict[Key, str] = Field(default_factory=dict)
    limits: LimitSpec = LimitSpec()
    embeddings: EmbeddingSpec = EmbeddingSpec()
    governance: GovernanceSpec = GovernanceSpec()
    examples: dict[Key, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        problems: list[str] = []
        for key, model in self.models.items():
            if model.provider != "simulated" and model.provider not in self.providers:
                known = ", ".join(["simulated", *self.providers])
                problems.append(f"models.{key}.provider: no provider {model.provider!r} (there are: {known})")
        for name, spec in self.consortia.items():
            problems += [f"consortia.{name}.{problem}" for problem in self.missing_models(spec)]
        if self.embeddings.provider and self.embeddings.provider not in self.providers:
            known = ", ".join(self.providers) or "none"
            problems.append(f"embeddings.provider: no provider {self.embeddings.provider!r} (there are: {known})")
        if "default" not in self.consortia:
            problems.append("consortia.default: missing; one consortium must be called default")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def all_roles(self) -> dict[str, str]:
        """Role names with their instructions, the built-in ones first."""
        return {**BUILT_IN_ROLES, **PANEL_ROLES, **self.roles}

    @property
    def all_domains(self) -> dict[str, str]:
        """Domain names with their prefixes, the built-in ones first."""
        return {**BUILT_IN_DOMAINS, **self.domains}

    def panel(self, setup: ConsortiumSpec, roles: Mapping[str, str] | None = None) -> tuple[Member, ...]:
        """The members of a consortium, with the set-up's roles and those that a person gave to models, which go first.

        Seats of one model differ by their seed, and those behind the first by their temperature too: at a
        temperature of zero they would all say the same.
        """
        dealt = {**setup.roles, **(roles or {})}
        return tuple(
            Member(
                id=key if count == 1 else f"{key} {seat + 1}",
                model=key,
                role=dealt.get(key),
                simulated=self._simulated(key),
                seed=seat + 1 if count > 1 else None,
                temperature=self._twin_temperature(key) if seat else None,
            )
            for key, count in setup.seats
            for seat in range(count)
        )

    def judges(self, setup: ConsortiumSpec) -> tuple[Member, ...]:
        """The arbiter and its stand-ins, in the order in which they are tried; stand-ins that sit on the panel last."""
        seated = {key for key, _ in setup.seats}
        stand_ins = sorted(setup.arbiter_fallbacks, key=lambda key: key in seated)
        keys = dict.fromkeys((setup.arbiter, *stand_ins))
        return tuple(Member(id=k, model=k, simulated=self._simulated(k)) for k in keys)

    def arbiter_for(self, members: Iterable[str]) -> str:
        """A model to judge a panel of these models when none was named: one that judges elsewhere or is at least no
        member, where there is any."""
        seated = [str(entry).partition(":")[0] for entry in members]
        known = dict.fromkeys([spec.arbiter for spec in self.consortia.values()] + [*self.models])
        return next((key for key in known if key not in seated), *seated[:1])

    def missing_models(self, setup: ConsortiumSpec) -> list[str]:
        """The models of a set-up that are not in the file, each headed by the field that names it."""
        known = ", ".join(self.models)
        used = [("members", key) for key, _ in setup.seats] + [("arbiter", setup.arbiter)]
        used += [("arbiter_fallbacks", key) for key in setup.arbiter_fallbacks]
        used += [("roles", key) for key in setup.roles]
        return [f"{field}: no model {key!r} (there are: {known})" for field, key in used if key not in self.models]

    def _twin_temperature(self, key: str) -> float:
        own = self.models[key].temperature or 0.0
        return min(2.0, max(round(own + TWIN_STEP, 2), TWIN_TEMPERATURE))

    def _simulated(self, key: str) -> bool:
        return self.models[key].provider == "simulated"
