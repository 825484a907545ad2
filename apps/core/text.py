"""Cleaning of text that people typed."""

import re
import unicodedata
from collections.abc import Callable
from typing import TypeVar

from apps.core.errors import DomainError, DomainErrors, ErrorCode

T = TypeVar("T")
D = TypeVar("D")

# NFC makes at most so many code points one.
NFC_SHRINKS = 4
# The Stream-Safe Text Format of Unicode: no script needs more.
MARKS_MAX = 30


class Form:
    """Collects every refusal of one input, to be raised together.

    form = Form()
    title = form.text("title", title, maximum=200)
    form.check()
    """

    def __init__(self) -> None:
        self._errors: list[DomainError] = []

    def text(self, field: str, value: str, *, maximum: int, required: bool = True, single_line: bool = False) -> str:
        """`value` in NFC without surrounding white space; refused when blank, too long or not storable."""
        return self.run(lambda: clean_text(field, value, maximum, required, single_line), default="")

    def run(self, clean: Callable[[], T], default: D) -> T | D:
        """What `clean` returns, or `default` when it raises a DomainError, which is kept for `check`."""
        try:
            return clean()
        except DomainError as error:
            self._errors.append(error)
            return default

    def check(self) -> None:
        """Raise what was collected: DomainError for one refusal, DomainErrors for several."""
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise DomainErrors(self._errors)


def counted(number: int, noun: str) -> str:
    """ "1 message", "2 messages"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def clean_text(field: str, value: str, maximum: int, required: bool = True, single_line: bool = False) -> str:
    """See `Form.text`. Lengths are in code points, as PostgreSQL counts them."""
    value = value.strip()
    if not is_storable(value):
        raise DomainError(ErrorCode.INVALID, "Contains characters that cannot be stored.", field)
    if len(value) > maximum * NFC_SHRINKS:
        raise _too_long(field, maximum)
    if _stacks_marks(value):
        raise DomainError(ErrorCode.INVALID, f"Has more than {MARKS_MAX} marks on one letter.", field)
    value = unicodedata.normalize("NFC", value)
    if single_line and any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in value):
        raise DomainError(ErrorCode.INVALID, "Must be a single line without control characters.", field)
    if required and not _shows(value):
        raise DomainError(ErrorCode.REQUIRED, "Must not be blank.", field)
    if len(value) > maximum:
        raise _too_long(field, maximum)
    return value


def _too_long(field: str, maximum: int) -> DomainError:
    return DomainError(ErrorCode.INVALID, f"Must have at most {maximum:,} characters.", field)


def _stacks_marks(value: str) -> bool:
    """Whether a letter carries more than `MARKS_MAX` marks: to normalise them takes time by their number squared."""
    marks = 0
    for character in value:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > MARKS_MAX:
            return True
    return False


def _shows(value: str) -> bool:
    """Whether anything in `value` is neither white space nor invisible (zero-width joiners and the like)."""
    return any(unicodedata.category(character)[0] not in "ZC" for character in value)


def is_storable(value: str) -> bool:
    """Whether PostgreSQL can hold `value`: no NUL, and no half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in value


def storable(text: str) -> str:
    """`text` as far as PostgreSQL can hold it, for what nobody has typed: the reports of errors and the like."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="backslashreplace").decode()


# What turns the direction of writing around, for all that follows it on its line.
DIRECTIONS = {*"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}
# Where an address of the web begins, and may be broken up.
ADDRESS = re.compile(r":(?=//)|www(?=\.)", re.IGNORECASE)


def quotable(text: str, length: int) -> str:
    """The beginning of somebody's `text` among words of ours, or in a header: an `excerpt` that stays in its place.

    It has neither control characters nor any that change the direction in which the rest of the line is read, and
    addresses of the web are broken up: mail programs would make links of them.
    """
    harmless = "".join(
        character
        for character in text
        if character.isspace() or (unicodedata.category(character) not in {"Cc", "Cs"} and character not in DIRECTIONS)
    )
    return excerpt(ADDRESS.sub(lambda start: f"{start[0]} ", harmless), length)


def excerpt(text: str, length: int = 200) -> str:
    """The beginning of `text` on one line, cut between words, with an ellipsis when something was cut."""
    line = " ".join(text[: length * 4].split())
    if len(line) <= length and not text[length * 4 :].strip():
        return line
    cut = line[: length - 1]
    head, space, _ = cut.rpartition(" ")
    return (head if space else cut) + "…"
