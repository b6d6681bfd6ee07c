"""What lies under deploy/ is as hardened as it says, and names only what there is."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from ca.cli import app
from ca.keys.ceremony import write_ca

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "dayfly.service"
HADOLINT = Path(sys.executable).with_name("hadolint")


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions of the image itself, the last stage."""
    text = re.sub(r"\\\n\s*", "", dockerfile.read_text())
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    last = max(n for n, (name, _) in enumerate(lines) if name == "FROM")
    return [(name, rest) for name, rest in lines[last:]]


def services() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def settings() -> set[str]:
    """The flags of `dayfly serve`; by their names the environment is read too."""
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {option for parameter in serve.params for option in parameter.opts}


# ---- images ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "ctlog/Dockerfile"])
def test_hadolint_finds_nothing(dockerfile: str) -> None:
    found = subprocess.run([HADOLINT, DEPLOY / dockerfile], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "ctlog/Dockerfile"])
def test_image_runs_as_nobody_in_particular_and_gets_the_signals(dockerfile: str) -> None:
    image = dict(instructions(DEPLOY / dockerfile))
    assert image["USER"] == "65532:65532"
    assert image["STOPSIGNAL"] == "SIGTERM"
    assert image["ENTRYPOINT"].startswith("[")


def test_image_holds_what_the_lock_names_and_nothing_else() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert "--require-hashes -r requirements/core.lock" in text
    for line in re.findall(r"pip install .*", text):
        assert "--require-hashes" in line or "--no-deps --no-build-isolation ." in line


def test_build_context_holds_every_file_that_the_image_copies() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()[:-1]}
    assert sources == allowed
    assert all((ROOT / source).exists() for source in sources)


def test_images_are_named_without_a_registry() -> None:
    named = re.findall(r"_IMAGE=(\S+)", "".join(path.read_text() for path in DEPLOY.rglob("Dockerfile")))
    named += [service["image"] for service in services().values()]
    assert named
    assert not [name for name in named if "/" in name or "." in name.partition(":")[0]]


# ---- compose -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", services())
def test_service_has_a_read_only_root_and_no_capabilities(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", [name for name, service in services().items() if service["restart"] != "no"])
def test_service_that_stays_says_how_it_is(name: str) -> None:
    assert services()[name]["healthcheck"]["test"][0] == "CMD"


def test_ca_is_healthy_when_it_is_ready() -> None:
    assert "/readyz" in services()["ca"]["healthcheck"]["test"][-1]
    assert "/readyz" in dict(instructions(DEPLOY / "Dockerfile"))["HEALTHCHECK"]


def test_only_the_ca_is_reached_from_outside_and_from_this_machine_alone() -> None:
    assert {name for name, service in services().items() if "ports" in service} == {"ca"}
    assert all(port.startswith("127.0.0.1:") for port in services()["ca"]["ports"])


def test_services_wait_for_services_that_exist() -> None:
    for service in services().values():
        assert service.get("depends_on", {}).keys() <= services().keys()


def test_every_variable_is_a_setting() -> None:
    image = dict(instructions(DEPLOY / "Dockerfile"))["ENV"]
    variables = [*re.findall(r"DAYFLY_\w+", image), *services()["ca"]["environment"]]
    flags = {"--" + name.removeprefix("DAYFLY_").lower().replace("_", "-") for name in variables}
    assert flags
    assert flags <= settings()


@pytest.mark.parametrize("part", ["", "other"])
def test_log_refuses_a_part_it_does_not_have(part: str) -> None:
    answer = subprocess.run(["sh", DEPLOY / "ctlog" / "ctlog", part], capture_output=True, text=True, check=False)
    assert answer.returncode == 64
    assert answer.stderr.startswith("usage: ")


def test_log_has_every_part_that_compose_starts() -> None:
    script = (DEPLOY / "ctlog" / "ctlog").read_text()
    for service in services().values():
        if service["image"] == "dayfly-ctlog":
            assert f"\n{service['command'][0]}) " in script


# ---- systemd -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_unit_exposes_at_most_2_of_10() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", UNIT]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    overall = re.search(r"Overall exposure level for \S+: ([\d.]+)", answer.stdout)
    assert overall is not None
    assert float(overall[1]) <= 2.0


def test_unit_starts_the_server_with_flags_it_has() -> None:
    unit = UNIT.read_text().replace("\\\n", "")
    command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert command is not None
    program, subcommand, *arguments = shlex.split(command[1])
    assert (Path(program).name, subcommand) == ("dayfly", "serve")
    assert {argument for argument in arguments if argument.startswith("--")} <= settings()
    credentials = set(re.findall(r"^LoadCredential=(\w+):", unit, re.MULTILINE))
    assert {argument[3:] for argument in arguments if argument.startswith("%d/")} == credentials


# ---- both --------------------------------------------------------------------------------------------------


def test_files_are_named_as_ca_init_names_them(tmp_path: Path) -> None:
    made = {path.name for path in write_ca(tmp_path, "dayfly", "dayfly", datetime(2026, 11, 22, tzinfo=UTC))}
    named = re.findall(r"[\w.]+\.pem|root\.password", (DEPLOY / "compose.yaml").read_text())
    named += re.findall(r"(?<=/)[\w.]+\.pem", UNIT.read_text())
    assert named
    assert set(named) <= made
