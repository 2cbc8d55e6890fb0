"""Progress: plain lines for a log, bars for a terminal."""

from __future__ import annotations

import io
import time

import pytest

from mmkd_lab.cli.batch import Board, Screen, line
from mmkd_lab.cli.record import Failure, Outcome, Run, duration, memory
from mmkd_lab.core.progress import Told

STARTED = Outcome("01_x", "X")
DONE = Outcome("01_x", "X", "done", seconds=125.2, peak_bytes=812_000_000)


@pytest.mark.parametrize("terminal", [False, True])
def test_notebook_cell_job_and_end_are_shown(tmp_path, terminal):
    stream, published = io.StringIO(), []
    stream.isatty = lambda: terminal
    screen = Screen(stream)
    screen.interval = 0.02
    with Board(Run.begin(tmp_path, (STARTED,)), published.append, screen) as board:
        board.start(STARTED, 3)
        board.cell("01_x", 1)
        while stream.getvalue().count("cell 1/3") < 2:  # a long cell shows that it is alive
            time.sleep(0.01)
        board.job("01_x", Told("network", 6, 25, "cm_kd", 130.0))
        while "01_x  network 7 of 25, about 2 min left" not in stream.getvalue():
            time.sleep(0.01)
        board.cell("01_x", 2)
        board.end(DONE)
    assert "01_x  cell 2/3  " in stream.getvalue()
    assert "01_x  done in 2 min 05 s, peak memory 812 MB\n" in stream.getvalue()
    assert [run.outcomes[0].state for run in published] == ["running", "done", "done"]


def test_a_failure_is_told_with_its_error():
    failed = Outcome("01_x", "X", "failed", seconds=3.0, failure=Failure("ValueError", "no", 4))
    assert line(failed).splitlines() == ["01_x  FAILED in 3.0 s", "    cell 4: ValueError: no"]


def test_durations_and_sizes_read_well():
    assert [duration(s) for s in (0.04, 59.94, 59.96, 125.2, 3599.6, 7325)] == [
        "0.0 s", "59.9 s", "1 min 00 s", "2 min 05 s", "1 h 00 min", "2 h 02 min",
    ]  # fmt: skip
    assert [memory(size) for size in (999_400_000, 1_250_000_000)] == ["999 MB", "1.2 GB"]
