"""Progress of a run: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any, Protocol, TextIO

from mmkd_lab.cli.record import Outcome, duration, memory

_STATE_WORDS = {"done": "done", "failed": "FAILED", "stopped": "stopped"}


class Listener(Protocol):
    """Is told what happens, from several threads."""

    def start(self, name: str, cells: int) -> None:
        """A notebook of so many cells begins."""

    def cell(self, name: str, number: int) -> None:
        """Its cell `number`, from 1, begins."""

    def end(self, outcome: Outcome) -> None:
        """It has ended."""


class Progress(Listener, Protocol):
    """A listener that shows what it is told while its context is entered."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress_for(show: bool, stream: TextIO | None = None) -> Progress:
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
    text = f"{outcome.name}  {' '.join(parts)}"
    if outcome.peak_bytes:
        text += f", peak memory {memory(outcome.peak_bytes)}"
    return f"{text}\n    {outcome.failure}" if outcome.failure else text


class Silent:
    """Shows nothing."""

    def start(self, name: str, cells: int) -> None:
        """See `Listener`."""

    def cell(self, name: str, number: int) -> None:
        """See `Listener`."""

    def end(self, outcome: Outcome) -> None:
        """See `Listener`."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class _Ticking:
    """Keeps what is running and calls `_tick` at an interval, so that a long cell shows it is alive."""

    def __init__(self, stream: TextIO, interval: float) -> None:
        self._stream, self._interval = stream, interval
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._done.wait(self._interval):
            with self._lock:
                self._tick()

    def _tick(self) -> None:
        """Called with the lock held."""


class Lines(_Ticking):
    """One line a cell, and one every half minute within a long one."""

    def __init__(self, stream: TextIO, *, interval: float = 30.0) -> None:
        super().__init__(stream, interval)
        self._running: dict[str, tuple[float, int, int]] = {}

    def __enter__(self) -> Lines:
        self._thread.start()
        return self

    def start(self, name: str, cells: int) -> None:
        """See `Listener`."""
        with self._lock:
            self._running[name] = (time.monotonic(), 0, cells)

    def cell(self, name: str, number: int) -> None:
        """See `Listener`."""
        with self._lock:
            began, _, cells = self._running[name]
            self._running[name] = (began, number, cells)
            self._say(name)

    def end(self, outcome: Outcome) -> None:
        """See `Listener`."""
        with self._lock:
            self._running.pop(outcome.name, None)
            print(line(outcome), file=self._stream, flush=True)

    def _tick(self) -> None:
        for name in self._running:
            self._say(name)

    def _say(self, name: str) -> None:
        began, number, cells = self._running[name]
        elapsed = duration(time.monotonic() - began)
        print(f"{name}  cell {number}/{cells}  {elapsed}", file=self._stream, flush=True)


class Bars(_Ticking):
    """One tqdm bar a running notebook, redrawn every second."""

    def __init__(self, stream: TextIO, *, interval: float = 1.0) -> None:
        super().__init__(stream, interval)
        self._bars: dict[str, Any] = {}

    def __enter__(self) -> Bars:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        for bar in self._bars.values():
            bar.close()

    def start(self, name: str, cells: int) -> None:
        """See `Listener`."""
        from tqdm import tqdm

        form = "{desc}  {bar}  cell {n_fmt}/{total_fmt}  {elapsed}"
        with self._lock:
            self._bars[name] = tqdm(
                total=cells,
                desc=name,
                bar_format=form,
                leave=False,
                file=self._stream,
                dynamic_ncols=True,
                disable=False,
            )

    def cell(self, name: str, number: int) -> None:
        """See `Listener`."""
        with self._lock:
            bar = self._bars[name]
            bar.n = number
            bar.refresh()

    def end(self, outcome: Outcome) -> None:
        """See `Listener`."""
        from tqdm import tqdm

        with self._lock:
            if (bar := self._bars.pop(outcome.name, None)) is not None:
                bar.close()
            tqdm.write(line(outcome), file=self._stream)

    def _tick(self) -> None:
        for bar in self._bars.values():
            bar.refresh()
