"""Parameters are read from the tagged cell, and every value is checked against its declared type."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmkd_lab.cli.parameters import check, parse_cell, read_parameters
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


@pytest.fixture(scope="module")
def declared():
    return parse_cell(CELL, "nb.ipynb")


def _read(declared, name, text):
    return check(declared, {name: text}, where="nb.ipynb", as_text=True)[name]


def test_names_types_defaults_and_help_are_read(declared):
    found = {one.name: (str(one.kind), one.default, one.help) for one in declared}
    assert found["seeds"] == ("int", 5, "how many seeds")
    assert found["limit"] == ("int | None", None, "at most so many")
    assert found["grid"] == ("tuple[int, ...]", (1, 2), "")
    assert found["pair"] == ("tuple[int, float]", (3, 0.5), "")
    assert found["profile"] == ("Literal['quick', 'full']", "quick", "")
    assert found["name"] == ("str | None", "a # b", "a name")
    assert isinstance(found["rate"][1], float)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seeds", "12", 12),
        ("seeds", "-3", -3),
        ("rate", "1e-3", 0.001),
        ("rate", "2", 2.0),
        ("limit", "None", None),
        ("limit", "none", None),
        ("limit", "7", 7),
        ("arms", "um_kd,mm_kd", ["um_kd", "mm_kd"]),
        ("arms", "['um_kd', 'mm_kd']", ["um_kd", "mm_kd"]),
        ("arms", "[um_kd, mm_kd]", ["um_kd", "mm_kd"]),
        ("arms", "[1, 2]", ["1", "2"]),
        ("arms", "um_kd", ["um_kd"]),
        ("arms", "[]", []),
        ("gammas", "0,0.5,1", [0.0, 0.5, 1.0]),
        ("gammas", "[1]", [1.0]),
        ("grid", "4,5,6", (4, 5, 6)),
        ("grid", "(4,)", (4,)),
        ("pair", "4, 5", (4, 5.0)),
        ("profile", "full", "full"),
        ("again", "yes", True),
        ("again", "False", False),
        ("name", "None", None),
        ("name", 'two words "quoted"', 'two words "quoted"'),
        ("name", "3", "3"),
        ("many", "1,2", [1, 2]),
        ("many", "None", None),
        ("many", "4", [4]),
        ("arms", "um_kd,2", ["um_kd", "2"]),
    ],
)
def test_text_becomes_the_declared_type(declared, name, text, value):
    found = _read(declared, name, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("seeds", "five", "a whole number"),
        ("seeds", "5.0", "a whole number"),
        ("seeds", "", "a whole number"),
        ("seeds", "9" * 5000, "a whole number"),
        ("rate", "fast", "a finite number"),
        ("rate", "nan", "a finite number"),
        ("rate", "inf", "a finite number"),
        ("limit", "x", "a whole number or None"),
        ("gammas", "0,x", "item 2 ('x') is a finite number"),
        ("grid", "1,2.5", "item 2 (2.5) is a whole number"),
        ("grid", "[" * 500, "is a whole number"),
        ("pair", "1", "at least 2 items"),
        ("pair", "1,2,3", "at most 2 items"),
        ("pair", "0.5,1", "item 1 (0.5) is a whole number"),
        ("profile", "Quick", "one of 'quick' or 'full'"),
        ("again", "maybe", "true or false"),
        ("name", "\udcff", "text that UTF-8 can hold"),
    ],
)
def test_wrong_text_is_refused_with_name_value_and_declaration(declared, name, text, rule):
    with pytest.raises(LabError) as caught:
        _read(declared, name, text)
    assert str(caught.value).startswith(f"{name} = ")
    assert rule in str(caught.value)
    assert f"It is declared as {name}: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seeds", True),
        ("limit", True),
        ("gammas", [True]),
        ("name", True),
        ("seeds", 1.0),
        ("seeds", "5"),
        ("again", 1),
        ("arms", "no_kd"),
        ("profile", True),
        ("pair", [1]),
        ("rate", 10**400),
        ("rate", float("nan")),
    ],
)
def test_a_value_of_another_type_is_refused(declared, name, value):
    with pytest.raises(LabError, match=f"parameter '{name}' of nb.ipynb must be"):
        check(declared, {name: value}, where="nb.ipynb")


def test_numbers_of_numpy_are_numbers(declared):
    given = {"seeds": np.int64(3), "rate": np.float32(0.5), "gammas": [np.float64(1), np.int8(2)]}
    found = check(declared, given, where="nb.ipynb")
    assert repr(found) == "{'seeds': 3, 'rate': 0.5, 'gammas': [1.0, 2.0]}"


def test_an_unknown_parameter_is_refused_with_what_exists(declared):
    with pytest.raises(LabError) as caught:
        _read(declared, "seed", "3")
    text = str(caught.value)
    assert text.startswith("seed = '3': nb.ipynb has no parameter 'seed'.")
    assert "Did you mean 'seeds'?" in text
    assert all(str(one) in text for one in declared)


def test_a_notebook_without_parameters_takes_none():
    with pytest.raises(LabError, match="nb has no parameters"):
        check((), {"seeds": 3}, where="nb")


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("seeds = 5", "must read `name: type = value  # help`"),
        ("import os", "must read `name: type = value  # help`"),
        ("seeds: int", "must read `name: type = value  # help`"),
        ("a.b: int = 1", "must read `name: type = value  # help`"),
        ("seeds: int = ", "must read `name: type = value  # help`"),
        ("seeds: dict = {}", "a type must be int, float"),
        ("seeds: list = []", "a type must be int, float"),
        ("seeds: Literal[x] = 'x'", "a type must be Literal"),
        ("seeds: int = 'five'", "the value of seeds must be a whole number"),
        ("seeds: int = len([])", "the value of seeds must be a plain value"),
        ("seeds: int = 1\nseeds: int = 2", "only once"),
    ],
)
def test_a_cell_that_is_not_only_parameters_is_refused(cell, rule):
    with pytest.raises(LabError) as caught:
        parse_cell(cell, "nb.ipynb")
    assert str(caught.value).startswith("nb.ipynb = ")
    assert rule in str(caught.value)


def test_nothing_in_the_cell_is_executed(tmp_path):
    trap = tmp_path / "trap"
    attack = f"open({str(trap)!r}, 'w').write('')"
    for cell in (f"x: int = {attack}", f"x: {attack} = 1", f"x: list[{attack!r}] = []", f"x: {attack!r} = 1"):
        with pytest.raises(LabError):
            parse_cell(cell, "nb")
    assert not trap.exists()


def test_two_tagged_cells_are_refused(tmp_path):
    path = notebook(tmp_path, "twice", "print(a)", parameters="a: int = 1  # a")
    content = json.loads(path.read_text())
    content["cells"].append(content["cells"][0])
    path.write_text(json.dumps(content))
    with pytest.raises(LabError, match="only one cell"):
        read_parameters(path)


def test_source_stored_line_by_line_is_read(tmp_path):
    path = notebook(tmp_path, "lines", parameters="a: int = 1  # first\nb: str = 'x'  # second")
    content = json.loads(path.read_text())
    assert isinstance(content["cells"][0]["source"], list)
    assert [one.help for one in read_parameters(path)] == ["first", "second"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"cells": 3}', '{"cells": [3]}', "\udc80", "[" * 5000]
)
def test_a_file_that_is_no_notebook_is_named(tmp_path, text):
    path = tmp_path / "bad.ipynb"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DamagedFile, match=r"bad\.ipynb"):
        read_parameters(path)


def test_a_missing_notebook_is_named(tmp_path):
    with pytest.raises(DamagedFile, match=r"gone\.ipynb.*No such file"):
        read_parameters(tmp_path / "gone.ipynb")
