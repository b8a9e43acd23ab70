"""What a client makes of the events. It is written in the wire suite, which runs without this project."""

from tests.contract.wire.fold import STAGES, TERMINAL, blank, columns_of, fold

__all__ = ["STAGES", "TERMINAL", "blank", "columns_of", "fold"]
