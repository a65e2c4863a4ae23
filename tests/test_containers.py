"""The image and the compose file, held to what they speak of: commands, settings, files, addresses."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]
from typer.main import get_command

from adapters.history.database import parse
from adapters.web.health import ALIVE
from bot import cli
from bot.settings import Settings

ROOT = Path(__file__).parents[1]
SECRET = "POSTGRES_PASSWORD"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def instructions(name: str) -> list[str]:
    """What follows an instruction of that name, wherever it stands."""
    return [line.partition(" ")[2].strip() for line in LINES if line.startswith(f"{name} ")]


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in shlex.split(line))


def parsed(command: list[str]) -> dict[str, Any]:
    """What our own parser makes of a command."""
    program, name, *arguments = command
    assert program == "consortium"
    tree: Any = get_command(cli.app)
    with tree.commands[name].make_context(name, arguments) as context:
        return dict(context.params)


def test_the_image_has_a_python_that_fits() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    least = tuple(map(int, wanted.removeprefix(">=").split(".")))
    found = [re.match(r"python:(\d+)\.(\d+)-slim", line) for line in instructions("FROM")]
    assert len(found) == 2
    for match in found:
        assert match
        assert (int(match[1]), int(match[2])) >= least


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored, "nothing that is not named, such as .env"
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = {name for line in instructions("COPY") if "--from" not in line for name in shlex.split(line)[:-1]}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in packages} <= copied


def test_the_image_serves_as_nobody_special_and_tells_how_it_is() -> None:
    assert parsed(json.loads(instructions("CMD")[-1])) == {"work": True}
    assert instructions("USER") == ["consortium"]
    environment = image_environment()
    port = environment["PORT"]
    assert instructions("EXPOSE") == [port]
    (check,) = instructions("HEALTHCHECK")
    assert f"127.0.0.1:{port}{ALIVE}" in check
    assert environment["DATA_DIR"] in instructions("VOLUME")


def test_settings_that_are_given_exist() -> None:
    known = {name.upper() for name in Settings.model_fields}
    given = set(image_environment()) - {"PATH", "PYTHONUNBUFFERED"}
    assert given
    assert given <= known
    for name in OURS:
        assert set(SERVICES[name]["environment"]) <= known, name


@pytest.mark.parametrize("name", OURS)
def test_settings_that_are_given_are_good(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in Settings.model_fields:
        monkeypatch.delenv(setting.upper(), raising=False)
    for key, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(key, re.sub(r"\$\{" + SECRET + r":\?[^}]*\}", "s3cret", str(value)))
    settings = Settings()
    redis, database = urlsplit(settings.redis_url), parse(settings.database_url)
    assert redis.hostname in SERVICES
    assert database.host in SERVICES
    server = SERVICES[database.host]["environment"]
    assert (database.username, database.database) == (server["POSTGRES_USER"], server["POSTGRES_DB"])
    assert database.password == "s3cret"
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > settings.shutdown_grace


def test_the_commands_are_those_of_the_procfile() -> None:
    procfile = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert {name: SERVICES[name]["command"] for name in OURS} == {k: v.split() for k, v in procfile.items()}
    assert all(parsed(SERVICES[name]["command"]) is not None for name in OURS)


def test_nothing_but_the_page_is_published_and_that_to_this_host_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    port = SERVICES["serve"]["environment"]["PORT"]
    assert published == {"serve": [f"127.0.0.1:{port}:{port}"]}


def test_every_service_is_watched_and_what_must_last_is_on_a_volume() -> None:
    assert all("healthcheck" in SERVICES[name] for name in set(SERVICES) - {"serve"}), "serve has that of the image"
    worker = SERVICES["worker"]
    assert f":{worker['environment']['WORKER_PORT']}{ALIVE}" in str(worker["healthcheck"]["test"])
    assert worker["deploy"]["replicas"] > 1
    assert SERVICES["redis"]["command"][-2:] == ["--appendonly", "yes"]
    mounted = {entry.split(":")[0] for service in SERVICES.values() for entry in service.get("volumes", ())}
    assert mounted == set(COMPOSE["volumes"])
    for name in OURS:
        waited_for = SERVICES[name]["depends_on"]
        assert {key: value["condition"] for key, value in waited_for.items()} == dict.fromkeys(
            ("redis", "postgres"), "service_healthy"
        )


def test_no_secret_stands_in_the_files() -> None:
    with_secret = [SERVICES[name]["environment"]["DATABASE_URL"] for name in OURS]
    with_secret.append(SERVICES["postgres"]["environment"][SECRET])
    assert all(f"${{{SECRET}:?" in value for value in with_secret)
