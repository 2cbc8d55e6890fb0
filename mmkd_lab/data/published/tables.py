"""Lists of published data sets: csv and lines of JSON, with their encoding, line numbers and odd ids."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmkd_lab.core.check import DamagedFile, listing, reading

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_C1 = re.compile("[\x80-\x9f]")


@dataclass(frozen=True)
class Record:
    """One record of a list: its file, the line on which it begins, and its cells by column."""

    file: Path
    line: int
    cells: Mapping[str, Any]

    def __getitem__(self, column: str) -> Any:  # noqa: ANN401 - text of a csv, anything of JSON
        """A cell. Raises `DamagedFile` where there is none."""
        if column not in self.cells:
            raise self.wrong(f"{list(self.cells)}"[:80], f"must have {column!r}")
        return self.cells[column]

    @property
    def place(self) -> str:
        """The file and the line."""
        return f"{self.file}, line {self.line}"

    def wrong(self, found: object, rule: str, way_out: str = "") -> DamagedFile:
        """A refusal that names the file and the line, to be raised."""
        return DamagedFile(self.place, found, rule, way_out)

    def option(self, column: str, options: Sequence[str]) -> str:
        """A cell that is one of these. Raises `DamagedFile`."""
        if (found := self[column]) not in options:
            raise self.wrong(f"{column} {found!r}", f"must be one of {listing(options)}")
        return str(found)

    def number(self, column: str) -> str:
        """A cell that is a whole number, as text: an id keeps its digits. Raises `DamagedFile`."""
        found = self[column]
        if not (isinstance(found, int) and not isinstance(found, bool)) and not re.fullmatch(
            r"[0-9]+", str(found)
        ):
            rule = "must be a whole number in all its digits"
            raise self.wrong(
                f"{column} {found!r}", rule, "A spreadsheet may have rounded it: fetch the list again."
            )
        return str(found)


def text_of(file: Path) -> tuple[str, str]:
    """What stands in a list, line ends as they are, and a note of the encoding where it is not UTF-8.

    Raises `DamagedFile` for UTF-16 and what is no text.
    """
    with reading(file, "must be text"):
        return _decoded(file, file.read_bytes())


def _decoded(file: Path, content: bytes) -> tuple[str, str]:
    if content.startswith(_UTF16):
        way_out = "Save it as UTF-8, or fetch the published list again."
        raise DamagedFile(str(file), "text in UTF-16", "must be text in UTF-8", way_out)
    if b"\0" in content:
        raise DamagedFile(str(file), "zero bytes", "must be text")
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return content.decode("cp1252"), f"{file.name} is no UTF-8 and was read as cp1252"


def repaired(text: str) -> tuple[str, int]:
    """Text whose C1 control characters are what cp1252 has in their place, and how many there were."""

    def meant(match: re.Match[str]) -> str:
        return match[0].encode("latin-1").decode("cp1252", "replace")

    return _C1.subn(meant, text)


def csv_rows(
    file: Path, columns: Sequence[str], *, header: bool = True, delimiter: str = ",", quoted: bool = True
) -> Iterator[Record]:
    """The records of a csv that has these columns at least, or, without a header, exactly these.

    Raises `DamagedFile` for a missing column, another delimiter, or a record of another length.
    """
    return csv_text(file, text_of(file)[0], columns, header=header, delimiter=delimiter, quoted=quoted)


def csv_text(
    file: Path,
    text: str,
    columns: Sequence[str],
    *,
    header: bool = True,
    delimiter: str = ",",
    quoted: bool = True,
) -> Iterator[Record]:
    """As `csv_rows`, of the text of a file."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    records = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=quoted)
    names, line = list(columns), 0
    with reading(file, "must be a table of separated values"):
        if header:
            names = next(records, [])
            lacking = [one for one in columns if one not in names]
            if lacking:
                shown = f"a header without {listing(lacking)}: {delimiter.join(names)}"
                raise DamagedFile(str(file), shown, f"must separate columns by {delimiter!r}, with a header")
        line = records.line_num
        for record in records:
            row, line = line + 1, records.line_num
            if not record:
                continue
            if len(record) != len(names):
                rule = f"must have {len(names)} cells separated by {delimiter!r}"
                raise DamagedFile(f"{file}, line {row}", f"{len(record)} cells", rule)
            yield Record(file, row, dict(zip(names, record, strict=True)))


def json_lines(file: Path) -> Iterator[Record]:
    """The objects of a file of JSON, one a line, empty lines left out. Raises `DamagedFile` with the line."""
    with reading(file, "must be text"), file.open("rb") as opened:
        for number, line in enumerate(opened, start=1):
            text, place = _decoded(file, line)[0], f"{file}, line {number}"
            if not text.strip():
                continue
            with reading(place, "must be an object in JSON"):
                found = json.loads(text)
            if not isinstance(found, dict):
                raise DamagedFile(place, text[:40], "must be an object in JSON")
            yield Record(file, number, found)


def json_file(file: Path) -> Any:  # noqa: ANN401 - whatever it holds
    """What a file of JSON holds. Raises `DamagedFile`."""
    with reading(file, "must be JSON"):
        return json.loads(text_of(file)[0])


def distinct(rows: Iterable[tuple[str, Record]], *, what: str = "id") -> dict[str, Record]:
    """{id: record}. Raises `DamagedFile` naming both lines of an id that occurs twice."""
    found: dict[str, Record] = {}
    for one, row in rows:
        if one in found:
            other = found[one]
            raise row.wrong(
                f"{what} {one!r}", f"must not occur twice; it is in {other.file.name}, line {other.line}"
            )
        found[one] = row
    return found


def inside(root: Path, name: str, place: Path | str) -> Path:
    """The path of a file that a list names, which may be missing. Raises `DamagedFile` where it lies outside
    the folder, links followed."""
    base = root.resolve()
    with reading(str(place), f"must name a file in {root}"):
        found = (base / name).resolve()
        found.is_file()  # raises where a name is too long for the system
    if "\\" in name or not found.is_relative_to(base):
        raise DamagedFile(str(place), name, f"must name a file inside {root}, links followed")
    return found
