"""Progress of a run: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, TextIO

from mmkd_lab.cli.record import Outcome, duration, memory
from mmkd_lab.core.progress import Told

_STATE_WORDS = {"done": "done", "failed": "FAILED", "stopped": "stopped"}


def progress_for(show: bool, stream: TextIO | None = None) -> Silent:
    """Bars when `stream` (default: standard error) is a terminal, else lines; nothing unless `show`."""
    stream = stream or sys.stderr
    if not show:
        return Silent()
    return Bars(stream) if stream.isatty() else Lines(stream)


def line(outcome: Outcome) -> str:
    """`01_failure_cases  done in 2 min 05 s, peak memory 812 MB`, with the error of a failure."""
    parts = [_STATE_WORDS.get(outcome.state, outcome.state)]
    if outcome.seconds is not None:
        parts.append(f"in {duration(outcome.seconds)}")
    text = f"{outcome.label}  {' '.join(parts)}"
    if outcome.peak_bytes:
        text += f", peak memory {memory(outcome.peak_bytes)}"
    return f"{text}\n    {outcome.failure}" if outcome.failure else text


class Silent:
    """Is told what happens, from several threads, while its context is entered; shows nothing."""

    def start(self, outcome: Outcome, cells: int) -> None:
        """A notebook of so many cells begins."""

    def cell(self, name: str, number: int) -> None:
        """Its cell `number`, from 1, begins."""

    def job(self, name: str, told: Told) -> None:
        """What the running cell tells of its own work."""

    def end(self, outcome: Outcome) -> None:
        """It has ended."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __reduce__(self) -> tuple[type[Silent], tuple[()]]:
        """In another process there is nobody to show anything to."""
        return Silent, ()


@dataclass
class _Running:
    label: str
    cells: int
    number: int = 0
    told: Told | None = None
    began: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return f"{self.label}  {self.told or f'cell {self.number}/{self.cells}'}"


class _Ticking(Silent, ABC):
    """Keeps what is running and shows it at an interval, so that a long cell shows it is alive."""

    interval = 1.0

    def __init__(self, stream: TextIO, *, interval: float | None = None) -> None:
        self._stream, self._interval = stream, interval or self.interval
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Silent:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def start(self, outcome: Outcome, cells: int) -> None:
        """See `Silent`."""
        with self._lock:
            self._running[outcome.name] = _Running(outcome.label, cells)

    def cell(self, name: str, number: int) -> None:
        """See `Silent`."""
        with self._lock:
            self._running[name].number, self._running[name].told = number, None
            self._show(name, self._running[name])

    def job(self, name: str, told: Told) -> None:
        """See `Silent`."""
        with self._lock:
            self._running[name].told = told

    def end(self, outcome: Outcome) -> None:
        """See `Silent`."""
        with self._lock:
            self._running.pop(outcome.name, None)
            self._say(line(outcome), outcome.name)

    def _loop(self) -> None:
        while not self._done.wait(self._interval):
            with self._lock:
                for name, running in self._running.items():
                    self._show(name, running)

    @abstractmethod
    def _show(self, name: str, running: _Running) -> None: ...

    @abstractmethod
    def _say(self, text: str, name: str) -> None: ...


class Lines(_Ticking):
    """One line a cell, and one every half minute within a long one."""

    interval = 30.0

    def _show(self, name: str, running: _Running) -> None:
        self._say(f"{running}  {duration(time.monotonic() - running.began)}", name)

    def _say(self, text: str, name: str) -> None:
        print(text, file=self._stream, flush=True)


class Bars(_Ticking):
    """One tqdm bar a running notebook, redrawn every second."""

    def __init__(self, stream: TextIO, *, interval: float | None = None) -> None:
        super().__init__(stream, interval=interval)
        self._bars: dict[str, Any] = {}

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        for bar in self._bars.values():
            bar.close()

    def _show(self, name: str, running: _Running) -> None:
        from tqdm import tqdm

        if name not in self._bars:
            form = "{desc}  {bar}  {elapsed}"
            self._bars[name] = tqdm(
                bar_format=form, leave=False, file=self._stream, dynamic_ncols=True, disable=False, total=1
            )
        bar, told = self._bars[name], running.told
        bar.n, bar.total = (told.done, told.total) if told else (running.number, running.cells)
        bar.set_description_str(str(running))

    def _say(self, text: str, name: str) -> None:
        from tqdm import tqdm

        if (bar := self._bars.pop(name, None)) is not None:
            bar.close()
        tqdm.write(text, file=self._stream)
