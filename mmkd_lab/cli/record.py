"""What is known about a run: one outcome a notebook, kept as `run.json` beside the page."""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mmkd_lab import __version__
from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import reading, require

#: A notebook waits, runs, and ends in one of the others; `interrupted` when its run was killed meanwhile.
STATES = ("waiting", "running", "done", "failed", "stopped", "interrupted")
#: While a run goes on its record is written at least this often; after `SILENCE` it is taken for dead.
HEARTBEAT, SILENCE = timedelta(seconds=15), timedelta(seconds=90)
#: Bytes of a notebook's name: more are put before and after it, and a file's name has 255 at most.
LONGEST_NAME = 200
#: The packages that decide a number.
PACKAGES = ("torch", "lightning-fabric", "numpy", "scipy", "numba", "pandas", "scikit-learn", "captum")


@dataclass(frozen=True)
class Failure:
    """Why a notebook failed: the exception's class and text, the number of its cell from 1, the traceback."""

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

    Its files are called `name`, the notebook's or in a sweep the combination's key; people are told `label`.
    `parameters` are all with the values it ran with, `given` names those set from outside. `seconds` of wall
    clock and `peak_bytes` of its kernel's resident memory are None as long as they are unknown.
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
        fits = Path(self.name).name == self.name and len(os.fsencode(self.name)) <= LONGEST_NAME
        require(fits, "name", self.name, f"must be a file's name of at most {LONGEST_NAME} bytes, no path")
        object.__setattr__(self, "label", self.label or self.name)

    @property
    def ended(self) -> bool:
        """True when nothing more will happen to it."""
        return self.state in STATES[2:]


@dataclass(frozen=True)
class Run:
    """A run: its folder, when it began, how, every outcome in order, and the wall-clock time so far.

    `title` heads the page; `sanitize` keeps what is active out of the pages; `process` is who runs it: host,
    process id, and when that process began.
    """

    folder: Path
    started: datetime
    outcomes: tuple[Outcome, ...]
    jobs: int = 1
    profile: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    title: str = ""
    sanitize: bool = False
    process: tuple[str, int, float] | None = None

    @classmethod
    def begin(cls, folder: Path, outcomes: Sequence[Outcome], **about: Any) -> Run:  # noqa: ANN401 - fields
        """A run that this process begins now; `about` gives further fields."""
        process = socket.gethostname(), os.getpid(), _began(os.getpid()) or 0.0
        now = datetime.now().astimezone()
        return cls(folder, now, tuple(outcomes), versions=versions(), process=process, **about)

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
        content = {name: value for name, value in asdict(self).items() if name != "folder"}
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
        write_text(self.folder / "run.json", text + "\n")

    @classmethod
    def load(cls, folder: Path) -> Run:
        """The run recorded in `folder`. Raises `LabError` when there is none."""
        file = folder / "run.json"
        with reading(file, "must be the record of a run"):
            content = json.loads(file.read_text(encoding="utf-8"))
            run = TypeAdapter(cls).validate_python({**content, "folder": folder})
            _ = run.written.timestamp()  # or its seconds are no time
        return run

    def with_rest(self, state: str) -> Run:
        """The same run with everything that has not ended in this state."""
        return replace(self, outcomes=tuple(o if o.ended else replace(o, state=state) for o in self.outcomes))


def _began(pid: int) -> float | None:
    import psutil

    try:
        return round(float(psutil.Process(pid).create_time()), 2)
    except psutil.Error:
        return None


def versions() -> dict[str, str]:
    """Python, the lab and each of `PACKAGES` -> its version, without importing them."""
    own = {"python": platform.python_version(), "mmkd-lab": __version__}
    return own | {name: version(name) for name in PACKAGES}


def version(name: str) -> str:
    """The version of an installed package, or 'not installed'."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


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
