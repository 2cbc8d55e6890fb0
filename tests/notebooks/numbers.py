"""A pytest plugin beside nbval: the numbers stored in the notebooks are the numbers they give.

nbval executes every notebook once and compares its words; here each printed number of the same execution is
held against the stored one. Networks are trained in double precision: the same training agrees to nine digits
between processors, so that what is printed agrees, but for a value at the edge of two roundings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell

from mmkd_lab import data
from mmkd_lab.experiments import Study
from tests.notebooks import execution

#: How far a printed number may be from the stored one: of its size, and in steps of its last digit.
RELATIVE, LAST_DIGIT = 1e-6, 1.0
#: Datasets that the lab may not ship, whose cells have the tag 'needs-<name>'.
NEEDED = ("crema_votes", "av_mnist")


def far(before: str, after: str) -> list[tuple[float, float]]:
    """The numbers of two texts that are further apart than they may be."""
    both = list(zip(execution.numbers(before), execution.numbers(after), strict=True))
    return [
        (old.value, new.value)
        for old, new in both
        if not abs(old.value - new.value) <= LAST_DIGIT * 1.001 * old.unit + RELATIVE * abs(old.value)
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """After nbval has run a cell and compared its words, its numbers."""
    yield
    if isinstance(item, IPyNbCell) and not _lacks_files(item.cell):
        both = (execution.printed(outputs) for outputs in (item.cell.outputs, item.test_outputs))
        apart = {before: found for before, after in zip(*both, strict=True) if (found := far(before, after))}
        assert not apart, f"numbers (stored, now) of {apart}"
        if item.path.parent == execution.NOTEBOOKS and item.cell is item.parent.nb.cells[-1]:
            _verdicts_are_saved(execution.printed(item.test_outputs)[-1])


def _lacks_files(cell: object) -> bool:
    """Whether a cell says that its files are not here; nbval ignores what such cells put out."""
    missing = {f"needs-{name}" for name in NEEDED if not all(place.exists for place in data.where(name))}
    return bool(missing & set(cell.metadata.get("tags", [])))


def _verdicts_are_saved(printed: str) -> None:
    """What the last cell of a notebook of the lab prints are the verdicts of the studies it saved."""
    saved = Path(os.environ["MMKD_LAB_RESULTS"]).rglob("*.json")
    verdicts = {Study.load(path).verdict for path in saved if path.with_suffix(".csv").exists()}
    assert set(printed.strip().splitlines()) <= verdicts
