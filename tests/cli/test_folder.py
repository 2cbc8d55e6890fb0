"""A run gets a folder of its own, and `latest` always points at a whole one."""

from __future__ import annotations

import socket
from datetime import datetime
from pathlib import Path

import pytest

from mmkd_lab.cli.folder import check_latest, new_run_folder, point_latest, settle
from mmkd_lab.cli.record import Failure, Outcome, Run, this_process
from mmkd_lab.core.check import LabError
from mmkd_lab.core.places import results_folder

NOON = datetime(2025, 3, 4, 12, 0, 5)


def test_named_after_the_time_and_never_shared(tmp_path):
    names = [new_run_folder(tmp_path / "runs", NOON).name for _ in range(3)]
    assert names == ["2025-03-04_12-00-05", "2025-03-04_12-00-05-2", "2025-03-04_12-00-05-3"]


def test_latest_moves_to_the_newest(tmp_path):
    for _ in range(2):
        folder = new_run_folder(tmp_path, NOON)
        latest = point_latest(folder)
        assert latest.resolve() == folder.resolve()
    assert latest.readlink() == Path(folder.name), "relative, so that the folder can be moved as a whole"
    assert not list(tmp_path.glob(".latest-*"))


def test_without_symbolic_links_latest_is_a_page_that_leads_there(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    for _ in range(2):
        folder = new_run_folder(tmp_path, NOON)
        latest = point_latest(folder)
        assert f"../{folder.name}/index.html" in (latest / "index.html").read_text()
    check_latest(tmp_path)


def test_where_links_are_refused_from_now_on_the_older_run_keeps_its_page(tmp_path, monkeypatch):
    older, newer = (new_run_folder(tmp_path, NOON) for _ in range(2))
    (older / "index.html").write_text("older")
    point_latest(older)

    def refuse(*_, **__):
        raise OSError("no symbolic links on this disk")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    point_latest(newer)
    assert (older / "index.html").read_text() == "older"
    assert f"../{newer.name}/index.html" in (tmp_path / "latest" / "index.html").read_text()


def test_something_else_called_latest_is_kept(tmp_path):
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "index.html").write_text("mine")
    with pytest.raises(LabError, match=r"out = .*latest.*in the way"):
        check_latest(tmp_path)
    assert (tmp_path / "latest" / "index.html").read_text() == "mine"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(LabError, match=r"out = .*runs'.*must be a folder"):
        new_run_folder(tmp_path / "runs", NOON)


def test_what_a_killed_run_left_is_put_in_order(tmp_path):
    gone = ("somewhere", 1, 0.0), (socket.gethostname(), 2**22 + 1, 0.0)
    for number, process in enumerate([*gone, this_process(), None]):
        outcomes = (Outcome("a", "A", "done"), Outcome("b", "B", "running"), Outcome("c", "C"))
        Run(tmp_path / str(number), NOON.astimezone(), outcomes, process=process).save()
    (tmp_path / "0" / "b").mkdir()
    left = tmp_path / "0" / "b" / ".0123.partial.svg", tmp_path / "2" / ".0123.partial"
    for file in left:
        file.touch()
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "run.json").write_text("{}")
    settle(tmp_path)
    states = [[one.state for one in Run.load(tmp_path / str(number)).outcomes] for number in range(4)]
    interrupted = ["done", "interrupted", "interrupted"]
    assert states == [interrupted, interrupted, ["done", "running", "waiting"], interrupted]
    assert [file.exists() for file in left] == [False, True], "a run that goes on keeps what it is writing"
    page = (tmp_path / "0" / "index.html").read_text()
    assert "2 interrupted" in page
    assert "http-equiv" not in page


def test_a_record_is_read_as_it_was_written(tmp_path):
    failed = Outcome("a", "A", "failed", {"x": 1}, ("x",), 1.5, 7, Failure("E", "m", 3, "t"), "label")
    run = Run(tmp_path, NOON.astimezone(), (failed,), 2, "full", {"torch": "2"}, 3.0, "Title", this_process())
    run.save()
    assert Run.load(tmp_path) == run


def test_results_go_where_the_run_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MMKD_LAB_RESULTS", str(tmp_path))
    assert results_folder() == tmp_path
    monkeypatch.delenv("MMKD_LAB_RESULTS")
    assert results_folder() == Path("runs") / "results"
