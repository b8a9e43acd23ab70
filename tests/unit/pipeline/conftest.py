"""A real SQLite database for what runs stages."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.database import Store, copy_sqlite, make_sqlite_template


@pytest.fixture(autouse=True, scope="package")
def _quiet_logs() -> Iterator[None]:
    """Providers fail here on purpose; drawing the tracebacks takes longer than the tests."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sqlite_template(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture
async def store(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(copy_sqlite(sqlite_template, tmp_path)) as store:
        yield store
