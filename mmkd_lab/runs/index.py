"""The page of a run: `index.html`, one file that needs nothing else to be read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmkd_lab.base.atomic import write_text
from mmkd_lab.runs.record import STATES, Outcome, Run, duration, memory
from mmkd_lab.runs.report import Report, gather, link_to

if TYPE_CHECKING:
    from jinja2 import Template


def write_index(run: Run) -> Path:
    """Write `index.html` into the run's folder, atomically; every text is escaped. Returns its path."""
    sections = [_section(run, outcome) for outcome in run.outcomes]
    facts = _facts([section["report"] for section in sections])
    when = f"{run.started.day} {run.started:%B %Y, %H:%M}"
    total = sum(outcome.seconds or 0.0 for outcome in run.outcomes)
    page = _template().render(
        run=run, when=when, sections=sections, counts=_counts(run), total=total, facts=facts
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
    """The devices and data fingerprints that the studies name, each once."""
    found: dict[tuple[str, str], None] = {}
    for report in reports:
        for study in report.studies:
            for name, value in study.facts:
                if any(word in name for word in ("device", "fingerprint")):
                    found[(name, value)] = None
    return list(found)


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
    environment.filters.update(duration=duration, memory=memory)
    return environment.get_template("index.html.j2")
