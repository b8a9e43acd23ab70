"""compose.yaml and the Dockerfile keep their promises: valid, pinned, healthy, without root and without secrets."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
# A name without a registry's host, and a whole version: not `latest`, not a moving `17`.
PINNED = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)?:\d+\.\d+(\.\d+)?(-[a-z0-9.-]+)?")
LONG_RUNNING = sorted(set(SERVICES) - {"migrate"})

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name("check-jsonschema")
    command = [str(script), "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_compose_file_follows_the_compose_schema() -> None:
    result = validate(COMPOSE)
    assert result.returncode == 0, result.stdout


def test_the_schema_check_refuses_a_wrong_compose_file(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("stop_grace_period:", "stop_grace:"))
    result = validate(wrong)
    assert result.returncode != 0
    assert "stop_grace" in result.stdout


def test_the_four_services_are_there() -> None:
    assert set(SERVICES) == {"redis", "postgres", "migrate", "gateway"}


@each_service
def test_image_is_pinned_to_a_whole_version(name: str) -> None:
    assert PINNED.fullmatch(SERVICES[name]["image"])


def test_our_image_has_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert SERVICES["gateway"]["image"] == SERVICES["migrate"]["image"] == f"stagecast:{version}"


@each_service
def test_service_has_no_root_no_capabilities_and_a_read_only_system(name: str) -> None:
    service = SERVICES[name]
    assert service["user"].partition(":")[0] not in ("", "0", "root")
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["read_only"] is True


@each_service
def test_service_has_limits(name: str) -> None:
    assert set(SERVICES[name]["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_long_running_service_has_a_health_check_and_time_to_stop(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert "stop_grace_period" in SERVICES[name]


def test_gateway_starts_after_the_migration_and_migration_after_postgres() -> None:
    assert SERVICES["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert SERVICES["migrate"]["restart"] == "no"
    conditions = {name: value["condition"] for name, value in SERVICES["gateway"]["depends_on"].items()}
    assert conditions == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "redis": "service_healthy",
    }
    assert "/health/ready" in SERVICES["gateway"]["healthcheck"]["test"][-1]


def test_redis_keeps_what_it_has() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_only_the_gateway_can_be_reached_and_only_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert list(published) == ["gateway"]
    assert all(port.startswith("127.0.0.1:") for port in published["gateway"])
    outside = [name for name, service in SERVICES.items() if set(service["networks"]) - {"servers"}]
    assert outside == ["gateway"]
    assert yaml.safe_load(COMPOSE.read_text())["networks"]["servers"]["internal"] is True


@each_service
def test_a_secret_is_a_required_variable_and_never_a_value(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if "PASSWORD" in variable or "SECRET" in variable or "TOKEN" in variable:
            assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", str(value))
        # A URL with a user and a password.
        assert not re.search(r"://[^/@:]+:[^/@]+@", str(value))


def test_image_is_built_in_two_stages_from_a_pinned_base_and_runs_without_root() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert all(PINNED.fullmatch(base) for base in bases)
    assert re.findall(r"^USER (\d+)", DOCKERFILE, re.MULTILINE) == ["10001"]
    assert "--require-hashes" in DOCKERFILE
    assert "HEALTHCHECK" in DOCKERFILE


def test_what_the_image_copies_is_not_ignored_and_nothing_else_is_sent() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    wanted = {source for line in copied for source in line.split()}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == wanted


def locked(file: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / file).read_text(), re.MULTILINE))


def test_the_image_runs_the_versions_that_the_tests_ran() -> None:
    tested = locked("requirements.lock")
    running = locked("requirements-run.lock")
    assert running
    assert running.items() <= tested.items()


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-run.lock"])
def test_every_locked_package_has_a_hash(file: str) -> None:
    blocks = re.split(r"^(?=[a-z0-9-]+(?:\[[a-z,]+\])?==)", (ROOT / file).read_text(), flags=re.MULTILINE)[1:]
    assert len(blocks) > 30
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
