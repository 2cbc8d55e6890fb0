"""Progress: plain lines for a log, bars for a terminal."""

from __future__ import annotations

import io
import time

from mmkd_lab.cli.progress import Bars, Lines, Silent, line, progress_for
from mmkd_lab.cli.record import Failure, Outcome, duration, memory
from mmkd_lab.core.progress import Told

STARTED = Outcome("01_x", "X")
DONE = Outcome("01_x", "X", "done", seconds=125.2, peak_bytes=812_000_000)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def _tell(progress):
    with progress:
        progress.start(STARTED, 3)
        progress.cell("01_x", 1)
        progress.cell("01_x", 2)
        progress.end(DONE)


def test_lines_name_notebook_cell_and_time():
    stream = io.StringIO()
    _tell(Lines(stream))
    assert stream.getvalue().splitlines() == [
        "01_x  cell 1/3  0.0 s",
        "01_x  cell 2/3  0.0 s",
        "01_x  done in 2 min 05 s, peak memory 812 MB",
    ]


def test_a_long_cell_shows_that_it_is_alive():
    stream = io.StringIO()
    with Lines(stream, interval=0.05) as progress:
        progress.start(STARTED, 3)
        progress.cell("01_x", 1)
        while stream.getvalue().count("cell 1/3") < 3:
            time.sleep(0.01)
        progress.job("01_x", Told("network", 6, 25, "cm_kd", 130.0))
        while "01_x  network 7 of 25, about 2 min left" not in stream.getvalue():
            time.sleep(0.01)


def test_bars_on_a_terminal():
    stream = Terminal()
    _tell(Bars(stream))
    assert "cell 2/3" in stream.getvalue()
    assert "01_x  done in 2 min 05 s, peak memory 812 MB" in stream.getvalue()


def test_the_stream_decides():
    assert isinstance(progress_for(True, Terminal()), Bars)
    assert isinstance(progress_for(True, io.StringIO()), Lines)
    assert type(progress_for(False, Terminal())) is Silent


def test_a_failure_is_told_with_its_error():
    failed = Outcome("01_x", "X", "failed", seconds=3.0, failure=Failure("ValueError", "no", 4))
    assert line(failed).splitlines() == ["01_x  FAILED in 3.0 s", "    cell 4: ValueError: no"]


def test_durations_and_sizes_read_well():
    assert [duration(s) for s in (0.04, 59.94, 59.96, 125.2, 3599.6, 7325)] == [
        "0.0 s", "59.9 s", "1 min 00 s", "2 min 05 s", "1 h 00 min", "2 h 02 min",
    ]  # fmt: skip
    assert [memory(size) for size in (53_000_000, 999_400_000, 1_250_000_000)] == [
        "53 MB",
        "999 MB",
        "1.2 GB",
    ]
