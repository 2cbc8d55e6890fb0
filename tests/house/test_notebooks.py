"""The style of the notebooks: short cells that call and show, one parameters cell, outputs stored."""

from __future__ import annotations

import ast
import json
import statistics

import pytest

from mmkd_lab.cli.library import read_notebook
from mmkd_lab.cli.parameters import source_of, tags_of
from tests.house import tree

NOTEBOOKS = [
    path for path in tree.files() if path.suffix == ".ipynb" and path.parent == tree.ROOT / "notebooks"
]
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

_LARGEST = 1_000_000


def _cells(path, kind):
    content = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def _lines(cell) -> int:
    return len([line for line in source_of(cell).splitlines() if line.strip()])


def test_the_first_two_notebooks_are_there():
    assert {"00_start_here", "01_failure_cases"} <= {path.stem for path in NOTEBOOKS}


@EACH
def test_nothing_is_defined(path):
    for cell in _cells(path, "code"):
        kinds = {type(node).__name__ for node in ast.walk(ast.parse(source_of(cell)))}
        assert not kinds & {"FunctionDef", "AsyncFunctionDef", "ClassDef", "Lambda"}, source_of(cell)


@EACH
def test_cells_are_short(path):
    lengths = [_lines(cell) for cell in _cells(path, "code") if "parameters" not in tags_of(cell)]
    assert statistics.median(lengths) <= 3
    assert max(lengths) <= 12


@EACH
def test_every_parameter_is_typed_and_explained(path):
    assert sum("parameters" in tags_of(cell) for cell in _cells(path, "code")) == 1
    parameters = read_notebook(path).parameters
    assert parameters
    assert [one.name for one in parameters if not one.help] == []


@EACH
def test_outputs_are_stored_and_small(path):
    cells = [cell for cell in _cells(path, "code") if source_of(cell).strip()]
    assert any(cell["outputs"] for cell in cells)
    assert all(cell["execution_count"] for cell in cells), "run it from top to bottom and save it"
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert path.stat().st_size <= _LARGEST


@EACH
def test_no_error_or_warning_is_stored(path):
    outputs = [output for cell in _cells(path, "code") for output in cell["outputs"]]
    assert [one for one in outputs if one["output_type"] == "error" or one.get("name") == "stderr"] == []


@EACH
def test_the_last_cell_saves_the_study(path):
    assert ".save(" in source_of(_cells(path, "code")[-1])
