"""The rules of every job's events. They are written in the wire suite, which runs without this project."""

from tests.contract.wire.log_rules import ENDINGS, check_ids, check_job

__all__ = ["ENDINGS", "check_ids", "check_job"]
