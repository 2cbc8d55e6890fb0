"""A page in one file: sections of sentences, figures and tables, with nothing fetched from anywhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import flat, mapping, of_type, one_of, writing
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.plotting.canvas import LabFigure

if TYPE_CHECKING:
    from jinja2 import Environment

#: Bytes above which a figure's SVG gives way to its PNG.
LARGEST_SVG = 3_000_000
_MOST_ROWS = 200
_WIDE = 1300  # pixels
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Picture:
    """A figure: a data address, a caption, the file to open; a `wide` one is scrolled on a phone."""

    source: str
    caption: str
    link: str | None
    wide: bool

    @classmethod
    def of(cls, content: bytes, caption: str, link: str | None = None) -> Picture:
        """Of the bytes of a PNG or an SVG file."""
        png = content.startswith(b"\x89PNG")
        address = data_address(content, "image/png" if png else "image/svg+xml")
        wide = not png or int.from_bytes(content[16:20], "big") > _WIDE  # the width stands in a PNG's head
        return cls(address, caption, link, wide)


@dataclass(frozen=True)
class Shown:
    """A table on the page: heads, lines of cells, how many rows in all, which columns are numbers."""

    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    total: int
    numeric: tuple[bool, ...]

    @classmethod
    def of(cls, table: pd.DataFrame, total: int | None = None) -> Shown:
        """Of a table of text."""
        numeric = [table[name].map(lambda cell: cell[:1] in "+-−.0123456789").all() for name in table]
        lines = tuple(table.itertuples(index=False, name=None))
        return cls(
            tuple(map(str, table)), lines, len(table) if total is None else total, tuple(map(bool, numeric))
        )


@dataclass(frozen=True, eq=False)
class ReportSection:
    """A part of a page, shown in the order of its fields.

    Args:
        heading: over it; empty for none.
        paragraphs: sentences.
        points: a list of sentences.
        steps: a numbered list of sentences, each with a line of code that does it.
        figures: the lab's figures.
        tables: {caption: table}; numbers are cut to 4 digits, 200 rows are shown at most.
    """

    heading: str
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()
    steps: Sequence[tuple[str, str]] = ()
    figures: Sequence[LabFigure] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @cached_property
    def pictures(self) -> tuple[Picture, ...]:
        """The figures as SVG, or as PNG where that is very large."""
        found = []
        for figure in self.figures:
            of_type("figures", figure, LabFigure, "LabFigures")
            svg = figure.svg()
            content = svg if len(svg) <= LARGEST_SVG else figure.png()
            found.append(Picture.of(content, " ".join(figure.get_suptitle().split())))
        return tuple(found)

    @cached_property
    def grids(self) -> tuple[tuple[str, Shown], ...]:
        """Every table with its caption."""
        found = []
        for caption, given in mapping("tables", self.tables, "captions and their DataFrames").items():
            table = of_type("tables", given, pd.DataFrame, "DataFrames")
            cells = table.head(_MOST_ROWS).apply(lambda one: one.map(_cell))
            found.append((caption, Shown.of(cells, len(table))))
        return tuple(found)


def write_report(
    path: Path | str,
    *,
    title: str,
    lead: str,
    sections: Sequence[ReportSection],
    facts: Mapping[str, object] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Write one HTML file that can be mailed: style, figures and files lie within it; every text is escaped.

    Args:
        path: ends in '.html'.
        title: what was found, in a few words.
        lead: the verdict, a sentence or two.
        sections: in their order.
        facts: provenance; nested mappings are shown as `a.b`.
        files: {name: content} to be saved from the page, such as the whole table.

    Raises `LabError` for another ending, a place that cannot be written, a section that is none.
    """
    path = checked_path("path", path)
    one_of("ending of path", path.suffix, [".html"])
    of_type("title", title, str, "text")
    of_type("lead", lead, str, "text")
    for one in flat("sections", sections, "a list of sections"):
        of_type("sections", one, ReportSection, "ReportSections")
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            lead=lead,
            sections=sections,
            facts=list(flat_facts(facts or {})),
            files=[(name, data_address(held, "text/plain")) for name, held in (files or {}).items()],
        )
    )
    with writing("path", path, kind="file"):
        return write_text(path, page)


def environment(*folders: Path) -> Environment:
    """The templates of these folders and of the pages' common parts; every text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader([*folders, _TEMPLATES]), autoescape=True, undefined=StrictUndefined
    )
    found.trim_blocks = found.lstrip_blocks = True
    found.filters["unbroken"] = _unbroken
    return found


def data_address(content: bytes, kind: str) -> str:
    """The content as an address within the page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def flat_facts(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings as `a.b` and text."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from flat_facts(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, float):
        yield path, f"{value:.6g}"
    else:
        yield path, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _unbroken(text: str) -> str:
    """No line break inside an interval in square brackets."""
    return re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", "\u00a0"), text)


def _cell(value: object) -> str:
    if isinstance(value, (float, np.floating)):
        return "" if value != value else f"{value:.4g}".replace("-", "−")
    return str(value)
