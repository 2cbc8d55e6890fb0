"""`mmkd-lab diagnose CONFIG`: what a file of settings may say, and what each wrong one is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmkd_lab.cli import main
from mmkd_lab.cli.diagnose import diagnose, read
from mmkd_lab.core.check import DamagedFile, LabError
from tests.house import tree

#: A set and networks of one's own, beside the settings: those of tests/study/test_diagnosis.py.
MINE = """
from mmkd_lab.models import NetSpec
from tests.study.tiny import paired

def load(classes: int = 2):
    return paired(classes=classes)

def broken():
    return 1 / 0

net, larger = NetSpec(width=2, features=4), NetSpec(width=4, features=8)
"""
SETTINGS = """
data = "mine.py:load"
student = "b"
student_model = "mine.py:net"
teacher_model = "mine.py:larger"
budget = "20 min"
seeds = [0, 1, 2]
[parameters]
classes = 3
[recipe]
epochs = 25
batch_size = 16
lr = 0.02
"""


AV, OWN = 'data = "av_digits"\nstudent = "speech"\n', 'data = "mine.py:load"\nstudent = "b"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch, shared):
    monkeypatch.setenv("MMKD_LAB_STORE", str(shared))
    monkeypatch.syspath_prepend(str(tree.ROOT))
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.toml").write_text(SETTINGS)
    return tmp_path


def test_a_file_gives_a_page(folder, capsys):
    status = main(["diagnose", str(folder / "mine.toml"), "--out", str(folder / "out"), "--quiet"])
    told = capsys.readouterr().out.strip().splitlines()
    assert status == 0
    assert told[0].startswith("On tiny_vectors (a teacher, b student, 3 seeds, val samples): ")
    page = Path(told[-1])
    assert page == folder / "out" / "diagnose_tiny_vectors_a_b.html"
    assert "What does each modality tell?" in page.read_text(encoding="utf-8")
    # the command's budget goes before the file's; what is stored is there at once
    assert (
        main(
            [
                "diagnose",
                str(folder / "mine.toml"),
                "--out",
                str(folder / "out"),
                "--budget",
                "1 s",
                "--quiet",
            ]
        )
        == 0
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data = ", r"mine\.toml.* must be a TOML file"),
        ('data = "a"\ndata = "b"', r"must be a TOML file"),
        ('data = "av_digits"', r"student in mine\.toml = None: must be given"),
        ('student = "b"', r"data in mine\.toml = None: must be given"),
        ('data = "av_digits"\nstudent = 3', r"student in mine\.toml = 3: must be text"),
        (
            'data = "av_digits"\nstudent = "speech"\nbudgett = 3',
            r"budgett .*is no setting.*Did you mean 'budget'",
        ),
        (
            'data = "av_digits"\nstudent = "speech"\nbudget = true',
            r"budget in mine\.toml = True: must be seconds",
        ),
        (f"{AV}seeds = 3", r"seeds in mine\.toml = 3: must be a list"),
        (
            'data = "av_digits"\nstudent = "speech"\ntrain = "all"',
            r"train in mine\.toml = 'all': must be true",
        ),
        ('data = "nothing"\nstudent = "b"', r"must be one of"),
        ('data = "no.py:load"\nstudent = "b"', r"no\.py': must be a Python file that is there"),
        (
            'data = "mine.py:lod"\nstudent = "b"',
            r"data \(mine\.py\) = 'lod': must be one of .*Did you mean 'load'",
        ),
        ('data = "mine.py:broken"\nstudent = "b"', r"data = .*mine\.py:broken.*ZeroDivisionError"),
        ('data = "mine.py:net"\nstudent = "b"', r"data = .*must be a PairedData"),
        ('data = "bad.py:load"\nstudent = "b"', r"could not be run: SyntaxError"),
        ('data = "mine.py:load"\nstudent = "c"', r"student = 'c': must be one of 'a' or 'b'"),
        (f'{OWN}[parameters]\nclasses = "x"', r"classes = 'x': must be"),
        (f"{OWN}[recipe]\nlr = -1", r"lr = -1"),
        (f"{OWN}[recipe]\nrate = 1", r"rate .*is no field of Recipe"),
        (f'{OWN}budget = "soon"', r"budget = 'soon': must be seconds"),
        (f'{OWN}teacher_model = "no.csv"', r"no\.csv"),
    ],
)
def test_wrong_settings_are_named(folder, text, told, capsys):
    (folder / "bad.py").write_text("def load(:\n")
    (folder / "mine.toml").write_text(text)
    assert main(["diagnose", str(folder / "mine.toml"), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert re.search(told, said), said
    assert "Traceback" not in said


def test_a_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "no.toml", tmp_path):
        with pytest.raises(DamagedFile, match="must be a TOML file of settings"):
            read(path)
    (tmp_path / "latin.toml").write_bytes('data = "é"'.encode("latin-1"))
    with pytest.raises(DamagedFile, match="must be a TOML file"):
        read(tmp_path / "latin.toml")
    with pytest.raises(LabError, match="config = 3: must be a path"):
        diagnose(3)
