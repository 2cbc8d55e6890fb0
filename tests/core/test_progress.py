"""Who sees a progress bar, and what a waiting program is told."""

from __future__ import annotations

import json

import pytest

from mmkd_lab.core.progress import PROGRESS_VARIABLE, Told, jobs_progress, last_told, rough, watched


@pytest.mark.parametrize(
    ("variable", "asked", "shown"),
    [(None, True, True), ("", True, True), ("0", True, True), ("1", True, False), (None, False, False)],
)
def test_a_bar_needs_somebody_to_watch(monkeypatch, variable, asked, shown):
    if variable is None:
        monkeypatch.delenv("TQDM_DISABLE", raising=False)
    else:
        monkeypatch.setenv("TQDM_DISABLE", variable)
    assert watched(asked) is shown


def test_jobs_are_told_to_the_file_one_line_each(tmp_path, monkeypatch):
    file = tmp_path / "progress"
    monkeypatch.setenv(PROGRESS_VARIABLE, str(file))
    with jobs_progress(2, "network") as progress:
        assert last_told(file) == Told("network", 0, 2)
        progress.update("cm_kd, seed 0")
        assert str(last_told(file)) == "network 2 of 2"
        progress.update("cm_kd, seed 1")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["done"], line["what"]) for line in lines] == [
        (0, ""),
        (1, "cm_kd, seed 0"),
        (2, "cm_kd, seed 1"),
    ]
    assert lines[-1]["seconds_left"] == 0.0


def test_a_file_that_cannot_be_written_or_read_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(PROGRESS_VARIABLE, str(tmp_path / "no" / "folder"))
    with jobs_progress(1, "network") as progress:
        progress.update()
    (tmp_path / "half").write_text('{"label": "net')
    assert [last_told(tmp_path / name) for name in ("half", "gone")] == [None, None]


def test_what_was_told_reads_well():
    assert str(Told("network", 6, 25, "cm_kd", 130.0)) == "network 7 of 25, about 2 min left"
    assert str(Told("network", 25, 25, "cm_kd", 0.0)) == "network 25 of 25"


def test_time_left_is_as_exact_as_a_guess_deserves():
    assert [rough(s) for s in (1, 42, 100, 600, 6000)] == ["5 s", "40 s", "2 min", "10 min", "1.7 h"]
