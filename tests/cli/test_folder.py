"""A run gets a folder of its own, and `latest` always points at a whole one."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from mmkd_lab.cli.notebooks import check_latest, new_run_folder, point_latest, settle
from mmkd_lab.cli.record import Failure, Outcome, Run
from mmkd_lab.core.check import LabError
from mmkd_lab.core.places import results_folder

NOON = datetime(2025, 3, 4, 12, 0, 5).astimezone()


def test_a_run_shares_its_folder_with_none_and_latest_moves_to_the_newest(tmp_path):
    folders = [new_run_folder(tmp_path / "runs") for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(re.fullmatch(r"\d{4}(-\d\d){2}_\d\d(-\d\d){2}(-\d)?", folder.name) for folder in folders)
    for folder in folders:
        latest = point_latest(folder)
        assert latest.resolve() == folder.resolve()
    assert latest.readlink() == Path(folder.name), "relative, so that the folder can be moved as a whole"
    assert not list(tmp_path.rglob(".latest-*"))


def test_where_links_are_refused_latest_is_a_page_and_the_older_run_keeps_its_own(tmp_path, monkeypatch):
    older, *newer = (new_run_folder(tmp_path) for _ in range(3))
    (older / "index.html").write_text("older")
    point_latest(older)

    def refuse(*_, **__):
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    for folder in newer:
        latest = point_latest(folder)
        assert f"../{folder.name}/index.html" in (latest / "index.html").read_text()
    check_latest(tmp_path)
    assert (older / "index.html").read_text() == "older"


def test_something_else_called_latest_is_kept(tmp_path):
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "index.html").write_text("mine")
    with pytest.raises(LabError, match=r"out = .*latest.*in the way"):
        check_latest(tmp_path)


def test_what_a_killed_run_left_is_put_in_order(tmp_path):
    ours = Run.begin(tmp_path, ()).process
    for number, process in enumerate(
        [("somewhere", 1, 0.0), (socket.gethostname(), 2**22 + 1, 0.0), ours, None]
    ):
        outcomes = (Outcome("a", "A", "done"), Outcome("b", "B", "running"), Outcome("c", "C"))
        Run(tmp_path / str(number), NOON, outcomes, process=process).save()
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


def test_a_record_is_plain_json_and_read_as_it_was_written(tmp_path):
    failed = Outcome("a", "A", "failed", {"x": [1, None]}, ("x",), 1.5, 7, Failure("E", "m", 3, "t"), "label")
    run = replace(Run.begin(tmp_path, (failed,), jobs=2, profile="full", title="T"), seconds=3.0)
    run.save()
    assert Run.load(tmp_path) == run
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["outcomes"][0]["failure"] == {"kind": "E", "message": "m", "cell": 3, "traceback": "t"}
    assert record["outcomes"][0]["parameters"] == {"x": [1, None]}


def test_results_go_where_the_run_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MMKD_LAB_RESULTS", str(tmp_path))
    assert results_folder() == tmp_path
    monkeypatch.delenv("MMKD_LAB_RESULTS")
    assert results_folder() == Path("runs") / "results"
