"""The page of a run: `index.html`, one file that needs nothing else to be read."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mmkd_lab.cli.record import SILENCE, STATES, Outcome, Run, duration, memory
from mmkd_lab.cli.report import Report, StudyFile, gather, link_to, table_file
from mmkd_lab.core.atomic import write_text

if TYPE_CHECKING:
    from jinja2 import Template


def write_index(run: Run, table: Path | None = None) -> Path:
    """Write `index.html` into the run's folder, atomically; every text is escaped. Returns its path.

    `table` is a CSV file that compares the notebooks of the run. While the run goes on the page renews
    itself, and says so when it has not been written for long: then the run was killed.
    """
    sections = [_section(run, outcome) for outcome in run.outcomes]
    counts = {state: sum(one.state == state for one in run.outcomes) for state in STATES}
    studies = [study for section in sections for study in section["report"].studies]
    page = _template().render(
        run=run,
        heading=run.title or f"Run of {run.started.day} {run.started:%B %Y, %H:%M}",
        sections=sections,
        counts=[(state, count) for state, count in counts.items() if count],
        facts=[(study.name, _origin(study)) for study in studies],
        compared=table_file(table, run.folder) if table is not None else None,
        written=int(run.written.timestamp()),
        silence=int(SILENCE.total_seconds()),
    )
    return write_text(run.folder / "index.html", page)


def _section(run: Run, outcome: Outcome) -> dict[str, Any]:
    files = {suffix: run.folder / f"{outcome.name}.{suffix}" for suffix in ("ipynb", "html")}
    links = {suffix: link_to(path, run.folder) if path.is_file() else None for suffix, path in files.items()}
    report = gather(run.folder, outcome.name) if outcome.ended else Report()
    return {"outcome": outcome, "report": report, "links": links}


def _origin(study: StudyFile) -> str:
    """The data and the device that its numbers come from."""
    words = ("fingerprint", "device")
    return ", ".join(f"{name} {value}" for name, value in study.facts if name.rpartition(".")[2] in words)


def _unbroken(text: str) -> str:
    """No line break inside an interval in square brackets."""
    return re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(" ", "\u00a0"), text)


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
    anchors = {"anchor": lambda study, notebook: quote(f"{notebook}/{study}")}
    environment.filters.update(duration=duration, memory=memory, unbroken=_unbroken, **anchors)
    return environment.get_template("index.html.j2")
