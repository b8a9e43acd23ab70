"""The tables. Times are unix milliseconds (BIGINT); JSON columns hold what the pipeline's structs encode."""

from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.database.status import STAGE_ACTIVE, JobStatus, RowStatus, StageStatus

# none_as_null: an unset column is SQL NULL, never the JSON text "null", so that `IS NULL` means "not answered yet".
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Id = String(26)


# A partial index serves a query only if its condition stands there word by word: bound values prove nothing to SQLite.
LIVE_STAGES = "status IN ('queued', 'retry_wait', 'running')"
assert f"status IN {tuple(sorted(str(status) for status in STAGE_ACTIVE))}" == LIVE_STAGES


def _one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


class Base(DeclarativeBase):
    """The metadata of all tables; constraint names are fixed so that a migration can name them on every dialect."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


class Keyring(Base):
    """Secrets made at first start, by name."""

    __tablename__ = "keyring"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Session(Base):
    """A stream: `head` is the sequence of its last event, `trimmed` of the last one that retention removed."""

    __tablename__ = "session"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    epoch: Mapped[str] = mapped_column(String(8))
    head: Mapped[int] = mapped_column(BigInteger, default=0)
    trimmed: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (CheckConstraint("head >= 0 AND trimmed >= 0 AND trimmed <= head", name="head_range"),)


class Job(Base):
    """A submitted job. Its events are the session's numbers first_seq..last_seq that carry its id."""

    __tablename__ = "job"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    session_id: Mapped[str] = mapped_column(Id, ForeignKey("session.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(24))
    run: Mapped[int] = mapped_column(Integer, default=1)
    remaining: Mapped[int] = mapped_column(Integer)
    title: Mapped[str | None] = mapped_column(String(255))
    source_language: Mapped[str | None] = mapped_column(String(64))
    target_language: Mapped[str] = mapped_column(String(64))
    first_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    last_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)
    __table_args__ = (
        _one_of("status", JobStatus),
        CheckConstraint("kind IN ('menu', 'prompt')", name="kind_known"),
        CheckConstraint("remaining >= 0", name="remaining_range"),
        Index("ix_job_session_id_created_at", "session_id", "created_at"),
    )


class Stage(Base):
    """One of a job's eight stages; `lease_token` is the fence that every write of its run must carry."""

    __tablename__ = "stage"
    job_id: Mapped[str] = mapped_column(Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    position: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    attempt_limit: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer, default=0)
    total: Mapped[int] = mapped_column(Integer)
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[int | None] = mapped_column(BigInteger)
    retry_at: Mapped[int | None] = mapped_column(BigInteger)
    error: Mapped[dict[str, str] | None] = mapped_column(Json)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (
        _one_of("status", StageStatus),
        CheckConstraint("done >= 0 AND done <= total", name="done_range"),
        CheckConstraint("(lease_token IS NULL) = (lease_until IS NULL)", name="lease_whole"),
        # Only live rows are in it: the reconciler asks every two seconds, and finished stages are nearly all there are.
        Index(
            "ix_stage_active",
            "status",
            "updated_at",
            sqlite_where=text(LIVE_STAGES),
            postgresql_where=text(LIVE_STAGES),
        ),
    )


class MenuItem(Base):
    """A dish of a menu job and what its eight stages found."""

    __tablename__ = "menu_item"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    session_id: Mapped[str] = mapped_column(Id, ForeignKey("session.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[str] = mapped_column(Id, ForeignKey("job.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(Text)
    input_price: Mapped[str | None] = mapped_column(Text)
    input_category: Mapped[str | None] = mapped_column(Text)
    translation: Mapped[object | None] = mapped_column(Json)
    category: Mapped[object | None] = mapped_column(Json)
    category_translation: Mapped[object | None] = mapped_column(Json)
    description: Mapped[object | None] = mapped_column(Json)
    allergy: Mapped[object | None] = mapped_column(Json)
    ingredient: Mapped[object | None] = mapped_column(Json)
    search_engine: Mapped[object | None] = mapped_column(Json)
    gen_image: Mapped[object | None] = mapped_column(Json)
    price: Mapped[object | None] = mapped_column(Json)
    processing_status: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (
        _one_of("processing_status", RowStatus),
        Index("ix_menu_item_job_id_position", "job_id", "position", unique=True),
    )


class Prompt(Base):
    """A version of a prompt. The one that a job was submitted with has its `job_id`; proposals have a parent."""

    __tablename__ = "prompt"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    session_id: Mapped[str] = mapped_column(Id, ForeignKey("session.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[str | None] = mapped_column(Id, ForeignKey("job.id", ondelete="CASCADE"), unique=True)
    parent_id: Mapped[str | None] = mapped_column(Id, ForeignKey("prompt.id", ondelete="CASCADE"), index=True)
    version: Mapped[int] = mapped_column(Integer, default=1)
    position: Mapped[int] = mapped_column(Integer, default=0)
    title: Mapped[str] = mapped_column(String(255))
    content: Mapped[str] = mapped_column(Text)
    test_cases: Mapped[object] = mapped_column(Json)
    analysis: Mapped[object | None] = mapped_column(Json)
    variables: Mapped[object | None] = mapped_column(Json)
    safety: Mapped[object | None] = mapped_column(Json)
    translation: Mapped[object | None] = mapped_column(Json)
    tags: Mapped[object | None] = mapped_column(Json)
    embedding: Mapped[object | None] = mapped_column(Json)
    improvement: Mapped[object | None] = mapped_column(Json)
    evaluation: Mapped[object | None] = mapped_column(Json)
    processing_status: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)
    __table_args__ = (
        _one_of("processing_status", RowStatus),
        CheckConstraint("version >= 1", name="version_range"),
    )


class Evaluation(Base):
    """A prompt version's test cases, run once."""

    __tablename__ = "evaluation"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    prompt_id: Mapped[str] = mapped_column(Id, ForeignKey("prompt.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str] = mapped_column(String(64))
    model: Mapped[str | None] = mapped_column(String(128))
    status: Mapped[str] = mapped_column(String(16))
    overall_score: Mapped[float] = mapped_column(Float)
    created_at: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (
        CheckConstraint("overall_score >= 0 AND overall_score <= 1", name="overall_score_range"),
        CheckConstraint("status IN ('completed', 'failed')", name="status_known"),
    )


class TestResult(Base):
    """One test case of an evaluation."""

    __tablename__ = "test_result"
    evaluation_id: Mapped[str] = mapped_column(Id, ForeignKey("evaluation.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    score: Mapped[float] = mapped_column(Float)
    passed: Mapped[bool] = mapped_column()
    assertions: Mapped[object] = mapped_column(Json)
    __table_args__ = (CheckConstraint("score >= 0 AND score <= 1", name="score_range"),)


class Idempotency(Base):
    """Which job an Idempotency-Key made. The scope is the session that was named, or empty for a new session."""

    __tablename__ = "idempotency"
    scope: Mapped[str] = mapped_column(Id, primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(Id, ForeignKey("job.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[int] = mapped_column(BigInteger)


class Event(Base):
    """The log: `data` is the JSON of the event as it went to the browsers, encoded once."""

    __tablename__ = "event"
    session_id: Mapped[str] = mapped_column(Id, ForeignKey("session.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    job_id: Mapped[str] = mapped_column(Id)
    type: Mapped[str] = mapped_column(String(32))
    data: Mapped[bytes] = mapped_column(LargeBinary)
    # One B-tree in SQLite, in the order that every reader wants: a session's numbers, ascending.
    __table_args__ = (CheckConstraint("seq >= 1", name="seq_range"), {"sqlite_with_rowid": False})


# The same tables for Core statements: what runs often skips the ORM's per-statement work.
KEYRING: Table = Base.metadata.tables["keyring"]
SESSION: Table = Base.metadata.tables["session"]
JOB: Table = Base.metadata.tables["job"]
STAGE: Table = Base.metadata.tables["stage"]
MENU_ITEM: Table = Base.metadata.tables["menu_item"]
PROMPT: Table = Base.metadata.tables["prompt"]
IDEMPOTENCY: Table = Base.metadata.tables["idempotency"]
EVENT: Table = Base.metadata.tables["event"]
