"""The numbers stored in the notebooks are the numbers they give: in points, to a stated tolerance.

Training is deterministic on one machine, but another processor or version of torch rounds otherwise, and a
network that has parted company in the last digit ends elsewhere after twenty epochs. Nothing is selected on
the test split, so an accuracy may move by about its own standard error. Gaussian worlds are convex: they come
back to a few hundredths.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mmkd_lab.study import Study
from tests.notebooks import execution

#: Points of test accuracy that a mean over seeds, or an end of its interval, may differ by.
TOLERANCE = 1.5
ENDS = 2.5

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module", params=["00_start_here", "01_failure_cases"])
def pair(request, tmp_path_factory):
    """A notebook as it is stored, and as it comes out now; one execution for all tests of it."""
    folder = tmp_path_factory.mktemp(request.param)
    return execution.stored(request.param), execution.execute(request.param, folder), folder


def test_the_verdict_says_the_same_with_nearly_the_same_numbers(pair):
    before, after = execution.verdict(pair[0]), execution.verdict(pair[1])
    assert execution.words(before) == execution.words(after)
    assert execution.numbers(after) == pytest.approx(execution.numbers(before), abs=ENDS)


def test_every_printed_number_is_nearly_the_same(pair):
    for before, after in zip(execution.texts(pair[0]), execution.texts(pair[1]), strict=True):
        assert execution.numbers(after) == pytest.approx(execution.numbers(before), abs=ENDS), before


def test_the_saved_study_says_what_the_last_cell_printed(pair):
    saved = [path for path in sorted(Path(pair[2]).rglob("*.json")) if path.with_suffix(".csv").exists()]
    assert saved
    said = execution.verdict(pair[1]).splitlines()
    assert {Study.load(path).verdict for path in saved} == set(said)
