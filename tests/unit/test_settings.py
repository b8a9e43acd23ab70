"""The settings: what the environment may say, and that .env.example says all of it."""

from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from infra.settings import Settings

ROOT = Path(__file__).parents[2]
FOR_COMPOSE_ONLY = {"STAGECAST_POSTGRES_PASSWORD", "STAGECAST_PUBLISHED_PORT"}


def defaults(settings: BaseModel, prefix: str = "STAGECAST_") -> dict[str, str]:
    found: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        variable = f"{prefix}{name.upper()}"
        if isinstance(value, BaseModel):
            found |= defaults(value, f"{variable}__")
        else:
            found[variable] = "" if value is None else str(value)
    return found


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    assert len({name for name, _, _ in pairs}) == len(pairs), "a variable stands twice"
    return {name: value for name, _, value in pairs}


def test_the_example_file_names_every_setting_with_its_default() -> None:
    told = {name: value for name, value in example().items() if name not in FOR_COMPOSE_ONLY}

    assert told == defaults(Settings(_env_file=None))


def test_every_line_of_the_example_file_is_explained() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    blocks = "\n".join(lines).split("\n\n")

    assert all(block.startswith("#") for block in blocks)


def test_a_loaded_example_file_gives_the_defaults() -> None:
    assert Settings(_env_file=ROOT / ".env.example") == Settings(_env_file=None)


@pytest.mark.parametrize(
    ("variable", "value", "field"),
    [
        ("STAGECAST_DATABASE__URL", "mysql://x", "database.url"),
        ("STAGECAST_DATABASE__URL", "sqlite+aiosqlite:///:memory:", "database.url"),
        ("STAGECAST_PROVIDER", "magic", "provider"),
        ("STAGECAST_SYNTHETIC__FAILURE_RATE", "1.5", "synthetic.failure_rate"),
        ("STAGECAST_SSE__RING_EVENTS", "0", "sse.ring_events"),
        ("STAGECAST_ACCESS__SECRET", "short", "access.secret"),
    ],
)
def test_a_wrong_value_is_refused_and_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None)

    assert [".".join(map(str, error["loc"])) for error in refused.value.errors()] == [field]


def test_cluster_execution_is_refused_because_it_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGECAST_EXECUTION", "cluster")

    with pytest.raises(ValidationError, match="not built yet"):
        Settings(_env_file=None)


def test_secrets_do_not_show_in_a_printed_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGECAST_ACCESS__SECRET", "s3cret" * 8)
    monkeypatch.setenv("STAGECAST_REDIS__URL", "redis://:hunter2@localhost")

    settings = Settings(_env_file=None)

    assert isinstance(settings.access.secret, SecretStr)
    assert "s3cret" not in repr(settings)
    assert "hunter2" not in repr(settings)
