"""What the studies' figures declare: rows, panels, reference, numbers, and what they refuse."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.core.stats import mean_interval, paired_interval
from mmkd_lab.plotting import FIGURES, palette
from mmkd_lab.plotting.studies import METHODS
from mmkd_lab.plotting.tables import measure_of, view_name
from tests.plotting.geometry import faults
from tests.plotting.tables import COLUMNS, arms_table
from tests.plotting.test_intervals import bars, marks

VIEWS = ["a+b", "a", "b"]


def msd_table():
    """The arm's place times ten, plus its view's place, plus the seed; the teacher is 90."""
    rows = []
    for (v, view), seed in product(enumerate(VIEWS), range(3)):
        for place, arm in enumerate(("no_kd", "kd", "msd_uniform")):
            rows.append(("s", "d", arm, "student", seed, "test", "accuracy", 10.0 * place + v + seed, view))
        rows.append(("s", "d", "teacher", "teacher", seed, "test", "accuracy", 90.0 + 2 * seed, view))
    return pd.DataFrame(rows, columns=[*COLUMNS, "view"])


def repaired(ratios=(0.25, 0.5)):
    means = {"no_kd": 60.0, "cm_kd": 62.0, "mg_kd": 64.0, "ms_kd": 59.0}
    known = [
        (arm, role) for arm in means for role in ("student", "teacher") if (arm, role) != ("no_kd", "teacher")
    ]
    rows = []
    for (arm, role), ratio, seed in product(known, ratios, range(4)):
        value = means[arm] + seed + (0.1 * seed + ratio if arm == "mg_kd" else 0)
        rows.append(("r", "toy", arm, role, seed, "test", "accuracy", value, ratio, "ce + kd"))
    return pd.DataFrame(rows, columns=[*COLUMNS, "ratio", "loss"])


def seen():
    rows = [
        ("c", "toy", "cm_kd", "student", s, "test", "accuracy", 60 + s + 2 * i * (1 + 0.1 * s), gamma, kind)
        for (i, kind), gamma, s in product(
            enumerate(("everything", "shared", "specific")), (0.25, 0.5), range(3)
        )
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, "gamma", "teacher_sees"])


def runs():
    """gamma orders the gains of every seed perfectly, cka the other way round, entropy not at all."""
    rows = []
    for seed, (i, arm) in product(range(3), enumerate(("cm_kd", "mg_kd", "ms_kd"))):
        ratio = np.nan if arm == "cm_kd" else 0.5
        for metric, value in (("gain", i + seed), ("gamma", i * 0.1), ("cka", -i), ("teacher_entropy", 1)):
            rows.append(("r", "toy", arm, "teacher", seed, "val", metric, float(value), ratio, "ce + kd", 0))
    return pd.DataFrame(rows, columns=[*COLUMNS, "ratio", "loss", "draw"])


def worlds():
    estimates = {"information": lambda gamma: 1.0, "canonical": lambda gamma: gamma}
    rows = [
        (arm, seed, "gamma_union", estimates[arm](gamma), gamma)
        for arm, gamma, seed in product(estimates, (0.0, 0.5, 1.0), range(2))
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "gamma"])


TABLES = {
    "arms": arms_table(),
    "msd": msd_table(),
    "repair": repaired(),
    "controls": seen(),
    "rivals": runs(),
    "recovery": worlds(),
}


def heads(figure):
    return [ax.get_title(loc="left") for ax in figure.axes]


def names(figure):
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


@pytest.mark.parametrize("kind", TABLES)
def test_every_word_can_be_read(kind):
    figure = FIGURES[kind](TABLES[kind], title="A finding that is told in some words")
    assert faults(figure) == []


@pytest.mark.parametrize("kind", ["msd", "repair"])
def test_one_seed_has_no_interval_and_says_so(kind):
    table = TABLES[kind]
    figure = FIGURES[kind](table[table["seed"] == 0])
    assert "no interval" in figure.get_supxlabel().replace("\n", " ")
    assert all(bars(ax) == {} for ax in figure.axes)
    assert faults(figure) == []


def test_arms_are_drawn_with_teachers_students_and_paired_differences():
    table = arms_table().sample(frac=1.0, random_state=0)
    figure = FIGURES["arms"](table, reference="no_kd")
    teacher, student, difference = figure.axes
    assert heads(figure) == ["Teacher", "Student", "Student minus no KD"]
    control = table[(table.arm == "no_kd") & (table.role == "student")].sort_values("seed").value.to_numpy()
    for row, arm in enumerate(("no_kd", "um_kd", "cm_kd", "mm_kd", "kl_only")):
        values = table[(table.arm == arm) & (table.role == "student")].sort_values("seed").value.to_numpy()
        found = mean_interval(values)
        assert marks(student)[row] == pytest.approx(found.mean)
        assert bars(student)[row] == pytest.approx((found.low, found.high))
        assert names(figure)[row] == palette.style_of(arm)[0]
        if row:
            paired = paired_interval(values, control)
            assert marks(difference)[row] == pytest.approx(paired.mean)
            assert bars(difference)[row] == pytest.approx((paired.low, paired.high))
    assert set(marks(teacher, "D")) == {1, 2, 3, 4}
    assert [text.get_text() for text in teacher.texts].count("no teacher") == 1
    assert heads(FIGURES["arms"](arms_table(teachers=False)))[0] == "Student"


def test_without_a_title_the_finding_is_computed():
    table = arms_table()
    found = " ".join(FIGURES["arms"](table).get_suptitle().split())
    mm, um = (table[(table.arm == a) & (table.role == "teacher")].value.mean() for a in ("mm_kd", "um_kd"))
    assert found.startswith(f"av_digits: multimodal KD against unimodal KD: teacher +{mm - um:.1f}, student ")


def test_a_metric_has_its_unit_and_its_better_side():
    accuracy, js = measure_of("accuracy"), measure_of("js", "val")
    assert (accuracy.label, accuracy.difference) == (
        "test accuracy (%)",
        "difference in test accuracy (points)",
    )
    assert (js.label, js.points) == ("val divergence (nats)", " (nats)")
    assert (accuracy.sides, js.sides) == (("worse", "better"), ("better", "worse"))
    assert measure_of("my_number").label == "test my number"


def test_msd_is_drawn_as_differences_from_kd_in_every_view():
    figure = FIGURES["msd"](msd_table())
    assert heads(figure) == ["full input\nKD 11.0 %", "a only\nKD 12.0 %", "b only\nKD 13.0 %"]
    assert names(figure) == ["teacher", "no KD", "KD", "MSD uniform"]
    for v, ax in enumerate(figure.axes):
        assert marks(ax) == pytest.approx({1: -10.0, 3: 10.0})
        assert marks(ax, "D") == pytest.approx({0: 92 - (11 + v)})
    assert "the 9 intervals are not corrected" in figure.get_supxlabel().replace("\n", " ")
    assert len(FIGURES["msd"](msd_table(), views=["a+b", "b"]).axes) == 2


def test_views_that_keep_several_modalities_are_named_by_what_they_lack():
    views = ["a+b+c", "a", "b+c"]
    assert [view_name(view, views) for view in views] == ["full input", "a only", "without a"]


def test_repaired_teachers_stand_above_what_their_students_gain_by_share_removed():
    figure = FIGURES["repair"](repaired())
    assert [head.split("\n") for head in heads(figure)] == [
        [role, f"{ratio} removed"] for role in ("Teacher", "Student") for ratio in ("25%", "50%")
    ]
    for ax, ratio in zip(figure.axes[2:], (0.25, 0.5), strict=True):
        assert marks(ax)[2] == pytest.approx(64 - 62 + 0.1 * 1.5 + ratio)
    for ax, ratio in zip(figure.axes[:2], (0.25, 0.5), strict=True):
        assert marks(ax, "D")[2] == pytest.approx(64 + 1.5 + 0.15 + ratio)
    assert figure.axes[2].get_xlim() == figure.axes[3].get_xlim()
    (*_, last) = heads(FIGURES["repair"](repaired(ratios=(0.5,))))
    assert last.split() == ["Student", "minus", "crossmodal", "KD"]


def test_controls_are_differences_from_the_baseline_at_each_gamma():
    figure = FIGURES["controls"](seen())
    assert heads(figure) == ["γ = 0.25", "γ = 0.5"]
    assert names(figure) == ["everything", "shared", "specific"]
    for ax in figure.axes:
        assert marks(ax) == pytest.approx({1: 2.2, 2: 4.4})


def test_rivals_are_drawn_by_how_they_order_the_gains_of_a_seed():
    other = runs().assign(loss="kd alone")
    other.loc[other["metric"] == "gain", "value"] *= -1
    figure = FIGURES["rivals"](pd.concat([runs(), other]), loss="kd alone")
    assert [head.split("\n")[0][18:] for head in heads(figure)] == ["kd alone", "ce + kd"]
    first, second = figure.axes
    assert marks(first) == pytest.approx({0: -1.0, 1: 1.0})
    assert marks(second) == pytest.approx({0: 1.0, 1: -1.0})
    assert "does not vary" in {text.get_text() for text in first.texts}


def test_recovery_draws_estimates_beside_the_declared_share_and_says_how_far_off():
    figure = FIGURES["recovery"](TABLES["recovery"], samples=500)
    assert names(figure) == [f"{METHODS['canonical']}\noff by 0.00", f"{METHODS['information']}\noff by 0.50"]
    for ax, declared in zip(figure.axes, (0.0, 0.5, 1.0), strict=True):
        assert marks(ax) == pytest.approx({0: declared, 1: 1.0})
        assert declared in {line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1}
    assert "500 samples" in figure.get_supxlabel()
