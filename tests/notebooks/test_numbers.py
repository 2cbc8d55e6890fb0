"""What is told apart of printed numbers, the cells that need files, and a parameter that is set."""

from __future__ import annotations

import pytest

from mmkd_lab.experiments import Study
from tests.notebooks import execution
from tests.notebooks.numbers import NEEDED, far


@pytest.mark.parametrize(
    ("before", "after", "apart"),
    [
        ("0.12 [−1.50, 2.25]", "0.13 [−1.49, 2.25]", 0),
        ("0.12 [−1.50, 2.25]", "0.14 [+1.50, 2.25]", 2),
        ("123456.1234", "123456.2", 0),
        ("1.25e-03", "1.27e-03", 1),
    ],
)
def test_a_number_that_is_far_is_seen(before, after, apart):
    assert len(far(before, after)) == apart


def test_cells_without_their_files_are_told_by_their_tag():
    cells = [
        cell for path in execution.NOTEBOOKS.glob("*.ipynb") for cell in execution.stored(path.stem).cells
    ]
    tags = {tag for cell in cells for tag in cell.metadata.get("tags", []) if tag.startswith("needs-")}
    assert tags == {f"needs-{name}" for name in NEEDED}
    for cell in cells:
        if "where(" in cell.source:
            wanted = {f"needs-{name}" for name in NEEDED if f'"{name}"' in cell.source}
            assert wanted <= set(cell.metadata.tags)


@pytest.mark.long
@pytest.mark.kernel
def test_a_parameter_that_is_set_takes_effect(tmp_path):
    notebook = execution.execute("00_start_here", tmp_path, {"student": "speech", "seeds": 1})
    assert execution.verdict(notebook).startswith("On av_digits (speech student, 1 seed, test accuracy)")
    saved = next(path for path in tmp_path.rglob("failure_cases*.json"))
    provenance = Study.load(saved).provenance
    assert (provenance["student"], provenance["seeds"]) == ("speech", [0])
