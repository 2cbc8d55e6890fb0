"""The numbers stored in the notebooks are the numbers they give, on every processor.

Networks are trained in double precision: the same training agrees to nine digits between processors, so that
what is printed agrees, but for a value at the edge of two roundings. Words are compared by nbval.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mmkd_lab import data
from mmkd_lab.experiments import Study
from tests.notebooks import execution

#: How far a printed number may be from the stored one: of its size, and in steps of its last digit.
RELATIVE, LAST_DIGIT = 1e-6, 1.0
#: Datasets that the lab may not ship, whose cells have the tag 'needs-<name>'.
NEEDED = ("crema_votes", "av_mnist")
SHARES = "02_modality_venn_diagram"
NAMES = ("00_start_here", "01_failure_cases", SHARES, "03_modality_focusing", "04_kd_vs_msd")

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module", params=NAMES)
def pair(request, tmp_path_factory):
    """A notebook as it is stored, and as it comes out now; one execution for all tests of it."""
    folder = tmp_path_factory.mktemp(request.param)
    return execution.stored(request.param), execution.execute(request.param, folder), folder


def far(before: str, after: str) -> list[tuple[float, float]]:
    """The numbers of two texts that are further apart than they may be."""
    both = list(zip(execution.numbers(before), execution.numbers(after), strict=True))
    return [
        (old.value, new.value)
        for old, new in both
        if not abs(old.value - new.value) <= LAST_DIGIT * 1.001 * old.unit + RELATIVE * abs(old.value)
    ]


def test_every_printed_number_is_the_same(pair):
    apart = [f"needs-{name}" for name in NEEDED if not all(place.exists for place in data.where(name))]
    known = [execution.texts(notebook, without=apart) for notebook in pair[:2]]  # such cells say so instead
    found = {before: far(before, after) for before, after in zip(*known, strict=True)}
    assert {text: numbers for text, numbers in found.items() if numbers} == {}


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
    cells = [cell for name in NAMES for cell in execution.stored(name).cells]
    tags = {tag for cell in cells for tag in cell.metadata.get("tags", []) if tag.startswith("needs-")}
    assert tags == {f"needs-{name}" for name in NEEDED}
    for cell in cells:
        if "where(" in cell.source:
            wanted = {f"needs-{name}" for name in NEEDED if f'"{name}"' in cell.source}
            assert wanted <= set(cell.metadata.tags)


def test_the_saved_study_says_what_the_last_cell_printed(pair):
    saved = [path for path in sorted(Path(pair[2]).rglob("*.json")) if path.with_suffix(".csv").exists()]
    assert saved
    said = "\n".join(execution.texts(pair[1])).splitlines()
    verdicts = {Study.load(path).verdict for path in saved}
    assert set(execution.verdict(pair[1]).splitlines()) <= verdicts <= set(said)


@pytest.mark.parametrize("pair", [SHARES], indirect=True)
def test_declared_shares_are_found_by_the_methods_the_text_says(pair):
    saved = {path.stem: Study.load(path) for path in Path(pair[2]).rglob("known_shares_*.json")}
    plain, mixed = (saved[f"known_shares_{name}"].provenance["errors"] for name in ("columns", "tanh"))
    assert plain["count"] < 0.02
    assert plain["canonical"] < 0.03 > mixed["canonical"]
    assert mixed["count"] > 0.05
    assert mixed["information"] > 0.3 < plain["information"]


def test_a_parameter_that_is_set_takes_effect(tmp_path):
    notebook = execution.execute("00_start_here", tmp_path, {"student": "speech", "seeds": 1})
    assert execution.verdict(notebook).startswith("On av_digits (speech student, 1 seed, test accuracy)")
    saved = next(path for path in tmp_path.rglob("failure_cases*.json"))
    provenance = Study.load(saved).provenance
    assert (provenance["student"], provenance["seeds"]) == ("speech", [0])
