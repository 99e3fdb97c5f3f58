"""Delimited text: comma, semicolon or tab, or what a first line `sep=;` says; UTF-8 and UTF-16."""

from __future__ import annotations

import csv
import io
import re
import string
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

BLANKS = f"{string.whitespace}\N{NO-BREAK SPACE}"
_SAYS_SEPARATOR = re.compile(
    r'"?sep=(?P<said>[^"\w\r\n])"?(?P=said)* *(\r\n|\r|\n|$)', re.IGNORECASE
)


class TableFileError(ValueError):
    """A file is no table: what was seen, and what is wanted instead.

    Whoever reads the file names it, in an error of their own.
    """

    def __init__(self, seen: str, wanted: str) -> None:
        super().__init__(f"{seen}; {wanted}")
        self.seen, self.wanted = seen, wanted


@dataclass(frozen=True)
class DelimitedText:
    """Text whose cells are separated by one character.

    Attributes
    ----------
    content
        The text below the line that says the separator, where there is one.
    said
        The separator that the file's first line says, for which Excel writes ``sep=;``.
    """

    content: str
    said: str | None = None

    place = ""
    """Which part of the file this is, for messages."""

    @property
    def candidates(self) -> Sequence[str]:
        """Return what may separate cells."""
        return self.said or "\t,;"

    @property
    def first_line(self) -> str:
        """Return the first line that is not blank."""
        return next((line.strip() for line in self.content.splitlines() if line.strip()), "")

    def guess_separator(self) -> str:
        """Return the separator that gives the first line most cells."""
        first = [self.first_line]
        return max(
            self.candidates, key=lambda each: len(next(csv.reader(first, delimiter=each), []))
        )

    def iter_lines(self, separator: str, *, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
        """Yield the cells of each line that is not blank, with its number in the file, from 1.

        Blanks around cells and empty cells at the right are taken away. A line with breaks inside
        quotes has the number it starts on. Unless `strict`, quotes that make no sense are text.
        """
        text = io.StringIO(self.content, newline="")
        reader = csv.reader(text, delimiter=separator, strict=strict)
        # A tab that separates stays: what an open quote has swallowed is told by it.
        blank = BLANKS.replace(separator, "") if separator.isspace() else None
        above = 1 if self.said is None else 2
        number = above
        try:
            for cells in reader:
                stripped = [cell.strip(blank) for cell in cells]
                while stripped and not stripped[-1]:
                    stripped.pop()
                if stripped:
                    yield number, stripped
                number = above + reader.line_num
        except csv.Error as exc:
            raise TableFileError(
                f"is not CSV ({exc}, from row {number} on)", "one row per line, quotes closed"
            ) from exc


def read_delimited(path: Path) -> DelimitedText:
    """Read a file of delimited text, UTF-8 or UTF-16 with its mark.

    Raises
    ------
    TableFileError
        It cannot be read, or is no such text.
    """
    try:
        text = _decode(path.read_bytes())
    except OSError as exc:
        raise TableFileError(
            f"cannot be read ({exc.strerror})", "a readable CSV file is wanted"
        ) from exc
    except UnicodeDecodeError as exc:
        raise TableFileError("is not UTF-8 text", "save it as 'CSV UTF-8'") from exc
    says = _SAYS_SEPARATOR.match(text)
    return DelimitedText(text[says.end() :], says["said"]) if says else DelimitedText(text)


def _decode(content: bytes) -> str:
    # Excel's "Unicode text" is UTF-16 with a byte order mark.
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    return unicodedata.normalize("NFC", text)
