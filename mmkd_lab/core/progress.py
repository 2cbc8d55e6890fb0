"""How far work has come: a bar for whoever watches, lines in a file for a program that waits."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: Names the file that jobs are told to: one line of JSON each, `Told` by its fields.
PROGRESS_VARIABLE = "MMKD_LAB_PROGRESS"


@dataclass(frozen=True)
class Told:
    """Where work stands: `done` of `total` things called `label`, the last of them, and the time left."""

    label: str
    done: int
    total: int
    what: str = ""
    seconds_left: float | None = None

    def __str__(self) -> str:
        text = f"{self.label} {min(self.done + 1, self.total)} of {self.total}"
        return f"{text}, about {rough(self.seconds_left)} left" if self.seconds_left else text


@contextmanager
def jobs_progress(total: int, label: str = "job", shown: bool = True) -> Iterator[Jobs]:
    """Count `total` jobs, each called a `label` (for example 'network'), with `.update(what)` after each.

    Draws a bar when `shown` and somebody watches (see `watched`), and appends to the file that
    MMKD_LAB_PROGRESS names, if any. An update that nobody can be told of is no error.
    """
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=label, unit=label, leave=False, disable=not watched(shown)) as bar:
        yield Jobs(total, label, bar)


class Jobs:
    """How many of the jobs are done; call `update` after each."""

    def __init__(self, total: int, label: str, bar: Any) -> None:  # noqa: ANN401 - tqdm has no types
        self._total, self._label, self._bar = total, label, bar
        self._done, self._began = 0, time.monotonic()
        self._tell(Told(label, 0, total))

    def update(self, what: str = "") -> None:
        """One more is done; `what` says which, for example 'cm_kd, seed 3'."""
        self._done += 1
        self._bar.set_postfix_str(what, refresh=False)
        self._bar.update()
        left = (time.monotonic() - self._began) / self._done * max(0, self._total - self._done)
        self._tell(Told(self._label, self._done, self._total, what, round(left, 1)))

    def _tell(self, told: Told) -> None:
        if file := os.environ.get(PROGRESS_VARIABLE):
            try:
                with Path(file).open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(asdict(told)) + "\n")
            except OSError:  # work is worth more than word of it
                os.environ.pop(PROGRESS_VARIABLE)


def last_told(file: Path) -> Told | None:
    """What was told to `file` last; None when nothing was, or nothing whole."""
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
        return Told(**json.loads(lines[-2]))
    except (OSError, IndexError, ValueError, TypeError):
        return None


def rough(seconds: float) -> str:
    """`40 s`, `2 min` or `1.5 h`: as exact as a guess deserves."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def watched(asked: bool) -> bool:
    """True when a bar was asked for and TQDM_DISABLE is not set, which tqdm overlooks in a notebook."""
    return asked and os.environ.get("TQDM_DISABLE", "") in ("", "0")
