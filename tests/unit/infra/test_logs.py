"""Log lines never show a token or a password, wherever in the line it stands."""

import pytest

from infra.telemetry.logs import redact


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("session_token", "abc", "***"),
        ("authorization", "Bearer abc", "***"),
        ("path", "/v1/jobs/1/events?token=abc&x=1", "/v1/jobs/1/events?token=***&x=1"),
        ("error", "GET http://h/e?a=1&token=abc failed", "GET http://h/e?a=1&token=*** failed"),
        ("url", "postgresql+asyncpg://me:hunter2@db/stagecast", "postgresql+asyncpg://me:***@db/stagecast"),
        ("url", "redis://:hunter2@cache:6379/0", "redis://:***@cache:6379/0"),
        ("header", "Bearer abc.def", "Bearer ***"),
        ("job_id", "01m7xya0000000000000000000", "01m7xya0000000000000000000"),
        ("count", 3, 3),
    ],
)
def test_secrets_are_hidden_and_nothing_else(key: str, value: object, shown: object) -> None:
    assert redact(None, "info", {key: value}) == {key: shown}
