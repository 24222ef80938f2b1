"""What ships and how it is run: requirements, Makefile, image, compose file, resources."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import resources
from gateway.settings import DeliverySettings

ROOT = Path(__file__).resolve().parents[2]
PINNED = re.compile(r"([A-Za-z0-9_.-]+)==([^ ;]+)")


def pins(name: str) -> dict[str, str]:
    """Return name and version of each requirement in a file."""
    text = (ROOT / "config/requirements" / f"{name}.txt").read_text()
    return {found[1].lower(): found[2] for found in re.finditer(rf"^{PINNED.pattern}", text, re.MULTILINE)}


def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_licence_is_one_and_ships() -> None:
    """PEP 639: an SPDX expression and the file with the whole text; the README says it."""
    declared = project()["project"]
    assert (declared["license"], declared["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert not any(line.startswith("License ::") for line in declared.get("classifiers", ()))
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "[Apache-2.0](LICENSE)" in (ROOT / "README.md").read_text("utf-8")


# --- requirements ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["verify", "runtime", "build", "dev", "tsa"])
def test_every_requirement_is_pinned_by_hash(name: str) -> None:
    """No requirement without version and SHA-256, and no address to fetch it from."""
    text = (ROOT / "config/requirements" / f"{name}.txt").read_text()
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert len(blocks) == len(pins(name))
    for block in blocks:
        assert PINNED.match(block)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block)
    assert "://" not in text


def test_the_files_agree() -> None:
    """Installed one after another, none replaces what another put there."""
    runtime, build, dev = pins("runtime"), pins("build"), pins("dev")
    assert pins("verify").items() < runtime.items() < dev.items()
    assert build.items() <= dev.items()
    assert runtime.items() < pins("tsa").items() < dev.items()


def test_declared_dependencies_are_pinned() -> None:
    """What pyproject.toml asks for stands in the requirements, and the build back end is the pinned one."""
    names = [re.match(r"[a-z0-9-]+", line) for line in project()["project"]["dependencies"]]
    assert {name.group() for name in names if name} <= set(pins("verify"))
    for extra, wanted in project()["project"]["optional-dependencies"].items():
        found = [re.match(r"[a-z0-9-]+", line) for line in wanted]
        assert {name.group() for name in found if name} <= set(pins(extra)) <= set(pins("dev"))
    assert project()["build-system"]["requires"] == [f"hatchling=={pins('build')['hatchling']}"]


def test_the_floors_of_known_faults_hold() -> None:
    """The versions of aiohttp below 3.14.3 and cryptography below 50.0.2 have published holes."""
    for name, floor in (("aiohttp", (3, 14, 3)), ("cryptography", (50, 0, 2))):
        assert tuple(int(part) for part in pins("runtime")[name].split(".")) >= floor


# --- make -----------------------------------------------------------------------------------------


def planned(*targets: str) -> str:
    """Return what make would run for these targets, everything taken as out of date."""
    # Run by make itself, it would say where it enters and leaves.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", *targets], cwd=ROOT, env=environ, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout


def test_demo_needs_pip_and_nothing_else() -> None:
    """`make demo` installs hashed requirements and the package, then passes ARGS on."""
    steps = planned("demo", "ARGS=--exit")
    assert "--require-hashes -r config/requirements/runtime.txt" in steps
    assert "dev.txt" not in steps
    assert "dpkg-query" not in steps
    assert steps.rstrip().endswith(".venv/bin/gateway demo --exit")


def test_check_is_lint_types_and_the_suite() -> None:
    """`make check` is what .ci/run runs; the suite comes last, so its summary closes the output."""
    steps = planned("check")
    order = [steps.index(tool) for tool in ("bin/ruff check", "bin/ruff format --check", "bin/mypy", "bin/pytest")]
    assert order == sorted(order)
    assert "make --no-print-directory check" in (ROOT / ".ci/run").read_text()
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_debian_packages_are_named_where_they_cannot_be_installed(tmp_path: Path) -> None:
    """Without root, `make test` stops with the one line that helps. Here: stand-ins for id and dpkg-query."""
    for name, text in (("id", "echo 1000"), ("dpkg-query", "exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["make", "packages"],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    listed = [line for line in (ROOT / "config/debian-packages.txt").read_text().splitlines() if line[0] != "#"]
    assert done.returncode != 0
    assert f"sudo apt-get install --yes --no-install-recommends {' '.join(listed)}" in done.stderr


# --- image and compose ----------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with continuation lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_image_does_not_run_as_root() -> None:
    """A numeric user, a pinned base, an orderly stop, a health check by our own CLI."""
    found = instructions()
    last = {name: rest for name, rest in found if name != "COPY"}
    assert re.fullmatch(r"[1-9][0-9]+:[1-9][0-9]+", last["USER"])
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert 'CMD ["gateway", ' in last["HEALTHCHECK"]
    assert last["ENTRYPOINT"] == '["gateway"]'
    for name, rest in found:
        if name == "FROM":
            assert re.search(r":\d+\.\d+-slim-\w+", rest), "base without a version"
    assert "curl" not in str(found)


def test_the_image_installs_by_hash() -> None:
    """Each pip install of requirements is hashed; nothing is copied that is not named."""
    runs = " ".join(rest for name, rest in instructions() if name == "RUN")
    assert runs.count("--require-hashes") == runs.count("-r config/requirements/") == 2
    copied = [rest for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    assert not any(rest.startswith(". ") for rest in copied)
    assert (ROOT / ".dockerignore").read_text().splitlines()[0] == "*"


COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_compose_has_the_two_authorities() -> None:
    """Two services, each with its own volume, and one network between them that leads nowhere else."""
    services = COMPOSE["services"]
    assert set(services) == {"id", "kh"}
    homes = [service["volumes"] for service in services.values()]
    assert homes == [["id-home:/var/lib/gateway"], ["kh-home:/var/lib/gateway"]]
    shared = set(services["id"]["networks"]) & set(services["kh"]["networks"])
    assert shared == {"exchange"}
    assert COMPOSE["networks"]["exchange"]["internal"] is True


@pytest.mark.parametrize("name", ["id", "kh"])
def test_each_service_is_locked_down(name: str) -> None:
    """Read-only root, no capabilities, no new privileges, no core, API on loopback only."""
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "10001:10001"
    assert all("noexec" in mount and "size=" in mount for mount in service["tmpfs"])
    assert service["ulimits"]["core"] == 0
    assert service["healthcheck"]["test"][:2] == ["CMD", "gateway"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@pytest.mark.parametrize("name", ["id", "kh"])
def test_a_drain_has_time_to_end(name: str) -> None:
    """The engine waits longer than the longest drain a setting allows before it kills."""
    grace = COMPOSE["services"][name]["stop_grace_period"]
    longest = next(
        bound.le for bound in DeliverySettings.model_fields["drain_timeout_s"].metadata if hasattr(bound, "le")
    )
    assert int(grace.removesuffix("s")) > longest


def test_compose_and_example_settings_tell_one_story() -> None:
    """The published API port is that of the example's api.url, the service that of exchange.url."""
    for name, file in (("id", "id.imigrasi.toml"), ("kh", "kh.gdi.toml")):
        settings = tomllib.loads((ROOT / "config" / file).read_text())
        published = COMPOSE["services"][name]["ports"][0].split(":")[1]
        assert settings["api"]["url"] == f"https://localhost:{published}"
        assert settings["exchange"]["url"].startswith(f"https://{name}:")


# --- resources ------------------------------------------------------------------------------------


def test_shipped_files_are_found() -> None:
    """Schemas and configuration stand where the package looks for them."""
    assert (resources.config_path() / "gateway.toml").is_file()
    assert resources.schemas_path().is_dir()


def test_the_wheel_carries_what_resources_look_for() -> None:
    """In a wheel both folders move below the package; an editable install needs no build tool of its own."""
    wheel = project()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["sources"] == {"schemas": "gateway/data/schemas", "config": "gateway/data/config"}
    assert set(wheel["only-include"]) == {"gateway", "schemas", "config"}
    assert project()["tool"]["hatch"]["build"]["dev-mode-dirs"] == ["."]
