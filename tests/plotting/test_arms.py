"""The figure of a study's arms: its geometry, its numbers, what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import mean_interval, paired_interval
from mmkd_lab.plotting import arms_figure, palette
from tests.plotting.geometry import faults
from tests.plotting.tables import arms_table

LONG = "audio_visual_digits_with_a_name_that_goes_on_and_on_and_on_until_nobody_reads_it_any_more"

CASES = {
    "one seed": arms_table(seeds=1),
    "two arms": arms_table(("no_kd", "cm_kd")),
    "one arm": arms_table(("no_kd",)),
    "five arms": arms_table(),
    "hundred seeds": arms_table(seeds=100),
    "all equal": arms_table(constant=50.0),
    "long name": arms_table(dataset=LONG),
    "no teachers": arms_table(teachers=False),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [None, (11.0, 5.0), (4.5, 11.5)], ids=["notebook", "wide", "narrow"])
def test_no_word_leaves_the_figure_or_covers_another(case, size):
    figure = arms_figure(CASES[case], size=size)
    assert faults(figure) == []


def heading(ax):
    return ax.get_title(loc="left")


def test_panels_rows_and_marks_are_where_the_numbers_are():
    table = arms_table()
    figure = arms_figure(table, reference="no_kd")
    teacher, student, difference = figure.axes
    assert [heading(ax) for ax in figure.axes] == ["Teacher", "Student", "Student minus no KD"]
    assert [ax.get_xlabel() for ax in figure.axes[:2]] == ["test accuracy (%)"] * 2
    assert difference.get_xlabel() == "difference in test accuracy (points)"
    for row, arm in enumerate(palette.ARMS):
        values = table[(table.arm == arm) & (table.role == "student")].sort_values("seed").value.to_numpy()
        control = (
            table[(table.arm == "no_kd") & (table.role == "student")].sort_values("seed").value.to_numpy()
        )
        assert marks(student, "o", row) == pytest.approx([values.mean()])
        seen = mean_interval(values)
        assert bars(student, row) == [pytest.approx((seen.low, seen.high))]
        if arm != "no_kd":
            paired = paired_interval(values, control)
            assert marks(difference, "o", row) == pytest.approx([paired.mean])
            assert bars(difference, row) == [pytest.approx((paired.low, paired.high))]
            assert len(marks(teacher, "D", row)) == 1


def marks(ax, kind, row):
    return [
        line.get_xdata()[0] for line in ax.lines if line.get_marker() == kind and line.get_ydata()[0] == row
    ]


def bars(ax, row):
    found = [line for line in ax.lines if len(line.get_xdata()) == 2 and list(line.get_ydata()) == [row, row]]
    return [tuple(line.get_xdata()) for line in found]


def test_everything_drawn_is_in_view():
    for ax in arms_figure(arms_table(seeds=30)).axes:
        low, high = ax.get_xlim()
        for dots in ax.collections:
            x = dots.get_offsets()[:, 0]
            assert low < x.min() <= x.max() < high


def test_every_seed_is_a_dot_and_one_seed_has_no_interval():
    assert (
        sum(len(dots.get_offsets()) for dots in arms_figure(arms_table(seeds=7)).axes[1].collections) == 5 * 7
    )
    alone = arms_figure(arms_table(seeds=1))
    assert all(not bars(ax, row) for ax in alone.axes for row in range(5))
    assert "no interval" in alone.get_supxlabel()
    assert "7 seeds" in arms_figure(arms_table(seeds=7)).get_supxlabel()


def test_an_arm_without_a_teacher_says_so_and_the_panel_goes_when_nobody_has_one():
    texts = [text.get_text() for text in arms_figure(arms_table()).axes[0].texts]
    assert texts.count("no teacher") == 1
    assert len(arms_figure(arms_table(teachers=False)).axes) == 2


def test_the_zero_line_is_in_view_with_words_on_both_sides():
    for reference in ("no_kd", "kl_only"):
        ax = arms_figure(arms_table(), reference=reference).axes[-1]
        low, high = ax.get_xlim()
        assert low < 0 < high
        assert {"worse", "better"} <= {text.get_text() for text in ax.texts}


def test_lower_is_better_for_nll():
    table = arms_table().assign(metric="nll")
    ax = arms_figure(table, metric="nll").axes[-1]
    left = next(text for text in ax.texts if text.get_text() == "better")
    assert left.get_ha() == "right"
    assert ax.get_xlabel() == "difference in test nll (nats)"


def test_the_title_is_the_finding():
    table = arms_table()
    assert arms_figure(table, title="As asked").get_suptitle() == "As asked"
    found = " ".join(arms_figure(table).get_suptitle().split())
    mm, um = (table[(table.arm == a) & (table.role == "teacher")].value.mean() for a in ("mm_kd", "um_kd"))
    assert found.startswith(f"av_digits: multimodal KD against unimodal KD: teacher +{mm - um:.1f}, student ")


def test_rows_keep_the_order_of_the_palette_whatever_the_table_has():
    table = arms_table().sample(frac=1.0, random_state=0)
    shown = [text.get_text() for text in arms_figure(table).axes[0].get_yticklabels()]
    assert shown == [look.label for look in palette.ARMS.values()]
    assert arms_figure(table).png() == arms_figure(arms_table()).png()


@pytest.mark.parametrize("missing", [["value"], ["arm", "seed"]])
def test_missing_columns_are_all_named(missing):
    with pytest.raises(LabError, match="lacks the columns " + " and ".join(f"'{name}'" for name in missing)):
        arms_figure(arms_table().drop(columns=missing))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    table = arms_table()
    table.loc[(table.arm == "cm_kd") & (table.role == "student") & (table.seed == 0), "value"] = bad
    with pytest.raises(
        LabError, match=rf"table\['value'\] = .*{bad}.*finite number \(cm_kd, student, seed 0\)"
    ):
        arms_figure(table)


def test_other_wrong_tables_are_refused():
    table = arms_table()
    with pytest.raises(LabError, match="table = 'no rows': must hold at least one"):
        arms_figure(table.iloc[:0])
    with pytest.raises(LabError, match=r"table = \['value'\]: must not hold a column twice"):
        arms_figure(pd.concat([table, table[["value"]]], axis=1))
    with pytest.raises(LabError, match=r"table\['value'\] = 'many': must be a finite number"):
        arms_figure(table.assign(value="many"))
    with pytest.raises(LabError, match="table = 'list': must be a pandas DataFrame"):
        arms_figure([table])
    with pytest.raises(LabError, match="metric = 'f1'"):
        arms_figure(table, metric="f1")
    with pytest.raises(LabError, match="split = 'dev'"):
        arms_figure(table, split="dev")
    with pytest.raises(LabError, match="reference = 'mg_kd'"):
        arms_figure(table, reference="mg_kd")
    with pytest.raises(LabError, match=r"arm = 'mine'.*no colour"):
        arms_figure(table.replace({"arm": {"mm_kd": "mine"}}))
    with pytest.raises(LabError, match="one dataset"):
        arms_figure(table.assign(dataset=["a", *["b"] * (len(table) - 1)]))
    with pytest.raises(LabError, match="one value per arm, role and seed"):
        arms_figure(table.assign(seed=0))
    unpaired = table[~((table.arm == "cm_kd") & (table.role == "student") & (table.seed == 2))]
    with pytest.raises(LabError, match=r"seeds = .*\[0, 1, 3, 4\] for 'cm_kd'"):
        arms_figure(unpaired)
    with pytest.raises(LabError, match="role 'student'"):
        arms_figure(table[table.role == "teacher"])


def test_drawing_twice_changes_nothing():
    figure = arms_figure(arms_table())
    assert figure.png() == figure.png()
