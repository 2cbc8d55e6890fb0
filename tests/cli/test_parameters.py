"""Parameters are read from the tagged cell, and every value is checked against its declared type."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmkd_lab.cli.parameters import check, of_cells, read_parameters
from mmkd_lab.core.check import DamagedFile, LabError
from tests.cli.build import notebook

CELL = """\
seeds: int = 5  # how many seeds
rate: float = 1
limit: int | None = None  # at most so many
arms: list[str] = ["no_kd", "cm_kd"]  # which arms
gammas: list[float] = [0.0, 0.5]
grid: tuple[int, ...] = (1, 2)
pair: tuple[int, float] = (3, 0.5)
profile: Literal["quick", "full"] = "quick"
again: bool = False
name: str | None = "a # b"  # a name
many: list[int] | None = None
"""


def _declared(*cells):
    return of_cells([{"source": cell, "metadata": {"tags": ["parameters"]}} for cell in cells], "nb.ipynb")


DECLARED = _declared(CELL)


def _read(name, value, *, as_text=True):
    return check(DECLARED, {name: value}, where="nb.ipynb", as_text=as_text)[name]


def test_names_types_defaults_and_help_are_read():
    found = {one.name: (one.kind, one.default, one.help) for one in DECLARED}
    assert found["seeds"] == ("int", 5, "how many seeds")
    assert found["limit"] == ("int | None", None, "at most so many")
    assert found["pair"] == ("tuple[int, float]", (3, 0.5), "")
    assert found["profile"] == ("Literal['quick', 'full']", "quick", "")
    assert found["name"] == ("str | None", "a # b", "a name")
    assert isinstance(found["rate"][1], float)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seeds", "-3", -3),
        ("rate", "1e-3", 0.001),
        ("rate", "2", 2.0),
        ("limit", "none", None),
        ("limit", "7", 7),
        ("arms", "um_kd,2", ["um_kd", "2"]),
        ("arms", "['um_kd', 'mm_kd']", ["um_kd", "mm_kd"]),
        ("arms", "[um_kd, mm_kd]", ["um_kd", "mm_kd"]),
        ("arms", "[1, 2]", ["1", "2"]),
        ("arms", "um_kd", ["um_kd"]),
        ("arms", "[]", []),
        ("gammas", "0,0.5,1", [0.0, 0.5, 1.0]),
        ("grid", "(4,)", (4,)),
        ("pair", "4, 5", (4, 5.0)),
        ("profile", "full", "full"),
        ("again", "yes", True),
        ("again", "False", False),
        ("name", "None", None),
        ("name", 'two words "quoted"', 'two words "quoted"'),
        ("name", "3", "3"),
        ("many", "None", None),
        ("many", "4", [4]),
    ],
)
def test_text_becomes_the_declared_type(name, text, value):
    found = _read(name, text)
    assert found == value
    assert type(found) is type(value)


WRONG_TEXT = {
    "seeds": ("five", "5.0", "", "9" * 5000),
    "rate": ("fast", "nan", "inf"),
    "limit": ("x",),
    "gammas": ("0,x",),
    "grid": ("1,2.5", "[" * 500),
    "pair": ("1", "1,2,3", "0.5,1"),
    "profile": ("Quick",),
    "again": ("maybe",),
    "name": ("\udcff",),
}
WRONG_VALUES = {
    "seeds": (True, 1.0, "5"),
    "limit": (True,),
    "gammas": ([True],),
    "name": (True,),
    "again": (1,),
    "arms": ("no_kd",),
    "profile": (True,),
    "pair": ([1],),
    "rate": (10**400, float("nan"), np.bool_(True)),
}


@pytest.mark.parametrize("as_text", [True, False])
def test_what_is_not_of_the_declared_type_is_refused(as_text):
    for name, values in (WRONG_TEXT if as_text else WRONG_VALUES).items():
        declaration = next(str(one) for one in DECLARED if one.name == name)
        for value in values:
            with pytest.raises(LabError) as caught:
                _read(name, value, as_text=as_text)
            assert f"parameter '{name}' of nb.ipynb must be of type " in str(caught.value)
            assert f"It is declared as {declaration}" in str(caught.value)


@pytest.mark.parametrize("as_text", [True, False])
def test_a_file_of_a_users_own_has_its_whole_path_and_must_be_there(as_text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LabError, match=r"name = 'mine\.py:load': must name a file that is there"):
        _read("name", "mine.py:load", as_text=as_text)
    (tmp_path / "mine.py").write_text("")
    assert _read("name", "mine.py:load", as_text=as_text) == f"{tmp_path / 'mine.py'}:load"
    assert _read("name", "a.py: b", as_text=as_text) == "a.py: b"


def test_numbers_of_numpy_are_numbers():
    given = {"seeds": np.int64(3), "rate": np.float32(0.5), "gammas": [np.float64(1), np.int8(2)]}
    found = check(DECLARED, {**given, "again": np.bool_(True)}, where="nb.ipynb")
    assert repr(found) == "{'seeds': 3, 'rate': 0.5, 'gammas': [1.0, 2.0], 'again': True}"


def test_an_unknown_parameter_is_refused_with_what_exists():
    with pytest.raises(LabError) as caught:
        _read("seed", "3")
    text = str(caught.value)
    assert text.startswith("seed = '3': nb.ipynb has no parameter 'seed'. Did you mean 'seeds'?")
    assert all(str(one) in text for one in DECLARED)
    with pytest.raises(LabError, match="It has none"):
        check((), {"seeds": 3}, where="nb")


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("seeds = 5", "must read `name: type = value  # help`"),
        ("seeds: int", "must read `name: type = value  # help`"),
        ("a.b: int = 1", "must read `name: type = value  # help`"),
        ("seeds: int = ", "must read `name: type = value  # help`"),
        ("seeds: dict = {}", "a type must be int, float"),
        ("seeds: list = []", "a type must be int, float"),
        ("seeds: Literal[x] = 'x'", "a type must be int, float"),
        ("seeds: int = 'five'", "the value of seeds must be written out and of type int"),
        ("seeds: int = len([])", "the value of seeds must be written out and of type int"),
        ("seeds: int = 1\nseeds: int = 2", "only once"),
    ],
)
def test_a_cell_that_is_not_only_parameters_is_refused(cell, rule):
    with pytest.raises(LabError, match=r"^nb\.ipynb = ") as caught:
        _declared(cell)
    assert rule in str(caught.value)


def test_two_tagged_cells_are_refused():
    with pytest.raises(LabError, match="only one cell"):
        _declared(CELL, CELL)


def test_nothing_in_the_cell_is_executed(tmp_path):
    trap = tmp_path / "trap"
    attack = f"open({str(trap)!r}, 'w').write('')"
    for cell in (f"x: int = {attack}", f"x: {attack} = 1", f"x: list[{attack!r}] = []", f"x: {attack!r} = 1"):
        with pytest.raises(LabError):
            _declared(cell)
    assert not trap.exists()


def test_source_stored_line_by_line_is_read(tmp_path):
    path = notebook(tmp_path, "lines", parameters="a: int = 1  # first\nb: str = 'x'  # second")
    assert isinstance(json.loads(path.read_text())["cells"][0]["source"], list)
    assert [one.help for one in read_parameters(path)] == ["first", "second"]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"cells": [3]}', "\udc80", "[" * 5000])
def test_a_file_that_is_no_notebook_is_named(tmp_path, text):
    path = tmp_path / "bad.ipynb"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DamagedFile, match=r"bad\.ipynb"):
        read_parameters(path)
