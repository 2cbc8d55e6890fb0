"""What is shown of a run on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, TextIO

from mmkd_lab.cli.record import Outcome, duration, memory
from mmkd_lab.core.progress import Told


def line(outcome: Outcome) -> str:
    """`01_failure_cases  done in 2 min 05 s, peak memory 812 MB`, with the error of a failure."""
    text = f"{outcome.label}  {'FAILED' if outcome.state == 'failed' else outcome.state}"
    if outcome.seconds is not None:
        text += f" in {duration(outcome.seconds)}"
    if outcome.peak_bytes:
        text += f", peak memory {memory(outcome.peak_bytes)}"
    return f"{text}\n    {outcome.failure}" if outcome.failure else text


@dataclass
class Running:
    """A notebook that runs: how many cells it has, which one runs, and what that tells of its own work."""

    label: str
    cells: int
    number: int = 0
    told: Told | None = None
    began: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return f"{self.label}  {self.told or f'cell {self.number}/{self.cells}'}"


class Silent:
    """Shows nothing. `show` is called for each cell, and every `interval` seconds within a long one."""

    interval = 30.0

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def show(self, name: str, running: Running) -> None:
        """How far a notebook is."""

    def end(self, outcome: Outcome) -> None:
        """How it ended."""


class Lines(Silent):
    """One line a cell, and one every half minute within a long one."""

    def show(self, name: str, running: Running) -> None:
        """See `Silent`."""
        print(f"{running}  {duration(time.monotonic() - running.began)}", file=self.stream, flush=True)

    def end(self, outcome: Outcome) -> None:
        """See `Silent`."""
        print(line(outcome), file=self.stream, flush=True)


class Bars(Silent):
    """One tqdm bar a running notebook, redrawn every second."""

    interval = 1.0

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._bars: dict[str, Any] = {}

    def show(self, name: str, running: Running) -> None:
        """See `Silent`."""
        from tqdm import tqdm

        if name not in self._bars:
            form = {"bar_format": "{desc}  {bar}  {elapsed}", "dynamic_ncols": True}
            self._bars[name] = tqdm(file=self.stream, leave=False, disable=False, total=1, **form)
        bar, told = self._bars[name], running.told
        bar.n, bar.total = (told.done, told.total) if told else (running.number, running.cells)
        bar.set_description_str(str(running))

    def end(self, outcome: Outcome) -> None:
        """See `Silent`."""
        from tqdm import tqdm

        if (bar := self._bars.pop(outcome.name, None)) is not None:
            bar.close()
        tqdm.write(line(outcome), file=self.stream)
