"""What is known about a run: one outcome a notebook, kept as `run.json` beside the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from mmkd_lab.core.atomic import write_text

#: A notebook waits, runs, and ends in one of the last three.
STATES = ("waiting", "running", "done", "failed", "stopped")


@dataclass(frozen=True)
class Failure:
    """Why a notebook failed.

    Args:
        kind: the exception's class.
        message: its text.
        cell: the number of the cell, from 1; None when no cell is to blame.
        traceback: as text without colours.
    """

    kind: str
    message: str
    cell: int | None = None
    traceback: str = ""

    def __str__(self) -> str:
        where = f"cell {self.cell}: " if self.cell else ""
        return f"{where}{self.kind}: {self.message}" if self.message else f"{where}{self.kind}"


@dataclass(frozen=True)
class Outcome:
    """One notebook of a run.

    Args:
        name: the notebook's name.
        title: its first heading.
        state: one of `STATES`.
        parameters: every parameter with the value it ran with.
        given: the names of those that were set from outside.
        seconds: wall-clock time; None before it has ended.
        peak_bytes: peak resident memory of its kernel; None when unknown.
        failure: why it failed or was stopped.
    """

    name: str
    title: str
    state: str = "waiting"
    parameters: Mapping[str, object] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    seconds: float | None = None
    peak_bytes: int | None = None
    failure: Failure | None = None

    @property
    def ended(self) -> bool:
        """True when nothing more will happen to it."""
        return self.state in STATES[2:]


@dataclass(frozen=True)
class Run:
    """A run: its folder, when it began, how, every outcome in order, and the wall-clock time so far."""

    folder: Path
    started: datetime
    outcomes: tuple[Outcome, ...]
    jobs: int = 1
    profile: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ended(self) -> bool:
        """True when every notebook has ended."""
        return all(outcome.ended for outcome in self.outcomes)

    @property
    def ok(self) -> bool:
        """True when every notebook is done."""
        return all(outcome.state == "done" for outcome in self.outcomes)

    def save(self) -> None:
        """Write `run.json`, atomically."""
        content = {
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "jobs": self.jobs,
            "profile": self.profile,
            "versions": dict(self.versions),
            "notebooks": [{**asdict(outcome), "given": list(outcome.given)} for outcome in self.outcomes],
        }
        write_text(self.folder / "run.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def duration(seconds: float) -> str:
    """`8.4 s`, `2 min 05 s` or `1 h 02 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def memory(size: float) -> str:
    """`412 MB` or `1.3 GB`, decimal."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
