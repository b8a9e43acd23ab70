"""How a command ends: the exit codes, and the one exception that carries one."""

from enum import IntEnum


class Exit(IntEnum):
    """What the caller of a command can tell from its exit code."""

    OK = 0
    FAILED = 1  # the job failed or was cancelled, the server refused, verify found something
    USAGE = 2  # arguments or settings are wrong
    DATABASE = 3
    SCHEMA = 4
    ADDRESS = 5  # the port is in use, or the address is not ours
    PARTIAL = 6  # the job completed, but not every stage of it
    INTERRUPTED = 130


class Stop(Exception):
    """The command can't go on; its lines tell the person at the terminal what is wrong and what to do."""

    def __init__(self, code: Exit, *lines: str) -> None:
        self.code = code
        self.lines = lines
        super().__init__("\n".join(lines))
