"""The first schema: sessions with their event log, jobs, stages, and the rows of menus and prompts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "keyring",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_keyring")),
    )
    op.create_table(
        "session",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("epoch", sa.String(length=8), nullable=False),
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.Column("trimmed", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("head >= 0 AND trimmed >= 0 AND trimmed <= head", name=op.f("ck_session_head_range")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
    )
    op.create_table(
        "event",
        sa.Column("session_id", sa.String(length=26), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_event_seq_range")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_event_session_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("session_id", "seq", name=op.f("pk_event")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "job",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("session_id", sa.String(length=26), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=True),
        sa.Column("source_language", sa.String(length=64), nullable=True),
        sa.Column("target_language", sa.String(length=64), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('menu', 'prompt')", name=op.f("ck_job_kind_known")),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'completed', 'completed_partial', 'failed', 'cancelled')",
            name=op.f("ck_job_status_known"),
        ),
        sa.CheckConstraint("remaining >= 0", name=op.f("ck_job_remaining_range")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_job_session_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index("ix_job_session_id_created_at", ["session_id", "created_at"], unique=False)

    op.create_table(
        "idempotency",
        sa.Column("scope", sa.String(length=26), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_idempotency_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency")),
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_job_id"), ["job_id"], unique=False)

    op.create_table(
        "menu_item",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("session_id", sa.String(length=26), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("input_price", sa.Text(), nullable=True),
        sa.Column("input_category", sa.Text(), nullable=True),
        sa.Column("translation", JSON, nullable=True),
        sa.Column("category", JSON, nullable=True),
        sa.Column("category_translation", JSON, nullable=True),
        sa.Column("description", JSON, nullable=True),
        sa.Column("allergy", JSON, nullable=True),
        sa.Column("ingredient", JSON, nullable=True),
        sa.Column("search_engine", JSON, nullable=True),
        sa.Column("gen_image", JSON, nullable=True),
        sa.Column("price", JSON, nullable=True),
        sa.Column("processing_status", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "processing_status IN ('pending', 'processing', 'completed', 'partial', 'failed')",
            name=op.f("ck_menu_item_processing_status_known"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_menu_item_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["session.id"], name=op.f("fk_menu_item_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_menu_item")),
    )
    with op.batch_alter_table("menu_item", schema=None) as batch_op:
        batch_op.create_index("ix_menu_item_job_id_position", ["job_id", "position"], unique=True)
        batch_op.create_index(batch_op.f("ix_menu_item_session_id"), ["session_id"], unique=False)

    op.create_table(
        "prompt",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("session_id", sa.String(length=26), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=True),
        sa.Column("parent_id", sa.String(length=26), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("test_cases", JSON, nullable=False),
        sa.Column("analysis", JSON, nullable=True),
        sa.Column("variables", JSON, nullable=True),
        sa.Column("safety", JSON, nullable=True),
        sa.Column("translation", JSON, nullable=True),
        sa.Column("tags", JSON, nullable=True),
        sa.Column("embedding", JSON, nullable=True),
        sa.Column("improvement", JSON, nullable=True),
        sa.Column("evaluation", JSON, nullable=True),
        sa.Column("processing_status", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "processing_status IN ('pending', 'processing', 'completed', 'partial', 'failed')",
            name=op.f("ck_prompt_processing_status_known"),
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_prompt_version_range")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_prompt_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["parent_id"], ["prompt.id"], name=op.f("fk_prompt_parent_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_prompt_session_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt")),
        sa.UniqueConstraint("job_id", name=op.f("uq_prompt_job_id")),
    )
    with op.batch_alter_table("prompt", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_prompt_parent_id"), ["parent_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_prompt_session_id"), ["session_id"], unique=False)

    op.create_table(
        "stage",
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("attempt_limit", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("retry_at", sa.BigInteger(), nullable=True),
        sa.Column("error", JSON, nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'retry_wait', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_stage_status_known"),
        ),
        sa.CheckConstraint("(lease_token IS NULL) = (lease_until IS NULL)", name=op.f("ck_stage_lease_whole")),
        sa.CheckConstraint("done >= 0 AND done <= total", name=op.f("ck_stage_done_range")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_stage_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_stage")),
    )
    with op.batch_alter_table("stage", schema=None) as batch_op:
        batch_op.create_index(
            "ix_stage_active",
            ["status", "updated_at"],
            unique=False,
            sqlite_where=sa.text("status IN ('queued', 'retry_wait', 'running')"),
            postgresql_where=sa.text("status IN ('queued', 'retry_wait', 'running')"),
        )

    op.create_table(
        "evaluation",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("prompt_id", sa.String(length=26), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("overall_score", sa.Float(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('completed', 'failed')", name=op.f("ck_evaluation_status_known")),
        sa.CheckConstraint("overall_score >= 0 AND overall_score <= 1", name=op.f("ck_evaluation_overall_score_range")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name=op.f("fk_evaluation_prompt_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
    )
    with op.batch_alter_table("evaluation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evaluation_prompt_id"), ["prompt_id"], unique=False)

    op.create_table(
        "test_result",
        sa.Column("evaluation_id", sa.String(length=26), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("assertions", JSON, nullable=False),
        sa.CheckConstraint("score >= 0 AND score <= 1", name=op.f("ck_test_result_score_range")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_test_result_evaluation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "position", name=op.f("pk_test_result")),
    )


def downgrade() -> None:
    op.drop_table("test_result")
    with op.batch_alter_table("evaluation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evaluation_prompt_id"))

    op.drop_table("evaluation")
    with op.batch_alter_table("stage", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_stage_active",
            sqlite_where=sa.text("status IN ('queued', 'retry_wait', 'running')"),
            postgresql_where=sa.text("status IN ('queued', 'retry_wait', 'running')"),
        )

    op.drop_table("stage")
    with op.batch_alter_table("prompt", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_prompt_session_id"))
        batch_op.drop_index(batch_op.f("ix_prompt_parent_id"))

    op.drop_table("prompt")
    with op.batch_alter_table("menu_item", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_menu_item_session_id"))
        batch_op.drop_index("ix_menu_item_job_id_position")

    op.drop_table("menu_item")
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotency_job_id"))

    op.drop_table("idempotency")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index("ix_job_session_id_created_at")

    op.drop_table("job")
    op.drop_table("event")
    op.drop_table("session")
    op.drop_table("keyring")
