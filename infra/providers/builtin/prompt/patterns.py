"""Regular expressions that come from outside: run with bounds, so that no pattern can hold the process up."""

import re

import regex

# A pattern that backtracks without end is stopped after this time; an honest one takes microseconds.
MATCH_SECONDS = 0.05
LONGEST_PATTERN = 500
LONGEST_SUBJECT = 100_000
# `regex` knows more than Python's re: a pattern that calls itself can fill the memory before its time is up.
RECURSION = re.compile(r"\(\?(?:R|[+-]?\d|&|P>)")


class PatternRefused(Exception):
    """The pattern can't be run; the message says why, without quoting the text."""


def search_pattern(pattern: str, subject: str) -> bool:
    """Whether the pattern occurs in the text. Raises PatternRefused when it is no pattern, too long or too slow."""
    if len(pattern) > LONGEST_PATTERN:
        raise PatternRefused(f"the pattern is longer than {LONGEST_PATTERN} characters")
    if RECURSION.search(pattern):
        raise PatternRefused("patterns that call themselves are not supported")
    if len(subject) > LONGEST_SUBJECT:
        raise PatternRefused(f"the rendered prompt is longer than {LONGEST_SUBJECT} characters, too long for a pattern")
    try:
        return regex.search(pattern, subject, timeout=MATCH_SECONDS) is not None
    except regex.error as error:
        raise PatternRefused(f"not a regular expression: {error}") from error
    except TimeoutError as error:
        raise PatternRefused(f"the pattern took longer than {MATCH_SECONDS * 1000:.0f} ms and was stopped") from error
    except (RecursionError, OverflowError, MemoryError) as error:
        raise PatternRefused("the pattern is too complex to compile") from error
