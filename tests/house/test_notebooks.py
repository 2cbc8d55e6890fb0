"""The style of the notebooks: short cells that call and show, one parameters cell, outputs stored."""

from __future__ import annotations

import ast
import json
import statistics

from mmkd_lab.cli.library import read_notebook
from mmkd_lab.cli.parameters import source_of, tags_of
from tests.house import tree

_LARGEST, _MEDIAN, _LONGEST = 1_000_000, 3, 12
_DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def _notebooks():
    """Name -> the code cells of each notebook of the lab."""
    for path in tree.files():
        if path.suffix == ".ipynb" and path.parent == tree.ROOT / "notebooks":
            content = json.loads(path.read_text(encoding="utf-8"))
            yield path, [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def _faults(path, cells):
    """What is wrong with the style of one notebook, in words."""
    sources = [source_of(cell) for cell in cells]
    lengths = [len([line for line in one.splitlines() if line.strip()]) for one in sources]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    outputs = [output for cell in cells for output in cell["outputs"]]
    parameters = read_notebook(path).parameters
    counts = [cell["execution_count"] for cell in cells if source_of(cell).strip()]
    return [
        text
        for wrong, text in (
            (any(isinstance(node, _DEFINED) for node in nodes), "something is defined"),
            (statistics.median(lengths) > _MEDIAN or max(lengths) > _LONGEST, f"long cells: {lengths}"),
            (sum("parameters" in tags_of(cell) for cell in cells) != 1, "no one parameters cell"),
            (not parameters or any(not one.help for one in parameters), "parameters without help"),
            (counts != list(range(1, len(counts) + 1)), "not run from top to bottom and saved"),
            (not outputs, "no outputs"),
            (any(one["output_type"] == "error" or one.get("name") == "stderr" for one in outputs), "errors"),
            (path.stat().st_size > _LARGEST, "large"),
            (".save(" not in sources[-1], "the last cell saves no study"),
        )
        if wrong
    ]


def test_the_notebooks_are_in_good_style():
    found = dict(_notebooks())
    assert {"00_start_here", "01_failure_cases"} <= {path.stem for path in found}
    tree.assert_none({path.stem: faults for path, cells in found.items() if (faults := _faults(path, cells))})


def test_a_bad_notebook_is_seen(tmp_path):
    from tests.cli.build import notebook

    path = notebook(tmp_path, "bad", "f = lambda x: x\n" * 13, parameters="a: int = 1")
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert _faults(path, cells) == [
        "something is defined",
        f"long cells: {[1, 13]}",
        "parameters without help",
        "not run from top to bottom and saved",
        "no outputs",
        "the last cell saves no study",
    ]
