"""What the plain way stores: tables by SQLAlchemy's ORM, and the engine with its dialect's usual settings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from sqlalchemy import JSON, ForeignKey, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The tables."""


class Session(Base):
    __tablename__ = "session"
    id: Mapped[str] = mapped_column(primary_key=True)


class Job(Base):
    __tablename__ = "job"
    id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("session.id"))
    status: Mapped[str]
    target_language: Mapped[str]


class Stage(Base):
    __tablename__ = "stage"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]


class Dish(Base):
    """A column for what each stage found."""

    __tablename__ = "dish"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), index=True)
    position: Mapped[int]
    name: Mapped[str]
    input_price: Mapped[str | None]
    input_category: Mapped[str | None]
    translation: Mapped[Any] = mapped_column(JSON, nullable=True)
    category: Mapped[Any] = mapped_column(JSON, nullable=True)
    description: Mapped[Any] = mapped_column(JSON, nullable=True)
    allergens: Mapped[Any] = mapped_column(JSON, nullable=True)
    ingredients: Mapped[Any] = mapped_column(JSON, nullable=True)
    image_search: Mapped[Any] = mapped_column(JSON, nullable=True)
    image: Mapped[Any] = mapped_column(JSON, nullable=True)
    price: Mapped[Any] = mapped_column(JSON, nullable=True)


class Event(Base):
    """What a browser was or will be told; `data` is the JSON that it gets."""

    __tablename__ = "event"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), index=True)
    type: Mapped[str]
    data: Mapped[str]


class Store:
    """The database: `reading` and `writing` give an AsyncSession; writing commits at its end."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        is_sqlite = self.engine.dialect.name == "sqlite"
        self._turn: AbstractAsyncContextManager[object] = asyncio.Lock() if is_sqlite else nullcontext()

    def reading(self) -> AsyncSession:
        """A session to read with."""
        return self._sessions()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A session to write with, in its turn."""
        async with self._turn, self._sessions.begin() as session:
            yield session


def make_engine(url: str) -> AsyncEngine:
    """An engine with sensible settings for its dialect."""
    engine = create_async_engine(url, pool_size=20, max_overflow=30)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine.sync_engine, "connect")
        def _connect(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    return engine
