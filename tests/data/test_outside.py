"""Datasets from a file of somebody's and from installed packages."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from mmkd_lab import data
from mmkd_lab.cli import main
from mmkd_lab.core.check import LabError
from mmkd_lab.core.registry import Registry
from mmkd_lab.data import outside, registry

CODE = """
from __future__ import annotations
import numpy as np
from mmkd_lab import data
from beside import SHIFT


def load(n: int = 60, *, kind: str = "x") -> data.PairedData:
    y = np.arange(n) % 2
    return data.from_arrays({"a": y[:, None] + SHIFT}, y, name=f"mine {kind}")
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    (tmp_path / "beside.py").write_text("SHIFT = 1.5\n")
    (tmp_path / "mine.py").write_text(CODE)
    yield tmp_path / "mine.py"
    sys.modules.pop("beside", None)


def test_a_function_of_a_file_is_a_dataset(file, monkeypatch):
    found = data.load(f"{file}:load", n=90, kind="y")
    assert (found.name, len(found), float(found.modalities["a"][0])) == ("mine y", 90, 1.5)
    monkeypatch.chdir(file.parent)
    assert data.load("mine.py:load").name == "mine x"
    assert str(file.parent) not in sys.path
    file.write_text(CODE.replace("+ SHIFT", "- SHIFT"))
    assert float(data.load("mine.py:load").modalities["a"][0]) == -1.5


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("none.py:load", "", r"dataset = '.*none\.py:load': must name a file that is there.*working folder"),
        ("mine.py:lod", CODE, r"function of mine\.py = 'lod': must be one of 'load'.*Did you mean 'load'"),
        ("mine.py:SHIFT", CODE, r"function of mine\.py = 'SHIFT'"),
        ("mine.py:load", "def load(", r"mine\.py cannot be run: SyntaxError: '\(' was never closed"),
        ("mine.py:load", "1 / 0", r"mine\.py cannot be run: ZeroDivisionError: division by zero"),
        (
            "mine.py:load",
            "def load(): return 3",
            r"dataset = 3: must be a PairedData, made by '.*mine\.py:load'",
        ),
    ],
)
def test_a_file_that_gives_none_is_refused(file, name, content, expected):
    file.write_text(content)
    with pytest.raises(LabError, match=expected):
        data.load(f"{file.parent / name}")


def test_a_wrong_parameter_of_a_file_is_refused(file):
    with pytest.raises(LabError, match=r"parameter of '.*mine\.py:load' = 'm': must be one of 'n' or 'kind'"):
        data.load(f"{file}:load", m=3)


@pytest.fixture
def announced(file, monkeypatch):
    """The catalogue where packages announce one dataset, a broken one and one named as the lab's."""
    monkeypatch.syspath_prepend(str(file.parent))
    points = [
        EntryPoint(name, value, outside.GROUP)
        for name, value in (("theirs", "mine:load"), ("broken", "nowhere:load"), ("emoji", "mine:load"))
    ]
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: points if group == outside.GROUP else []
    )
    known = Registry("dataset", home=["mmkd_lab.data.datasets", "mmkd_lab.data.outside"])
    for module in ("mmkd_lab.data.datasets", "mmkd_lab.data.outside"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    for place in (registry, data):
        monkeypatch.setattr(place, "DATASETS", known)
    with pytest.warns(UserWarning, match=r"entry point 'mine:load'.*'emoji': is a name of the lab's own"):
        list(known)
    yield known
    sys.modules.pop("mine", None)


def test_packages_announce_datasets_and_a_broken_one_breaks_no_other(announced, capsys):
    assert data.load("theirs", n=30).name == "mine x"
    assert main(["data", "list"]) == 0
    shown = capsys.readouterr().out
    assert "theirs  (from outside; ready to use)" in shown
    assert "    n = 60" in shown
    assert "cannot be had from 'nowhere:load': ModuleNotFoundError" in shown
    assert "emoji  (image + text" in shown
    with pytest.raises(LabError, match=r"dataset = 'broken': cannot be had.*Repair or remove that package"):
        data.load("broken")
    assert main(["list"]) == 0
    assert "nlvr, theirs, broken, or path/to/file.py:function" in capsys.readouterr().out
