"""The note beside a SQLite file that remembers how far its log had come: `<file>-continuity`.

A restored file cannot tell by itself that it was ahead once; a second file can. The record is overwritten in place,
since an overwrite needs no space on a full disk and takes microseconds (a rename takes a new file and a directory
entry). It goes to the page cache: a killed process loses nothing of it. After a power cut it proves nothing, nor does
the database (`synchronous=NORMAL`), so a record that was not closed before the machine started anew is a reason for
doubt in itself.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

RECORD_BYTES = 256
# The kernel's own time of the last change, which no copying program can set, may differ so much from what we read just
# before we wrote: more means that somebody else wrote the file, or put it there.
MOST_DRIFT_NS = 2_000_000_000
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

log = structlog.stdlib.get_logger(__name__)


class Record(msgspec.Struct, frozen=True):
    """What is remembered of the log.

    `life` is the log's random name, also in the database; `total` the sum of all heads that is known to have been
    reached; `boot` the start of the machine, empty where that can't be told; `closed` whether the database was closed
    in good order after that; `changed_ns` when the file was written, by the kernel's clock.
    """

    life: str
    total: int
    boot: str
    closed: bool
    changed_ns: int


class Sidecar:
    """The record of one SQLite file. Nothing here raises: what can't be written is a warning, and a doubt next time."""

    def __init__(self, database_file: str) -> None:
        self._database_file = Path(database_file)
        self.path = Path(f"{database_file}-continuity")
        self._file: int | None = None
        self._written: Record | None = None
        self._warned = False

    def read(self) -> Record | None:
        """The record as it stands there; None when there is none, or none that can be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Record)
        except (OSError, msgspec.MsgspecError):
            return None

    def doubt(self, record: Record) -> str | None:
        """Why the record proves nothing, None when it does."""
        with suppress(OSError):
            if abs(self.path.stat().st_ctime_ns - record.changed_ns) > MOST_DRIFT_NS:
                return "the folder was copied or restored"
        if not record.closed and record.boot != _boot_id():
            return "the machine stopped without closing the database"
        return None

    def open(self, life: str, total: int) -> bool:
        """Begin a record, safely on the disk before anything is committed; returns whether it is.

        When it is not, an older record must not speak for this database: whoever asked gives the log another name.
        """
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._write(Record(life, total, _boot_id(), False, 0))
            os.fsync(self._file)
            _sync_folder(self.path.parent)
        except OSError as error:
            self._give_up(error)
            return False
        return True

    def raise_to(self, total: int) -> None:
        """Remember that the sum of all heads is at least this; another process may have noted more."""
        if self._written is None:
            return
        try:
            current = self._read_open()
            self._write(msgspec.structs.replace(self._written, total=max(total, current.total if current else 0)))
        except OSError as error:
            self._give_up(error)

    @property
    def shared(self) -> bool:
        """Whether another process has written the record since we did."""
        try:
            return self._written is not None and self._read_open() != self._written
        except OSError:
            return True

    def close(self) -> None:
        """Say that the database was closed in good order; call it when it has been.

        While a write-ahead log is there, somebody still has it open, and may lose what is in it.
        """
        if self._file is None:
            return
        try:
            if self._written is not None and not Path(f"{self._database_file}-wal").exists():
                current = self._read_open() or self._written
                self._write(msgspec.structs.replace(current, closed=True))
                os.fsync(self._file)
        except OSError as error:
            self._warn(error)
        finally:
            os.close(self._file)
            self._file = self._written = None

    def _read_open(self) -> Record | None:
        assert self._file is not None
        try:
            return msgspec.json.decode(os.pread(self._file, RECORD_BYTES, 0), type=Record)
        except msgspec.MsgspecError:
            return None

    def _write(self, record: Record) -> None:
        assert self._file is not None
        os.utime(self._file)  # what the kernel thinks the time is, whatever the process thinks
        written = msgspec.structs.replace(record, changed_ns=os.fstat(self._file).st_ctime_ns)
        os.pwrite(self._file, msgspec.json.encode(written).ljust(RECORD_BYTES - 1) + b"\n", 0)
        self._written = written

    def _give_up(self, error: OSError) -> None:
        """Leave no record rather than one that stays behind: with it a restored file could pass for the newest."""
        self._warn(error)
        file, self._file, self._written = self._file, None, None
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            if file is not None:
                with suppress(OSError):
                    os.ftruncate(file, 0)
        if file is not None:
            os.close(file)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "continuity_not_recorded",
                file=str(self.path),
                error=str(error),
                meaning="the next start will change the epochs, since it can't know whether the database was restored",
            )


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
