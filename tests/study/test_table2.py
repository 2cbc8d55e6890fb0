"""Table 2 of the paper, its controls and the swapped arguments, against the published and re-run numbers."""

from __future__ import annotations

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.data.datasets.gaussian import TABLE2, worlds
from mmkd_lab.experiments import Study
from mmkd_lab.study.table2 import CONTROLS, PUBLISHED, table_2, table_2_controls, table_2_swap
from mmkd_lab.training.worlds import WorldsRecipe, fit_worlds, student_accuracy, teach_worlds

#: Re-run with fifty seeds: a control's student minus the regular one, at 5, 10, 20 and 30 shared latents.
RERUN = {
    "shared": (2.47, 2.39, 1.99, 1.38),
    "shared + noise": (1.72, 1.70, 1.43, 1.23),
    "shared + specific": (0.16, 0.19, 0.13, 0.00),
    "specific": (-1.98, -1.76, -2.17, -1.55),
    "specific + noise": (-1.36, -1.46, -1.91, -1.49),
}
QUICK = WorldsRecipe(steps=20)


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


def test_the_verdict_on_the_controls_has_their_means(controls):
    found = means(controls)
    gains = (found.drop("everything") - found.loc["everything"]).mean(axis=1)
    for sees in ("shared", "shared + noise", "shared + specific", "specific"):
        side = "better" if gains[sees] > 0 else "worse"
        shown = f"{gains[sees]:+.2f}".replace("-", "−")
        assert f"is {side} than the regular teacher's ({shown} [" in controls.verdict


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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"inputs": (2, 200, 49)}, ["inputs = (2, 200, 49)", "(2, 200, 50)"]),
        ({"teacher": (2, 199)}, ["teacher = (2, 199)", "(2, 200)"]),
    ],
)
def test_teachers_and_inputs_of_another_shape_are_refused(given, words):
    drawn = worlds(TABLE2[0], range(2))
    shapes = {"inputs": (2, 200, 50), "teacher": (2, 200), **given}
    arrays = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    with pytest.raises(LabError) as raised:
        teach_worlds(drawn, **arrays)
    assert all(word in str(raised.value) for word in words)


@pytest.mark.parametrize("study", [table_2, table_2_controls, table_2_swap])
def test_saved_it_loads_with_its_figure(study, tmp_path):
    found = study(range(2), recipe=QUICK)
    again = Study.load(found.save(tmp_path))
    assert repr(again) == found.verdict
    assert (tmp_path / f"{found.name}.svg").stat().st_size > 10_000


@pytest.mark.parametrize("study", [table_2, table_2_controls, table_2_swap])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seeds": [1, 1]}, ["seeds = [1, 1]", "twice"]),
        ({"seeds": []}, ["seeds", "at least one seed"]),
        ({"recipe": 0}, ["recipe = 0"]),
    ],
)
def test_bad_settings_are_named(study, given, words):
    with pytest.raises(LabError) as raised:
        study(**{"seeds": range(1), "recipe": QUICK, **given})
    assert all(word in str(raised.value) for word in words)
