"""Reading the lexicon's CSV files: every mistake is reported with its file, line and column."""

import csv
from collections.abc import Iterable, Iterator
from importlib.resources import files

ROOM = "infra.providers.builtin"
FOLDER = "lexicon"
SEPARATOR = ";"


class LexiconError(Exception):
    """A row of a lexicon file cannot be used."""

    def __init__(self, file: str, line: int, column: str, problem: str) -> None:
        super().__init__(f"{file}, line {line}, column {column}: {problem}")
        self.file, self.line, self.column, self.problem = file, line, column, problem


class Row:
    """One line of a lexicon file, with access to its cells by column name."""

    def __init__(self, file: str, line: int, cells: dict[str, str]) -> None:
        self.file, self.line, self._cells = file, line, cells

    def text(self, column: str) -> str:
        """The cell, which may be empty."""
        return self._cells[column]

    def required(self, column: str) -> str:
        """The cell, which must not be empty."""
        if not self._cells[column]:
            raise self.error(column, "is empty")
        return self._cells[column]

    def several(self, column: str) -> tuple[str, ...]:
        """The cell's values between semicolons, without empty ones."""
        return tuple(part for part in (part.strip() for part in self._cells[column].split(SEPARATOR)) if part)

    def one_of(self, column: str, allowed: Iterable[str]) -> str:
        """The cell, which must be one of the allowed values."""
        allowed = tuple(allowed)
        if self._cells[column] not in allowed:
            known = ", ".join(repr(value) for value in allowed[:12])
            raise self.error(column, f"{self._cells[column]!r} is not known (expected one of {known}, ...)")
        return self._cells[column]

    def keys(self, column: str, known: Iterable[str]) -> tuple[str, ...]:
        """The cell's values, each of which must be a known key."""
        keys = self.several(column)
        for key in keys:
            if key not in known:
                raise self.error(column, f"{key!r} is not a known key")
        return keys

    def error(self, column: str, problem: str) -> LexiconError:
        """A LexiconError that points at this row's cell."""
        return LexiconError(self.file, self.line, column, problem)


def read(file: str, columns: tuple[str, ...], room: str = ROOM) -> Iterator[Row]:
    """The rows of a lexicon file of the package `room`; empty lines are skipped.

    Raises LexiconError when the header is not `columns` or a row has another number of cells.
    """
    source = files(room).joinpath(FOLDER, file)
    if not source.is_file():
        raise LexiconError(file, 0, "-", "the file is missing")
    try:
        content = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LexiconError(file, 0, "-", f"is not UTF-8 (byte {error.start})") from error
    yield from parse(file, content, columns)


def parse(file: str, content: str, columns: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a lexicon file's text. Raises LexiconError as `read` does."""
    lines = csv.reader(content.splitlines(), strict=True)
    header = next(lines, [])
    if tuple(header) != columns:
        raise LexiconError(file, 1, "-", f"the header must be {','.join(columns)}")
    while True:
        try:
            cells = next(lines, None)
        except csv.Error as error:
            raise LexiconError(file, lines.line_num, "-", str(error)) from error
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            column = columns[min(len(cells), len(columns) - 1)]
            raise LexiconError(file, lines.line_num, column, f"{len(cells)} cells where {len(columns)} are expected")
        yield Row(file, lines.line_num, dict(zip(columns, (cell.strip() for cell in cells), strict=True)))
