"""Table 2 of the paper, its controls and the swapped arguments, against the published and re-run numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.data.datasets.gaussian import TABLE2, worlds
from mmkd_lab.study import table_2, table_2_channels, table_2_controls, table_2_swap
from mmkd_lab.study.table2 import (
    ALIGNED,
    ALONE,
    CONTROLS,
    PUBLISHED,
    RANKINGS,
    SALIENCY,
    SKIPPED,
    _anew,
)
from mmkd_lab.training.descent import WorldsRecipe
from mmkd_lab.training.worlds import (
    fit_worlds,
    logits,
    starts_of,
    student_accuracy,
    teach_worlds,
)

#: Re-run with fifty seeds: a control's student minus the regular one, at 5, 10, 20 and 30 shared latents.
RERUN = {
    "shared": (2.47, 2.39, 1.99, 1.38),
    "shared + noise": (1.72, 1.70, 1.43, 1.23),
    "shared + specific": (0.16, 0.19, 0.13, 0.00),
    "specific": (-1.98, -1.76, -2.17, -1.55),
    "specific + noise": (-1.36, -1.46, -1.91, -1.49),
}
QUICK = WorldsRecipe(steps=20)


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def table():
    return table_2()


@pytest.fixture(scope="module")
def controls():
    return table_2_controls()


@pytest.fixture(scope="module")
def swap():
    return table_2_swap()


def means(study, by="teacher_sees"):
    rows = study.table.query("arm == 'cm_kd' and role == 'student'")
    return rows.groupby([by, "gamma"])["value"].mean().unstack()


@pytest.mark.parametrize(("arm", "role"), list(PUBLISHED))
def test_every_cell_is_within_seven_tenths_of_the_published_one(table, arm, role):
    part = table.table.query("arm == @arm and role == @role")
    found = part.groupby("gamma")["value"].mean().to_numpy()
    np.testing.assert_allclose(found, PUBLISHED[arm, role], atol=0.7, rtol=0)
    assert part.groupby("gamma")["seed"].nunique().tolist() == [100] * 5


def test_the_verdict_has_the_largest_distance_of_the_25_cells(table):
    cells = [
        abs(mean - told)
        for (arm, role), published in PUBLISHED.items()
        for mean, told in zip(
            table.table.query("arm == @arm and role == @role").groupby("gamma")["value"].mean(),
            published,
            strict=True,
        )
    ]
    assert len(cells) == 25
    assert table.provenance["largest_distance_from_published"] == pytest.approx(max(cells), abs=1e-4)
    assert f"within {max(cells):.2f} points" in table.verdict
    assert table.title.endswith("better in 5 of 5 worlds")
    assert table.plot() is not None


def test_the_order_of_draws_is_right_to_the_last_digit(table):
    rerun = {
        "no_kd": [59.13, 62.15, 67.50, 73.62, 76.30],
        "cm_kd": [59.23, 62.32, 67.70, 73.75, 76.43],
        "mg_kd": [61.02, 64.62, 69.99, 75.64, 77.58],
    }
    students = table.table.query("role == 'student'")
    for arm, told in rerun.items():
        found = students[students["arm"] == arm].groupby("gamma")["value"].mean()
        np.testing.assert_allclose(found, told, atol=0.03, rtol=0)


def test_the_verdict_on_the_controls_has_their_means(controls):
    found = means(controls)
    gains = (found.drop("everything") - found.loc["everything"]).mean(axis=1)
    for sees in ("shared", "shared + noise", "shared + specific", "specific"):
        side, shown = "better" if gains[sees] > 0 else "worse", f"{gains[sees]:+.2f}".replace("-", "−")
        assert f"is {side} than the regular teacher's ({shown} [" in controls.verdict
    assert controls.plot() is not None


@pytest.mark.parametrize("sees", list(RERUN))
def test_controls_agree_with_the_re_run(controls, sees):
    found = means(controls)
    difference = (found.loc[sees] - found.loc["everything"]).to_numpy()
    # One cell of twenty is 0.42 away, and either fifty seeds have a standard error of 0.18: specific at 20
    # shared latents, -1.75 here and -1.78 [-1.88, -1.68] over 600 seeds. With the re-run's cells at 10 and 20
    # exchanged, this row would agree within 0.26; which seeds it had is not known.
    tolerance = 0.45 if sees == "specific" else 0.4
    np.testing.assert_allclose(difference, RERUN[sees], atol=tolerance, rtol=0)


def test_teachers_of_their_own_part_push_the_student_below_no_kd(controls):
    alone = (
        controls.table.query("arm == 'no_kd' and teacher_sees == 'everything'")
        .groupby("gamma")["value"]
        .mean()
    )
    for sees in ("specific", "specific + noise"):
        assert (means(controls).loc[sees] < alone).all()
    assert set(CONTROLS) | {"everything"} == set(controls.table["teacher_sees"])


def test_swapped_arguments_flatter_the_regular_teacher_as_they_did_in_the_re_run(swap):
    found = means(swap)
    meant, mistaken = (62.32, 68.11, 71.53, 73.75, 76.48), (62.90, 68.68, 72.63, 75.13, 78.00)
    np.testing.assert_allclose(found.loc["everything"], meant, atol=0.4, rtol=0)
    np.testing.assert_allclose(found.loc["everything, swapped"], mistaken, atol=0.4, rtol=0)
    assert (found.loc["everything, swapped"] > found.loc["everything"]).all()
    published = np.array(PUBLISHED["cm_kd", "student"])[1:]
    ours = found.to_numpy()[:, [0, 1, 3, 4]]
    order = {name: np.abs(row - published).max() for name, row in zip(found.index, ours, strict=True)}
    assert order["everything"] < order["everything, swapped"]  # the published column has the right order


def test_given_teachers_and_own_inputs_are_plain_distillation():
    drawn = worlds(TABLE2[:2], range(2))
    fit, rows = fit_worlds(drawn, recipe=QUICK), drawn.rows("train")
    weights = fit.teachers["a"]
    said = (drawn.a[:, rows] @ weights[:, :-1, None])[..., 0] + weights[:, -1:]
    taught = teach_worlds(drawn, inputs=drawn.b[:, rows], teacher=said, recipe=QUICK)
    np.testing.assert_allclose(taught, fit.students["cm_kd"], atol=1e-6)
    np.testing.assert_array_equal(student_accuracy(drawn, taught), fit.accuracy("cm_kd"))


def test_fresh_samples_are_those_that_the_released_code_draws():
    """One stream of a seed: 200 training samples, 1000 test samples, then 200 for all but the teacher."""
    spec, width, (train, test) = TABLE2[1], 50, (200, 1000)
    drawn = worlds(TABLE2, [42, 43])
    theirs, stream, parts = _anew(drawn), np.random.RandomState(43), []
    for n in (train, test, train):
        z = stream.randn(n, spec.latents)
        x = [stream.randn(n, width) for _ in range(2)]
        x[0][:, : spec.latents], x[1][:, : spec.shared] = z, z[:, : spec.shared]
        parts.append((*x, z.sum(axis=1) > 0))
    i = 2 * TABLE2.index(spec) + 1  # of the second seed
    for one, split, part in (
        (drawn, "train", 0),
        (drawn, "test", 1),
        (theirs, "train", 2),
        (theirs, "test", 1),
    ):
        rows = one.rows(split)
        for values, told in zip((one.a, one.b, one.target), parts[part], strict=True):
            np.testing.assert_array_equal(values[i, rows], told.astype(values.dtype))


def test_with_fresh_samples_the_regular_teacher_alone_keeps_its_own():
    one, two = (table_2(range(2), recipe=QUICK, fresh=fresh) for fresh in (False, True))
    assert one.provenance["fresh"] is False
    assert one.provenance["fingerprint"] != two.provenance["fingerprint"]
    same = {
        (arm, role): one.table.query("arm == @arm and role == @role")["value"].tolist()
        == two.table.query("arm == @arm and role == @role")["value"].tolist()
        for arm, role in PUBLISHED
    }
    assert [cell for cell, equal in same.items() if equal] == [("cm_kd", "teacher")]
    # A student of the teacher that learnt from other samples, on its own, by plain gradient descent.
    drawn = worlds(TABLE2, range(2))
    theirs = _anew(drawn)
    train, test = theirs.rows("train"), theirs.rows("test")
    soft = expit(logits(theirs.a[:, train], fit_worlds(drawn, recipe=QUICK).teachers["a"]))
    x = np.pad(theirs.b.astype(float), ((0, 0), (0, 0), (0, 1)), constant_values=1.0)
    w = np.stack([start[1] - start[0] for start in starts_of(theirs, "b", role="student")])
    for _ in range(QUICK.steps):
        p = expit(np.einsum("wnd,wd->wn", x[:, train], w))
        pull = (p - theirs.target[:, train]) + (p - soft) / 2
        w -= 2 * QUICK.lr * np.einsum("wn,wnd->wd", pull, x[:, train]) / 200
    right = (np.einsum("wnd,wd->wn", x[:, test], w) > 0) == theirs.target[:, test]
    found = two.table.query("arm == 'cm_kd' and role == 'student'")["value"]
    np.testing.assert_allclose(found, 100 * right.mean(axis=1), atol=0.11)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"seeds": [1, 1]}, "twice"), ({"seeds": []}, "at least one seed"), ({"recipe": 0}, "recipe = 0")],
)
def test_bad_settings_are_named(given, words):
    with pytest.raises(LabError, match=words):
        table_2(**{"seeds": range(1), "recipe": QUICK, **given})


# Algorithm 1 in worlds with declared channels, against the numbers of an earlier re-run.

#: Percent at (30, 10), (10, 5), (10, 10), (10, 20), (10, 30) specific and shared latents, fifty seeds.
RANKED = {
    SALIENCY: (90, 99, 98, 98, 99),
    ALIGNED: (82, 96, 97, 97, None),
    ALONE: (None, 31, 50, 67, 76),
    SKIPPED: (45, 72, 81, 86, None),
}


@pytest.fixture(scope="module")
def channels():
    return table_2_channels()


@pytest.mark.parametrize("ranked_by", RANKINGS)
def test_precision_is_that_of_the_re_run_within_two_points(channels, ranked_by):
    part = channels.table[channels.table["ranked_by"] == ranked_by]
    assert part.groupby("gamma")["seed"].nunique().tolist() == [50] * 5
    found = part.groupby("gamma")["value"].mean()
    far = [
        (value, told)
        for value, told in zip(found, RANKED[ranked_by], strict=True)
        if told and abs(value - told) > 2
    ]
    assert far == []
    each = part.groupby("seed")["value"].mean()
    assert f"{mean_interval(each.to_numpy()).show()} %" in channels.verdict
    assert channels.title.startswith("Algorithm 1 finds 97 % of the shared channels, 75 % without")
