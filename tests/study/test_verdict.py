"""The verdict says what the paired intervals say, no more and no less."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmkd_lab.core.check import LabError
from mmkd_lab.experiments import summary, verdict
from tests.study.tables import table

VIEWS = {"cm_kd": "image", "mm_kd": "image + speech", "kl_only": "image"}


def _one(students, teachers, **options):
    found = table({"no_kd": 70.0, **students}, teachers, **options)
    (comparison,) = verdict.comparisons(found)
    return (
        comparison,
        verdict.sentence(found, student="speech", views=VIEWS),
        verdict.title(found, student="speech"),
    )


@pytest.mark.parametrize(
    ("teacher", "student", "outcome", "said", "short"),
    [
        (
            90.0,
            71.0,
            "failure",
            "failure case, the stronger teacher made the worse student",
            "falls short of",
        ),
        (90.0, 72.0, "no gain", "no gain from the stronger teacher is shown", "is not shown to differ from"),
        (90.0, 74.0, "success", "no failure case, the stronger teacher made the better student", "beats"),
        (80.0, 74.0, "weaker teacher wins", "the weaker teacher made the better student", "beats"),
        (80.0, 71.0, "no test", "no test of the failure case", "falls short of"),
        (85.0, 74.0, "no test", "no test of the failure case", "beats"),
    ],
)
def test_every_outcome_is_told_as_it_is(teacher, student, outcome, said, short):
    found, sentence, title = _one({"um_kd": 72.0, "mm_kd": student}, {"um_kd": 85.0, "mm_kd": teacher})
    assert found.outcome == outcome
    assert said in sentence
    assert f"multimodal KD {short} unimodal KD" in title


def test_the_paper_table_1_is_a_failure_case_when_the_seeds_agree():
    # Xue et al. 2023, table 1, AV-MNIST: teachers 84.57 and 91.61, students 68.36, 70.10 and 69.73.
    students = {"no_kd": 68.36, "um_kd": 70.10, "mm_kd": 69.73}
    found = table(students, {"um_kd": 84.57, "mm_kd": 91.61}, wobble=0.05)
    assert verdict.comparisons(found)[0].outcome == "failure"
    sentence = verdict.sentence(found, student="audio", views=VIEWS)
    assert "the image + speech teacher is stronger than the audio teacher (+7.04 [" in sentence
    assert "is worse than unimodal KD's (−0.37 [" in sentence
    assert "is better than no KD's (+1.37 [" in sentence


def test_the_same_means_with_scattered_seeds_show_no_difference():
    students = {"no_kd": 68.36, "um_kd": 70.10, "mm_kd": 69.73}
    found = table(students, {"um_kd": 84.57, "mm_kd": 91.61}, wobble=2.0)
    assert verdict.comparisons(found)[0].outcome == "no gain"


def test_the_intervals_are_paired_t_intervals():
    found = table({"no_kd": 70.0, "mm_kd": 71.0}, wobble=0.4)
    a, b = (found[found["arm"] == arm]["value"].to_numpy() for arm in ("mm_kd", "no_kd"))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    over = verdict.comparisons(found)[0].over_no
    assert (over.low, over.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    row = summary.differences(found).set_index(["arm", "against"]).loc[("mm_kd", "no_kd")]
    assert row[["low", "high", "n"]].tolist() == pytest.approx([expected.low, expected.high, 5])


def test_the_order_of_rows_does_not_matter():
    found = table({"no_kd": 70.0, "um_kd": 72.0, "mm_kd": 71.0}, {"um_kd": 85.0, "mm_kd": 90.0})
    shuffled = found.sample(frac=1.0, random_state=0)
    assert verdict.comparisons(shuffled)[0] == verdict.comparisons(found)[0]


def test_one_seed_concludes_nothing():
    found, sentence, _ = _one({"um_kd": 72.0, "mm_kd": 60.0}, {"um_kd": 85.0, "mm_kd": 90.0}, seeds=(0.0,))
    assert found.outcome == "one seed"
    assert "no conclusion, since one seed has no interval" in sentence
    assert "(speech student, 1 seed, test accuracy)" in sentence


def test_without_unimodal_kd_only_no_kd_is_compared():
    found, sentence, title = _one({"cm_kd": 68.0}, {"cm_kd": 90.0})
    assert found.over_um is None
    assert "its student is worse than no KD's (−2.00 [" in sentence
    assert title == "toy, speech student: arms compared"


def test_without_an_arm_across_modalities():
    both = verdict.sentence(
        table({"no_kd": 70.0, "um_kd": 72.0}, {"um_kd": 85.0}), student="speech", views={}
    )
    assert "unimodal KD is better than no KD (+2.00 [" in both
    alone = verdict.sentence(table({"no_kd": 70.0}), student="speech", views={})
    assert "no KD reaches 69.60 [" in alone


def test_both_arms_across_modalities_are_told_in_one_sentence():
    students = {"no_kd": 70.0, "um_kd": 72.0, "cm_kd": 71.0, "mm_kd": 74.0}
    found = table(students, {"um_kd": 85.0, "cm_kd": 88.0, "mm_kd": 90.0})
    sentence = verdict.sentence(found, student="speech", views=VIEWS)
    assert sentence.count("; ") == 1
    assert sentence.endswith(".")
    assert verdict.title(found, student="speech") == (
        "toy, speech student: crossmodal KD falls short of unimodal KD, multimodal KD beats it"
    )
    assert sentence.index("the image teacher") < sentence.index("the image + speech teacher")


@pytest.mark.parametrize(
    ("student", "said"),
    [
        (71.0, "crossmodal KD and multimodal KD fall short of unimodal KD"),
        (72.0, "neither crossmodal KD nor multimodal KD is shown to differ from unimodal KD"),
        (73.0, "crossmodal KD and multimodal KD beat unimodal KD"),
    ],
)
def test_the_title_joins_arms_that_fare_alike(student, said):
    found = table(
        {"um_kd": 72.0, "cm_kd": student, "mm_kd": student}, {"um_kd": 85.0, "cm_kd": 88.0, "mm_kd": 90.0}
    )
    assert verdict.title(found, student="speech") == f"toy, speech student: {said}"


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
