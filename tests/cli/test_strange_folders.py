"""Folders for runs that are closed, full or strange: said in one line, and no other run is held up by one."""

from __future__ import annotations

import json
import os

import nbformat
import pytest

from mmkd_lab.cli import main
from mmkd_lab.cli.notebooks import run, settle
from mmkd_lab.cli.record import Outcome, Run
from mmkd_lab.core.check import LabError
from tests.cli.build import notebook
from tests.strangers import as_another_user, full_disk, shared_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_a_closed_folder_and_a_full_one_are_told_in_one_line(command, capsys):
    with shared_folder() as folder:
        notebook(folder / "notebooks", "a", "1", parameters="n: int = 1  # n")
        (folder / "runs").mkdir(mode=0o555)
        cases = ((as_another_user(), "Permission denied"), (full_disk(10), "File too large"))
        for surroundings, told in cases:
            places = ["--notebooks", str(folder / "notebooks"), "--out", str(folder / "runs")]
            with surroundings:
                assert main([command, "a", "-p", "n", "2", "--quiet", *places]) == 2
            error = capsys.readouterr().err
            assert error.startswith("mmkd-lab: out = ")
            assert f"must be a folder that can be written: {told}" in error
            assert error.count("\n") == 1
            (folder / "runs").chmod(0o777)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("elsewhere")])
def test_a_sweep_whose_lock_is_none_says_so(tmp_path, make):
    notebook(tmp_path / "notebooks", "a", "1", parameters="n: int = 1  # n")
    (tmp_path / "runs" / "sweep_a").mkdir(parents=True)
    make(tmp_path / "runs" / "sweep_a" / ".lock")
    places = ["--notebooks", str(tmp_path / "notebooks"), "--out", str(tmp_path / "runs")]
    assert main(["sweep", "a", "-p", "n", "2", *places]) == 2
    assert not (tmp_path / "runs" / "sweep_a" / "elsewhere").exists()


def _killed(folder):
    """A run of one notebook that somebody killed."""
    killed = Run.begin(folder, [Outcome("a", "A", "running")])
    killed.save()
    record = json.loads((folder / "run.json").read_text())
    record |= {"process": ["somewhere", 1, 0.0], "started": NOON}
    (folder / "run.json").write_text(json.dumps(record))


NOON = "2025-03-04T12:00:05+00:00"


def test_no_run_of_the_past_holds_up_the_next(tmp_path):
    spoilt = {"text": '"text"', "numbers": "[1]", "nothing": "", "far": "1e999"}
    for name, text in spoilt.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
    _killed(tmp_path / "half")
    (tmp_path / "half" / "a.ipynb").write_text('{"cells": [')
    settle(tmp_path)
    assert Run.load(tmp_path / "half").outcomes[0].state == "interrupted"
    assert "a.ipynb cannot be read" in (tmp_path / "half" / "index.html").read_text()


def test_anothers_killed_run_is_left_to_its_owner():
    with shared_folder() as folder:
        _killed(folder / "theirs")
        (folder / "theirs").chmod(0o555)
        with as_another_user():
            settle(folder)
        assert Run.load(folder / "theirs").outcomes[0].state == "running"


def test_a_record_leads_nowhere_else(tmp_path):
    Run.begin(tmp_path, [Outcome("a", "A", "done")]).save()
    record = json.loads((tmp_path / "run.json").read_text())
    record["outcomes"][0]["name"] = "../a"
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(LabError, match=r"outcomes\.0.*must be the record of a run"):
        Run.load(tmp_path)


@pytest.mark.kernel
@pytest.mark.parametrize("name", ["失敗ケース", "x" * 230])
def test_a_notebook_of_any_name_runs_or_is_refused_before(tmp_path, name):
    notebook(tmp_path / "notebooks", name, "print(3)")
    places = {"notebooks": tmp_path / "notebooks", "out": tmp_path / "runs", "progress": False}
    if len(name) > 200:
        with pytest.raises(LabError, match=r"name = .*at most 200 bytes"):
            run(**places)
        return
    done = run(**places)
    assert done.ok
    assert nbformat.read(done.folder / f"{name}.ipynb", as_version=4).cells[0].outputs[0].text == "3\n"
    assert f"<code>{name}</code>" in (done.folder / "index.html").read_text()
