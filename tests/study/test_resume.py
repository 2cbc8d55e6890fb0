"""A study killed with SIGKILL goes on and ends with the same table; two at once do not disturb each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmkd_lab.runs.store import ResultStore

REPOSITORY = Path(__file__).parents[2]
NETWORKS = 16  # two seeds of three teachers and five students


def _start(store, out, kind):
    command = [sys.executable, "-m", "tests.study.tiny", str(store), str(out), kind, "b"]
    return subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _run(store, out, kind):
    assert _start(store, out, kind).wait(timeout=240) == 0
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

    def table(kind):
        if kind not in found:
            folder = tmp_path_factory.mktemp(kind)
            found[kind] = _run(folder / "store", folder / "table.csv", kind)
        return found[kind]

    return table


@pytest.mark.parametrize(("kind", "moments"), [("images", (2, 9)), ("vectors", (3,))])
def test_killed_and_resumed_it_ends_with_the_same_table(tmp_path, uninterrupted, kind, moments):
    store, out = tmp_path / "store", tmp_path / "table.csv"
    for entries in moments:  # among the teachers, and for images among the students too
        process = _start(store, out, kind)
        _kill_when(store, process, entries=entries)
        assert entries <= len(ResultStore(store)) < NETWORKS
        assert not out.exists()
    assert _run(store, out, kind) == uninterrupted(kind)
    assert len(ResultStore(store)) == NETWORKS


def test_two_at_once_on_one_store_end_with_equal_tables(tmp_path, uninterrupted):
    outs = [tmp_path / "first.csv", tmp_path / "second.csv"]
    both = [_start(tmp_path / "store", out, "images") for out in outs]
    assert [process.wait(timeout=240) for process in both] == [0, 0]
    first, second = (out.read_bytes() for out in outs)
    assert first == second == uninterrupted("images")
    assert len(ResultStore(tmp_path / "store")) == NETWORKS
