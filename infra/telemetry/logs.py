"""Structured log lines: JSON for machines, coloured text for a terminal; no token ever."""

import logging
import re
import sys
from typing import Any

import structlog

from infra.settings import TelemetrySettings

_SECRET_KEYS = frozenset({"token", "session_token", "authorization", "cookie", "password", "secret", "lease_token"})
# Tokens in a query string, and passwords in the URL of a database or of Redis.
_SECRET_TEXT = re.compile(r"(?i)([?&]token=)[^&\s\"']+|(bearer\s+)[A-Za-z0-9._~-]+|(://[^:/@\s]*:)[^@/\s]+(?=@)")


def redact(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Hide tokens and passwords, wherever in the line they stand."""
    for key, value in event.items():
        if key in _SECRET_KEYS:
            event[key] = "***"
        elif isinstance(value, str):
            event[key] = _SECRET_TEXT.sub(lambda found: (found[1] or found[2] or found[3]) + "***", value)
    return event


def configure_logs(settings: TelemetrySettings) -> None:
    """Route structlog and the standard library's loggers (uvicorn, SQLAlchemy) through one format to stderr."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if as_json else _keep,
        redact,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it announces its dialect at every look at the schema
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"  # its lines would carry ?token=
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _keep(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return event
