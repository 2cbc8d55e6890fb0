"""What a notebook left behind, gathered for the page: studies, figures, tables."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from mmkd_lab.cli.parameters import load_notebook, source_of
from mmkd_lab.cli.preview import Table, read_table, summary_table
from mmkd_lab.core.check import DamagedFile

_LARGEST_SVG = 3_000_000
_WIDE = 1300  # pixels
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Picture:
    """A figure: its bytes as a data address, its caption, the file to open if there is one, and its width.

    A `wide` figure would have letters too small to read on a phone, and is scrolled there instead.
    """

    source: str
    caption: str
    link: str | None = None
    wide: bool = True


@dataclass(frozen=True)
class TableFile:
    """A CSV file: its means with intervals when it is a study's, its first rows, and where it is."""

    name: str
    link: str
    summary: Table | None
    rows: Table | None
    problem: str = ""


@dataclass(frozen=True)
class StudyFile:
    """A study that the notebook saved."""

    name: str
    title: str
    verdict: str
    picture: Picture | None
    table: TableFile | None
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Report:
    """All that one notebook left behind."""

    studies: tuple[StudyFile, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[TableFile, ...] = ()
    problems: tuple[str, ...] = field(default=())


def gather(folder: Path, name: str) -> Report:
    """The report of the notebook `name` of the run in `folder`; what cannot be read is named, not raised."""
    results = folder / name
    problems: list[str] = []
    studies = []
    files = sorted(path for path in results.glob("*.*") if path.is_file())
    for path in (path for path in files if path.suffix == ".json"):
        try:
            studies.append(_study(path, folder))
        except (DamagedFile, ValueError, KeyError, TypeError, OSError, RecursionError) as error:
            problems.append(f"{path.name} cannot be read: {error}")
    taken = {study.name for study in studies}
    rest = [path for path in files if path.stem not in taken]
    tables = tuple(table_file(path, folder) for path in rest if path.suffix == ".csv")
    pictures = [_file_picture(path, folder, path.stem) for path in _best_of(rest)]
    shown = {hashlib.sha256(path.read_bytes()).digest() for path in files if path.suffix == ".png"}
    pictures += _notebook_pictures(folder / f"{name}.ipynb", shown)
    return Report(tuple(studies), tuple(pictures), tables, tuple(problems))


def link_to(path: Path, folder: Path) -> str:
    """A relative address that no browser takes for anything but a file."""
    return "./" + "/".join(quote(part) for part in path.relative_to(folder).parts)


def flat(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings as `a.b` and text."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from flat(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, float):
        yield path, f"{value:.6g}"
    elif isinstance(value, (list, tuple)):
        yield path, ", ".join(map(str, value))
    else:
        yield path, str(value)


def _study(path: Path, folder: Path) -> StudyFile:
    head = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(head, dict) or "verdict" not in head:
        raise DamagedFile(str(path), "no verdict", "must be a saved study")
    title, table = str(head.get("title", path.stem)), path.with_suffix(".csv")
    files = [path.with_suffix(suffix) for suffix in (".svg", ".png")]
    pictures = [_file_picture(file, folder, title) for file in _best_of([f for f in files if f.is_file()])]
    return StudyFile(
        name=path.stem,
        title=title,
        verdict=str(head["verdict"]),
        picture=pictures[0] if pictures else None,
        table=table_file(table, folder, head.get("csv_sha256")) if table.is_file() else None,
        facts=tuple(flat(head.get("provenance", {}))),
    )


def table_file(path: Path, folder: Path, sha256: object = None) -> TableFile:
    """What the page shows of a CSV file; `sha256`, if given, is what the file must have."""
    link = link_to(path, folder)
    try:
        if sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise ValueError("it is not the table that the study was saved with")
        return TableFile(path.name, link, summary_table(path), read_table(path))
    except (ValueError, OSError) as error:
        return TableFile(path.name, link, None, None, f"cannot be shown: {error}")


def _best_of(paths: list[Path]) -> list[Path]:
    """One file a figure: the SVG unless it is very large, else the PNG."""
    svg = {path.stem: path for path in paths if path.suffix == ".svg"}
    png = {path.stem: path for path in paths if path.suffix == ".png"}
    stems = dict.fromkeys([*svg, *png])
    small = {stem for stem in svg if stem not in png or svg[stem].stat().st_size <= _LARGEST_SVG}
    return [svg[stem] if stem in small else png[stem] for stem in stems]


def _file_picture(path: Path, folder: Path, caption: str) -> Picture:
    kind, content = "svg+xml" if path.suffix == ".svg" else "png", path.read_bytes()
    return Picture(_address(kind, content), caption, link_to(path, folder), _wide(kind, content))


def _notebook_pictures(path: Path, shown: set[bytes]) -> Iterator[Picture]:
    """The images among the notebook's outputs, under the heading above them, each once."""
    if not path.is_file():
        return
    cells = load_notebook(path)["cells"]
    assert isinstance(cells, list)
    heading = path.stem
    for cell in cells:
        if cell.get("cell_type") == "markdown" and (found := _HEADING.findall(source_of(cell))):
            heading = found[-1]
        for kind, content in _images(cell):
            digest = hashlib.sha256(content).digest()
            if digest not in shown:
                shown.add(digest)
                yield Picture(_address(kind, content), heading, wide=_wide(kind, content))


def _images(cell: Mapping[str, object]) -> Iterator[tuple[str, bytes]]:
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        data = output.get("data", {})
        if "image/svg+xml" in data:
            yield "svg+xml", _joined(data["image/svg+xml"]).encode()
        elif "image/png" in data:
            try:
                yield "png", base64.b64decode(_joined(data["image/png"]))
            except binascii.Error:
                continue


def _wide(kind: str, content: bytes) -> bool:
    return kind != "png" or int.from_bytes(content[16:20], "big") > _WIDE  # the width stands in a PNG's head


def _joined(text: object) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
