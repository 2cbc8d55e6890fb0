"""The page of a run: `index.html`, one file that needs nothing else to be read."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mmkd_lab.cli.record import SILENCE, STATES, Outcome, Run, duration, memory
from mmkd_lab.cli.report import Report, gather, link_to, table_file
from mmkd_lab.core.atomic import write_text

if TYPE_CHECKING:
    from jinja2 import Template


def write_index(run: Run, table: Path | None = None) -> Path:
    """Write `index.html` into the run's folder, atomically; every text is escaped. Returns its path.

    `table` is a CSV file that compares the notebooks of the run. While the run goes on the page renews
    itself, and says so when it has not been written for long: then the run was killed.
    """
    sections = [_section(run, outcome) for outcome in run.outcomes]
    when = f"{run.started.day} {run.started:%B %Y, %H:%M}"
    page = _template().render(
        run=run,
        heading=run.title or f"Run of {when}",
        sections=sections,
        counts=_counts(run),
        facts=_facts([section["report"] for section in sections]),
        compared=table_file(table, run.folder) if table is not None else None,
        written=int(run.written.timestamp()),
        silence=int(SILENCE.total_seconds()),
    )
    return write_text(run.folder / "index.html", page)


def _section(run: Run, outcome: Outcome) -> dict[str, Any]:
    files = {suffix: run.folder / f"{outcome.name}.{suffix}" for suffix in ("ipynb", "html")}
    links = {suffix: link_to(path, run.folder) if path.is_file() else None for suffix, path in files.items()}
    return {
        "outcome": outcome,
        "report": gather(run.folder, outcome.name) if outcome.ended else Report(),
        "links": links,
    }


def _counts(run: Run) -> list[tuple[str, int]]:
    found = [(state, sum(one.state == state for one in run.outcomes)) for state in STATES]
    return [(state, count) for state, count in found if count]


def _facts(reports: list[Report]) -> list[tuple[str, str]]:
    """Study -> the data and the device its numbers come from."""
    return [(study.name, _origin(study.facts)) for report in reports for study in report.studies]


def _origin(facts: tuple[tuple[str, str], ...]) -> str:
    words = ("fingerprint", "device")
    return ", ".join(f"{name} {value}" for name, value in facts if name.rpartition(".")[2] in words)


def _unbroken(text: str) -> str:
    """No line break inside an interval in square brackets."""
    return re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", "\u00a0"), text)


def _anchor(study: str, notebook: str) -> str:
    return quote(f"{notebook}/{study}")


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration, memory=memory, unbroken=_unbroken, anchor=_anchor)
    return environment.get_template("index.html.j2")
