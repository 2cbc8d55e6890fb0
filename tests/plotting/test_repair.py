"""Figures of repaired teachers, of controls and of rivals: what is drawn, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.plotting import palette
from mmkd_lab.plotting.controls import controls_figure
from mmkd_lab.plotting.repair import repair_figure
from mmkd_lab.plotting.rivals import rivals_figure
from tests.plotting.geometry import faults

ARMS = {"no_kd": 60.0, "cm_kd": 62.0, "mg_kd": 64.0, "ms_kd": 59.0}


def repaired(ratios=(0.25, 0.5), seeds=4):
    rows = []
    for arm, mean in ARMS.items():
        for role in ("student",) if arm == "no_kd" else ("student", "teacher"):
            for ratio in ratios:
                for seed in range(seeds):
                    value = (
                        mean + seed + (0.1 * seed if arm == "mg_kd" else 0) + (ratio if arm == "mg_kd" else 0)
                    )
                    rows.append(
                        ("repair", "toy", arm, role, seed, "test", "accuracy", value, ratio, "ce + kd")
                    )
    names = ["study", "dataset", "arm", "role", "seed", "split", "metric", "value", "ratio", "loss"]
    return pd.DataFrame(rows, columns=names)


def line(ax, colour):
    return next(one for one in ax.get_lines() if one.get_color() == colour and len(one.get_xdata()) == 2)


def test_students_are_drawn_as_differences_and_teachers_as_they_are():
    figure = repair_figure(repaired())
    teacher, student = figure.axes
    general = palette.look("mg_kd").colour
    by_hand = [64 - 62 + 0.1 * 1.5 + ratio for ratio in (0.25, 0.5)]
    assert line(student, general).get_ydata() == pytest.approx(by_hand)
    assert line(teacher, general).get_ydata() == pytest.approx([64 + 1.5 + 0.15 + r for r in (0.25, 0.5)])
    for ax, absent in ((teacher, "no_kd"), (student, "cm_kd")):
        shown = {text.get_text(): text.get_color() for text in ax.texts}
        looks = [palette.look(arm) for arm in ARMS if arm != absent]
        assert shown == {look.label: look.colour for look in looks}
    assert figure.legends == []
    assert student.get_title(loc="left") == "Student minus crossmodal KD"


def test_lines_that_end_together_keep_names_that_can_be_read():
    table = repaired()
    table["value"] = 60.0 + 0.01 * table["seed"]
    assert faults(repair_figure(table)) == []


def test_title_note_and_marks_of_rivals_are_about_one_loss():
    other = runs().assign(loss="kd alone")
    other.loc[other["metric"] == "gain", "value"] += 50.0
    both = pd.concat([runs(), other])
    for loss, shift in (("ce + kd", 0.0), ("kd alone", 50.0)):
        figure = rivals_figure(both, loss=loss)
        marks = np.concatenate([np.asarray(one.get_offsets()) for one in figure.axes[0].collections])
        assert sorted(marks[:, 1]) == [shift + x for x in (-2, -1, -1, 0, 0, 1)]
        assert f"gain over no KD, {loss}." in figure.get_supxlabel()


def test_one_ratio_is_drawn_as_a_row_per_arm():
    figure = repair_figure(repaired(ratios=(0.5,)))
    assert len(figure.axes) == 3
    assert faults(figure) == []


def seen(kinds=("everything", "shared", "specific + noise"), gammas=(0.25, 0.5), seeds=3):
    rows = [
        (
            "c",
            "toy",
            "cm_kd",
            "student",
            seed,
            "test",
            "accuracy",
            60 + seed + 2 * i * (1 + 0.1 * seed),
            gamma,
            kind,
        )
        for i, kind in enumerate(kinds)
        for gamma in gammas
        for seed in range(seeds)
    ]
    names = ["study", "dataset", "arm", "role", "seed", "split", "metric", "value", "gamma", "teacher_sees"]
    return pd.DataFrame(rows, columns=names)


def test_controls_are_differences_from_the_baseline():
    ax = controls_figure(seen()).axes[0]
    found = {one.get_label(): one.get_ydata() for one in ax.get_lines() if len(one.get_xdata()) == 2}
    assert found["shared"] == pytest.approx([2.2, 2.2])
    assert found["specific + noise"] == pytest.approx([4.4, 4.4])


def runs():
    rows = []
    for i, arm in enumerate(("cm_kd", "mg_kd")):
        for seed in range(3):
            at = (np.nan if arm == "cm_kd" else 0.5, "ce + kd", 0)
            for metric, value in (("gain", i - seed), ("gamma", 0.2 * i + 0.1 * seed), ("cka", 0.5)):
                rows.append(("rivals", "toy", arm, "teacher", seed, "val", metric, float(value), *at))
    names = ["study", "dataset", "arm", "role", "seed", "split", "metric", "value", "ratio", "loss", "draw"]
    return pd.DataFrame(rows, columns=names)


def test_every_run_is_a_dot_at_its_number_and_its_gain():
    ax = rivals_figure(runs()).axes[0]
    dots = np.concatenate(
        [np.asarray(one.get_offsets()) for one in ax.collections if len(one.get_offsets()) == 3]
    )
    expected = [(0.2 * i + 0.1 * seed, i - seed) for i in range(2) for seed in range(3)]
    np.testing.assert_allclose(dots, expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: repair_figure(repaired().drop(columns="loss")), "lacks the column 'loss'"),
        (lambda: repair_figure(repaired(), loss="kl"), "loss = 'kl'"),
        (lambda: repair_figure(repaired(), reference="um_kd"), "reference = 'um_kd'"),
        (lambda: repair_figure(repaired()[3:]), "seeds"),
        (lambda: controls_figure(seen().drop(columns="teacher_sees")), "lacks the column 'teacher_sees'"),
        (lambda: controls_figure(seen(), baseline="shared + noise"), "baseline = 'shared \\+ noise'"),
        (lambda: controls_figure(seen(kinds=("everything", "nothing"))), "teacher_sees = 'nothing'"),
        (lambda: controls_figure(seen()[1:]), "seeds"),
        (lambda: rivals_figure(runs().drop(columns="draw")), "lacks the column 'draw'"),
        (lambda: rivals_figure(runs(), loss="kl"), "loss = 'kl'"),
        (lambda: rivals_figure(runs().query("metric != 'gain'")), "lacks the gains"),
    ],
)
def test_bad_tables_are_named(call, words):
    with pytest.raises(LabError, match=words):
        call()
