"""A study killed with SIGKILL goes on and ends with the same table; two at once do not disturb each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmkd_lab.experiments.store import ResultStore
from tests.study import tiny

REPOSITORY = Path(__file__).parents[2]


def _start(store, out, kind, which):
    command = [sys.executable, "-m", "tests.study.tiny", str(store), str(out), kind, "b", which]
    return subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _run(store, out, kind, which):
    tiny.write(store, out, kind, "b", which)  # in this process: the ones that were killed were others
    return out.read_bytes()


def _kill_when(store, process, *, entries):
    while len(ResultStore(store)) < entries:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    found = {}

    def table(kind, which):
        if (kind, which) not in found:
            folder = tmp_path_factory.mktemp(f"{which}_{kind}")
            table = _run(folder / "store", folder / "table.csv", kind, which)
            found[kind, which] = table, len(ResultStore(folder / "store"))
        return found[kind, which]

    return table


@pytest.mark.parametrize(
    ("which", "kind", "moments"),
    [
        ("failure", "images", (9,)),  # among the students
        ("repair", "vectors", (3, 20)),  # at the first pair, and among what follows from the edits
    ],
)
def test_killed_and_resumed_it_ends_with_the_same_table(tmp_path, uninterrupted, which, kind, moments):
    store, out = tmp_path / "store", tmp_path / "table.csv"
    for entries in moments:
        process = _start(store, out, kind, which)
        _kill_when(store, process, entries=entries)
        assert entries <= len(ResultStore(store)) < uninterrupted(kind, which)[1]
        assert not out.exists()
    assert _run(store, out, kind, which) == uninterrupted(kind, which)[0]
    assert len(ResultStore(store)) == uninterrupted(kind, which)[1]


def test_two_at_once_on_one_store_end_with_equal_tables(tmp_path, uninterrupted):
    outs = [tmp_path / "first.csv", tmp_path / "second.csv"]
    both = [_start(tmp_path / "store", out, "images", "failure") for out in outs]
    assert [process.wait(timeout=240) for process in both] == [0, 0]
    first, second = (out.read_bytes() for out in outs)
    assert (first, len(ResultStore(tmp_path / "store"))) == uninterrupted("images", "failure")
    assert first == second
