"""A study killed with SIGKILL goes on and ends with the same table; two at once do not disturb each other."""

from __future__ import annotations

import pytest

from mmkd_lab.experiments.store import ResultStore
from tests import forked
from tests.study import tiny

pytestmark = pytest.mark.long


def _run(store, out, kind, which):
    tiny.write(store, out, kind, "b", which)  # in this process: those that are killed are others
    return out.read_bytes()


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
        process = forked.start(tiny.write, store, out, kind, "b", which)
        forked.kill_when(store, process, entries=entries)
        assert entries <= len(ResultStore(store)) < uninterrupted(kind, which)[1]
        assert not out.exists()
    assert _run(store, out, kind, which) == uninterrupted(kind, which)[0]
    assert len(ResultStore(store)) == uninterrupted(kind, which)[1]


def test_two_at_once_on_one_store_end_with_equal_tables(tmp_path, uninterrupted):
    outs = [tmp_path / "first.csv", tmp_path / "second.csv"]
    other = forked.start(tiny.write, tmp_path / "store", outs[1], "images", "b", "failure")
    _run(tmp_path / "store", outs[0], "images", "failure")
    other.join()
    assert other.exitcode == 0
    first, second = (out.read_bytes() for out in outs)
    assert (first, len(ResultStore(tmp_path / "store"))) == uninterrupted("images", "failure")
    assert first == second
