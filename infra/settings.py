"""Every setting of the product:

environment variables with the prefix `STAGECAST_`, nested by `__`, also from `.env`.
"""

from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class DatabaseSettings(BaseModel):
    """Where rows and the event log live. The pool settings are PostgreSQL's; SQLite has one writer by nature."""

    url: str = "sqlite+aiosqlite:///./data/stagecast.db"
    pool_size: int = Field(default=20, ge=1, le=1000)
    max_overflow: int = Field(default=30, ge=0, le=1000)
    pool_timeout_seconds: float = Field(default=30, gt=0)
    pool_recycle_seconds: int = Field(default=3600, gt=0)

    @field_validator("url")
    @classmethod
    def _known_dialect(cls, url: str) -> str:
        if not url.startswith(("sqlite+aiosqlite://", "postgresql+asyncpg://")):
            raise ValueError("must start with sqlite+aiosqlite:// or postgresql+asyncpg://")
        if url.startswith("sqlite") and (":memory:" in url or url.rstrip("/") == "sqlite+aiosqlite:"):
            raise ValueError("an in-memory SQLite database would lose the event log; name a file")
        return url


class RedisSettings(BaseModel):
    """Redis pub/sub between processes; without a URL the bus stays inside this process."""

    url: SecretStr | None = None

    @field_validator("url", mode="before")
    @classmethod
    def _empty_is_unset(cls, url: object) -> object:
        return url or None


class SyntheticSettings(BaseModel):
    """How the synthetic provider behaves: milliseconds of latency and share of failures, per item and stage."""

    latency_ms: float = Field(default=0, ge=0, le=600_000)
    failure_rate: float = Field(default=0.0, ge=0, le=1)


class SseSettings(BaseModel):
    """The streams: limits are per process, times as their names say."""

    max_connections: int = Field(default=10_000, ge=1)
    max_connections_per_session: int = Field(default=9_000, ge=1)
    max_connections_per_address: int = Field(default=9_000, ge=1)
    max_openings_new: int = Field(default=64, ge=1)
    max_openings_resumed: int = Field(default=256, ge=1)
    max_age_seconds: float = Field(default=600, gt=0)
    drain_seconds: float = Field(default=5, ge=0, le=300)
    # Both clients leave a connection that said nothing for 45 s, and cannot know this setting.
    heartbeat_seconds: float = Field(default=15, gt=0, le=30)
    retry_ms: int = Field(default=2000, ge=1, le=600_000)
    max_event_bytes: int = Field(default=1_048_576, ge=1024)
    flush_window_ms: float = Field(default=5, ge=0, le=1000)
    ring_events: int = Field(default=256, ge=1, le=100_000)
    channel_prefix: str = Field(default="sse", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    send_timeout_seconds: float = Field(default=30, gt=0)


class LogSettings(BaseModel):
    """The durable event log of the sessions (not the process's own log lines: those are telemetry)."""

    retention_seconds: int = Field(default=86_400, ge=1)
    max_events_per_session: int = Field(default=100_000, ge=100)


class ProcessingSettings(BaseModel):
    """How stages run: attempts, leases and batches."""

    stage_timeout_seconds: float = Field(default=300, gt=0)
    max_attempts: int = Field(default=3, ge=1, le=100)
    retry_delay_seconds: float = Field(default=1, ge=0, le=3600)
    lease_seconds: float = Field(default=12, ge=0.3, le=3600)
    batch_size: int = Field(default=100, ge=1, le=10_000)
    max_items: int = Field(default=500, ge=1, le=10_000)
    concurrency: int = Field(default=64, ge=1, le=10_000)


class HttpSettings(BaseModel):
    """The patience of the HTTP server with a client that sends its request slowly."""

    request_timeout_seconds: float = Field(default=10, gt=0, le=3600)


class AccessSettings(BaseModel):
    """The key that session tokens are derived with; unset: made at first start and kept in the database."""

    secret: SecretStr | None = None

    @field_validator("secret", mode="after")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is None or not secret.get_secret_value():
            return None
        if len(secret.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return secret


class TelemetrySettings(BaseModel):
    """The process's own log lines."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"


class Settings(BaseSettings):
    """All settings. Wrong values end the start with a message that names the variable."""

    model_config = SettingsConfigDict(
        env_prefix="STAGECAST_", env_nested_delimiter="__", env_file=".env", extra="ignore", frozen=True
    )

    environment: Literal["local", "staging", "production"] = "local"
    execution: Literal["local", "cluster"] = "local"
    provider: Literal["builtin", "synthetic"] = "builtin"
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    synthetic: SyntheticSettings = SyntheticSettings()
    sse: SseSettings = SseSettings()
    log: LogSettings = LogSettings()
    processing: ProcessingSettings = ProcessingSettings()
    http: HttpSettings = HttpSettings()
    access: AccessSettings = AccessSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @field_validator("execution")
    @classmethod
    def _what_is_not_built_yet(cls, execution: str) -> str:
        if execution == "cluster":
            raise ValueError("cluster is not built yet; stages run inside the gateway (local)")
        return execution
