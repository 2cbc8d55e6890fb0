"""What is known about a run: one outcome a notebook, kept as `run.json` beside the page."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mmkd_lab.core.atomic import write_text

#: A notebook waits, runs, and ends in one of the others; `interrupted` when its run was killed meanwhile.
STATES = ("waiting", "running", "done", "failed", "stopped", "interrupted")
#: While a run goes on its record is written at least this often; after `SILENCE` it is taken for dead.
HEARTBEAT, SILENCE = timedelta(seconds=15), timedelta(seconds=90)


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
        name: the notebook's name; in a sweep the key of the combination. Its files are called so.
        title: its first heading; in a sweep the swept parameters.
        state: one of `STATES`.
        parameters: every parameter with the value it ran with.
        given: the names of those that were set from outside.
        seconds: wall-clock time; None before it has ended.
        peak_bytes: peak resident memory of its kernel; None when unknown.
        failure: why it failed or was stopped.
        label: what people are told it is called; default: its name.
    """

    name: str
    title: str
    state: str = "waiting"
    parameters: Mapping[str, object] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    seconds: float | None = None
    peak_bytes: int | None = None
    failure: Failure | None = None
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or self.name)

    @property
    def ended(self) -> bool:
        """True when nothing more will happen to it."""
        return self.state in STATES[2:]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Outcome:
        """The outcome that was kept as JSON of its fields."""
        failure = Failure(**record["failure"]) if record["failure"] else None
        return cls(**{**record, "given": tuple(record["given"]), "failure": failure})


@dataclass(frozen=True)
class Run:
    """A run: its folder, when it began, how, every outcome in order, and the wall-clock time so far.

    `title` heads the page; `process` is who runs it: host, process id, and when that process began.
    """

    folder: Path
    started: datetime
    outcomes: tuple[Outcome, ...]
    jobs: int = 1
    profile: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    title: str = ""
    process: tuple[str, int, float] | None = None

    @property
    def ended(self) -> bool:
        """True when every notebook has ended."""
        return all(outcome.ended for outcome in self.outcomes)

    @property
    def ok(self) -> bool:
        """True when every notebook is done."""
        return all(outcome.state == "done" for outcome in self.outcomes)

    @property
    def alive(self) -> bool:
        """Whether somebody still works on it: this machine's process is there, or another's wrote lately."""
        if self.ended or self.process is None:
            return False
        host, pid, began = self.process
        if host != socket.gethostname():
            return datetime.now().astimezone() - self.written < SILENCE
        return _began(pid) == began

    @property
    def written(self) -> datetime:
        """When its record was last written."""
        return self.started + timedelta(seconds=self.seconds)

    def save(self) -> None:
        """Write `run.json`, atomically."""
        content = {
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "title": self.title,
            "jobs": self.jobs,
            "profile": self.profile,
            "process": self.process,
            "versions": dict(self.versions),
            "notebooks": [asdict(outcome) for outcome in self.outcomes],
        }
        write_text(self.folder / "run.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Run:
        """The run recorded in `folder`. Without one: `OSError`, `ValueError`, `KeyError` or `TypeError`."""
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        outcomes = tuple(Outcome.of(one) for one in content.pop("notebooks"))
        started = datetime.fromisoformat(content.pop("started"))
        process = content.pop("process")
        return cls(folder, started, outcomes, process=tuple(process) if process else None, **content)

    def interrupted(self) -> Run:
        """The same run with everything that has not ended marked as interrupted."""
        outcomes = (one if one.ended else replace(one, state="interrupted") for one in self.outcomes)
        return replace(self, outcomes=tuple(outcomes))


def this_process() -> tuple[str, int, float]:
    """Host, process id and beginning of this process, by which it is known again."""
    return socket.gethostname(), os.getpid(), _began(os.getpid()) or 0.0


def _began(pid: int) -> float | None:
    import psutil

    try:
        return round(float(psutil.Process(pid).create_time()), 2)
    except psutil.Error:
        return None


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
