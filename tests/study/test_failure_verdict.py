"""The verdict says what the paired intervals say, no more and no less."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmkd_lab.core.check import LabError
from mmkd_lab.experiments import summary
from mmkd_lab.study.failure import claims, outcome, title, verdict
from tests.study.tables import table

VIEWS = {"cm_kd": "image", "mm_kd": "image + speech", "kl_only": "image"}


def _one(students, teachers, **options):
    """What is concluded of the one arm across modalities, the verdict and the title."""
    found = table({"no_kd": 70.0, **students}, teachers, **options)
    ((_, *some),) = (one for one in _claims(found) if one[0] in VIEWS)
    return outcome(*some), verdict(found, student="speech", views=VIEWS), title(found, student="speech")


def _claims(found):
    return claims(found, student="speech", views=VIEWS)


@pytest.mark.parametrize(
    ("teacher", "student", "said"),
    [
        (90.0, 71.0, "a failure case, the stronger teacher made a worse student than the weaker one"),
        (90.0, 72.0, "no gain over the weaker teacher is shown"),
        (90.0, 74.0, "the stronger teacher made a better student than the weaker one"),
        (80.0, 74.0, "the weaker teacher made a better student than the stronger one"),
        (80.0, 71.0, "no test of the failure case, since its teacher is not shown to be the stronger one"),
        (85.0, 74.0, "no test of the failure case, since its teacher is not shown to be the stronger one"),
    ],
)
def test_every_outcome_is_told_as_it_is(teacher, student, said):
    found, sentence, _ = _one({"um_kd": 72.0, "mm_kd": student}, {"um_kd": 85.0, "mm_kd": teacher})
    assert found == said
    assert f"; {said}." in sentence


@pytest.mark.parametrize(
    ("alone", "said"),
    [
        (73.0, ""),
        (74.0, ", which is not shown to be better than no KD's"),
        (75.0, ", which is worse than no KD's"),
    ],
)
def test_a_better_student_than_the_weaker_teachers_may_be_none_than_no_teachers(alone, said):
    students = {"no_kd": alone, "um_kd": 72.0, "mm_kd": 74.0}
    found, sentence, _ = _one(students, {"um_kd": 85.0, "mm_kd": 90.0})
    assert found == f"the stronger teacher made a better student than the weaker one{said}"
    assert f"; {found}." in sentence


def test_the_paper_table_1_is_a_failure_case_when_the_seeds_agree():
    # Xue et al. 2023, table 1, AV-MNIST: teachers 84.57 and 91.61, students 68.36, 70.10 and 69.73.
    students = {"no_kd": 68.36, "um_kd": 70.10, "mm_kd": 69.73}
    found, sentence, title = _one(students, {"um_kd": 84.57, "mm_kd": 91.61}, wobble=0.05)
    assert found.startswith("a failure case")
    assert "the image + speech teacher is stronger than the speech teacher (+7.04 [" in sentence
    assert "its student is better than no KD's (+1.37 [" in sentence
    assert "]) and is worse than unimodal KD's (−0.37 [" in sentence
    assert "unimodal KD: its student is better than no KD's (+1.74 [" in sentence
    assert title.startswith("toy, speech student: multimodal KD falls short of unimodal KD (−0.4 [")


def test_the_same_means_with_scattered_seeds_show_no_difference():
    students = {"no_kd": 68.36, "um_kd": 70.10, "mm_kd": 69.73}
    found, _, title = _one(students, {"um_kd": 84.57, "mm_kd": 91.61}, wobble=2.0)
    assert found == "no gain over the weaker teacher is shown"
    assert title == "toy, speech student: none of 2 students shown to differ from any of 2 others"


def test_the_intervals_are_paired_t_intervals():
    found = table({"no_kd": 70.0, "mm_kd": 71.0}, wobble=0.4)
    a, b = (found[found["arm"] == arm]["value"].to_numpy() for arm in ("mm_kd", "no_kd"))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    ((_, _, (over,)),) = _claims(found)
    assert (over.found.low, over.found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    row = summary.differences(found).set_index(["arm", "against"]).loc[("mm_kd", "no_kd")]
    assert row[["low", "high", "n"]].tolist() == pytest.approx([expected.low, expected.high, 5])


def test_the_order_of_rows_does_not_matter():
    found = table({"no_kd": 70.0, "um_kd": 72.0, "mm_kd": 71.0}, {"um_kd": 85.0, "mm_kd": 90.0})
    assert _claims(found.sample(frac=1.0, random_state=0)) == _claims(found)


def test_one_seed_concludes_nothing():
    _, sentence, title = _one({"um_kd": 72.0, "mm_kd": 60.0}, {"um_kd": 85.0, "mm_kd": 90.0}, seeds=(0.0,))
    assert sentence.count("no conclusion, since one seed has no interval") == 1
    assert "its student minus unimodal KD's is −12.00 (n = 1) and no KD's is −10.00 (n = 1)" in sentence
    assert "failure case" not in sentence
    assert "nan" not in sentence
    assert "(speech student, 1 seed, test accuracy)" in sentence
    assert title == "toy, speech student: arms compared"


def test_without_unimodal_kd_only_no_kd_is_compared():
    _, sentence, title = _one({"cm_kd": 68.0}, {"cm_kd": 90.0})
    assert "its student is worse than no KD's (−2.00 [" in sentence
    assert sentence.endswith("no test of the failure case, which needs unimodal KD.")
    assert title.startswith("toy, speech student: crossmodal KD falls short of no KD (−2.0 [")


def test_without_an_arm_across_modalities():
    both = table({"no_kd": 70.0, "um_kd": 72.0}, {"um_kd": 85.0})
    said = verdict(both, student="speech", views={})
    assert "in points. unimodal KD: its student is better than no KD's (+2.00 [" in said
    assert "failure case" not in said
    assert title(both, student="speech").startswith("toy, speech student: unimodal KD beats no KD (+2.0 [")
    alone = table({"no_kd": 70.0})
    assert verdict(alone, student="speech", views={}).endswith("nothing is compared.")


def test_the_title_is_of_the_largest_effect_that_is_shown():
    students = {"no_kd": 70.0, "um_kd": 72.0, "cm_kd": 71.0, "mm_kd": 74.0}
    found = table(students, {"um_kd": 85.0, "cm_kd": 88.0, "mm_kd": 90.0})
    assert title(found, student="speech").startswith(
        "toy, speech student: multimodal KD beats unimodal KD (+2.0 ["
    )
    sentence = verdict(found, student="speech", views=VIEWS)
    assert sentence.index("the image + speech teacher") < sentence.index("the image teacher")


def test_means_and_intervals_by_arm():
    found = summary.summarise(table({"no_kd": 70.0, "um_kd": 72.0}, {"um_kd": 85.0}, wobble=0.0))
    assert found["role"].tolist() == ["student", "student", "teacher"]
    assert found["arm"].tolist() == ["no_kd", "um_kd", "um_kd"]
    assert found["mean"].tolist() == pytest.approx([69.6, 71.6, 84.6])
    half = stats.t.ppf(0.975, 4) * np.std([0, 3, -2, 1, -4], ddof=1) / np.sqrt(5)
    assert (found["high"] - found["mean"]).tolist() == pytest.approx([half] * 3)


def test_a_sweep_is_summarised_and_compared_point_by_point():
    low, high = (
        table({"no_kd": 70.0, "cm_kd": 70.0 + gain}).assign(gamma=g) for g, gain in ((0.0, -1.0), (1.0, 2.0))
    )
    found = summary.differences(pd.concat([low, high], ignore_index=True), against=["no_kd"])
    assert found["gamma"].tolist() == [0.0, 1.0]
    assert found["mean"].tolist() == pytest.approx([-1.0, 2.0], abs=0.1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: summary.difference(t, "mm_kd", "no_kd"), ["arm = 'mm_kd'"]),
        (lambda t: summary.difference(t.drop(index=0), "um_kd", "no_kd"), ["seeds", "'um_kd'", "same seeds"]),
        (lambda t: summary.summarise(t, metric="f1"), ["metric = 'f1'", "'accuracy'"]),
        (lambda t: summary.summarise(t, split="val"), ["split = 'val'", "'test'"]),
        (lambda t: summary.validate(t.drop(columns="seed")), ["table", "'seed'"]),
        (lambda t: summary.validate(t.iloc[:0]), ["table", "at least one row"]),
        (lambda t: summary.validate(t.iloc[[0, 1, 0]]), ["table", "one row per arm, role, seed"]),
    ],
)
def test_bad_tables_are_named(call, words):
    with pytest.raises(LabError) as raised:
        call(table({"no_kd": 70.0, "um_kd": 72.0}))
    for word in words:
        assert word in str(raised.value)
