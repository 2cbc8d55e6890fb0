"""What the studies' figures declare: rows, panels, reference, numbers, and what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import mean_interval, paired_interval
from mmkd_lab.plotting import FIGURES, palette
from mmkd_lab.plotting.studies import METHODS
from tests.plotting.geometry import faults
from tests.plotting.tables import COLUMNS, arms_table
from tests.plotting.test_intervals import bars, marks

VIEWS = ["a+b", "a", "b"]


def msd_table(arms=("no_kd", "kd", "msd_uniform"), seeds=3, metric="accuracy"):
    """The arm's place times ten, plus its view's place, plus the seed; the teacher is 90."""
    rows = []
    for v, view in enumerate(VIEWS):
        for seed in range(seeds):
            for place, arm in enumerate(arms):
                rows.append(("s", "d", arm, "student", seed, "test", metric, 10.0 * place + v + seed, view))
            rows.append(("s", "d", "teacher", "teacher", seed, "test", metric, 90.0 + 2 * seed, view))
    return pd.DataFrame(rows, columns=[*COLUMNS, "view"])


def repaired(ratios=(0.25, 0.5), seeds=4):
    rows = []
    for arm, mean in {"no_kd": 60.0, "cm_kd": 62.0, "mg_kd": 64.0, "ms_kd": 59.0}.items():
        for role in ("student",) if arm == "no_kd" else ("student", "teacher"):
            for ratio in ratios:
                for seed in range(seeds):
                    value = mean + seed + (0.1 * seed + ratio if arm == "mg_kd" else 0)
                    rows.append(("r", "toy", arm, role, seed, "test", "accuracy", value, ratio, "ce + kd"))
    return pd.DataFrame(rows, columns=[*COLUMNS, "ratio", "loss"])


def seen(kinds=("everything", "shared", "specific + noise"), gammas=(0.25, 0.5), seeds=3):
    rows = [
        ("c", "toy", "cm_kd", "student", s, "test", "accuracy", 60 + s + 2 * i * (1 + 0.1 * s), gamma, kind)
        for i, kind in enumerate(kinds)
        for gamma in gammas
        for s in range(seeds)
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, "gamma", "teacher_sees"])


def runs():
    """gamma orders the gains of every seed perfectly, cka the other way round, entropy not at all."""
    rows = []
    for seed in range(3):
        for i, arm in enumerate(("cm_kd", "mg_kd", "ms_kd")):
            for metric, value in (
                ("gain", i + seed),
                ("gamma", i * 0.1),
                ("cka", -i),
                ("teacher_entropy", 1),
            ):
                at = (np.nan if arm == "cm_kd" else 0.5, "ce + kd", 0)
                rows.append(("rivals", "toy", arm, "teacher", seed, "val", metric, float(value), *at))
    return pd.DataFrame(rows, columns=[*COLUMNS, "ratio", "loss", "draw"])


def worlds(**methods):
    rows = [
        (arm, seed, "gamma_union", estimate(gamma), gamma)
        for arm, estimate in methods.items()
        for gamma in (0.0, 0.5, 1.0)
        for seed in range(2)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "gamma"])


TABLES = {
    "arms": arms_table(),
    "msd": msd_table(),
    "repair": repaired(),
    "controls": seen(),
    "rivals": runs(),
    "recovery": worlds(information=lambda g: 1.0, canonical=lambda g: g),
}


def heads(figure):
    return [ax.get_title(loc="left") for ax in figure.axes]


def names(figure):
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


@pytest.mark.parametrize("kind", TABLES)
def test_every_word_can_be_read_and_the_order_of_rows_does_not_matter(kind):
    figure = FIGURES[kind](TABLES[kind], title="A finding that is told in some words")
    assert faults(figure) == []
    assert figure.get_suptitle() == "A finding that is told in some words"


@pytest.mark.parametrize("kind", ["arms", "msd", "repair"])
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
    assert (student.get_xlabel(), difference.get_xlabel()) == (
        "test accuracy (%)",
        "difference in test accuracy (points)",
    )
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


@pytest.mark.parametrize(
    ("metric", "left"), [("accuracy", "worse"), ("agreement", "worse"), ("nll", "better"), ("js", "better")]
)
def test_words_say_on_which_side_of_zero_it_is_better(metric, left):
    (ax, *_) = FIGURES["msd"](msd_table(metric=metric), metric=metric).axes
    words = {text.get_text(): text.get_ha() for text in ax.texts}
    assert words[left] == "right"  # it ends at the zero line, and so lies left of it


def test_an_arm_that_nobody_registered_has_its_own_name_and_a_neutral_colour():
    table = arms_table().replace({"arm": {"kl_only": "mine"}})
    figure = FIGURES["arms"](table)
    assert names(figure)[-1] == "mine"
    assert to_hex(figure.axes[0].get_yticklabels()[-1].get_color()).upper() == palette.NEUTRAL


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
    table = msd_table().replace({"view": {"a+b": "a+b+c", "a": "a", "b": "b+c"}})
    assert [head.split("\n")[0] for head in heads(FIGURES["msd"](table))] == [
        "full input",
        "a only",
        "without a",
    ]


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
    assert names(figure) == ["everything", "shared", "specific + noise"]
    for ax in figure.axes:
        assert marks(ax) == pytest.approx({1: 2.2, 2: 4.4})


def test_rivals_are_drawn_by_how_they_order_the_gains_of_a_seed():
    other = runs().assign(loss="kd alone")
    other.loc[other["metric"] == "gain", "value"] *= -1
    figure = FIGURES["rivals"](pd.concat([runs(), other]), loss="kd alone")
    assert [head.split("\n")[0] for head in heads(figure)] == [
        "Students learn by kd alone",
        "Students learn by ce + kd",
    ]
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


def unpaired():
    table = arms_table()
    return table[~((table.arm == "cm_kd") & (table.role == "student") & (table.seed == 2))]


@pytest.mark.parametrize(
    ("kind", "table", "options", "expected"),
    [
        ("arms", arms_table().drop(columns=["arm", "seed"]), {}, "lacks the columns 'arm' and 'seed'"),
        ("arms", arms_table().iloc[:0], {}, "table = 'no rows': must hold at least one"),
        ("arms", [arms_table()], {}, "table = 'list': must be a pandas DataFrame"),
        ("arms", arms_table().assign(value=np.nan), {}, r"table\['value'\] = .*nan.*finite number \(no_kd"),
        (
            "arms",
            arms_table().assign(value="many"),
            {},
            r"table\['value'\] = 'many': must be a finite number",
        ),
        ("arms", arms_table(), {"metric": "f1"}, "metric = 'f1'"),
        ("arms", arms_table(), {"split": "dev"}, "split = 'dev'"),
        ("arms", arms_table(), {"reference": "mg_kd"}, "reference = 'mg_kd'"),
        ("arms", arms_table().assign(dataset=["a", *["b"] * 44]), {}, "one dataset"),
        ("arms", arms_table().assign(seed=0), {}, "one value per arm, role and seed"),
        ("arms", unpaired(), {}, r"seeds = .*\[0, 1, 3, 4\] for 'cm_kd'"),
        ("arms", arms_table().query("role == 'teacher'"), {}, "role 'student'"),
        ("msd", msd_table().drop(columns="view"), {}, "lacks the columns 'view'"),
        ("msd", msd_table(), {"views": ["c"]}, "view = 'c'"),
        ("msd", msd_table(), {"reference": "dkd"}, "reference = 'dkd'"),
        ("repair", repaired(), {"loss": "kd alone"}, "loss = 'kd alone'"),
        ("repair", repaired().drop(columns="loss"), {}, "lacks the columns 'loss'"),
        ("controls", seen(), {"baseline": "nothing"}, "baseline = 'nothing'"),
        ("controls", seen().iloc[1:], {}, "same seeds"),
        ("rivals", runs(), {"loss": "kd"}, "loss = 'kd'"),
        ("rivals", runs()[runs()["metric"] != "gain"], {}, "lacks the gains"),
        ("recovery", TABLES["recovery"].assign(metric="alpha"), {}, "must hold rows of 'gamma_union'"),
    ],
)
def test_what_a_table_lacks_is_named(kind, table, options, expected):
    with pytest.raises(LabError, match=expected):
        FIGURES[kind](table, **options)
