"""The figure over a swept quantity: geometry, numbers, published curves, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import paired_interval
from mmkd_lab.plotting import sweep_figure
from tests.plotting.geometry import faults
from tests.plotting.tables import GAMMA, sweep_table

THREE = ("no_kd", "cm_kd", "kl_only")
PUBLISHED = {
    "teacher": [[0.0, 71.45], [1.0, 70.95]],
    "cm_kd": [[0.0, 66.3], [1.0, 70.1]],
    "no_kd": [[0, 67.9], [1, 67.9]],
}
LONG = "α, the share of the teacher's decisive features that the student cannot see, whatever it does"

CASES = {
    "one seed": sweep_table(seeds=1),
    "hundred seeds": sweep_table(seeds=100),
    "three arms": sweep_table(THREE),
    "all equal": sweep_table(THREE, constant=50.0),
    "one point": sweep_table(points=[0.5]),
    "students only": sweep_table(("no_kd",)),
    "long name": sweep_table().assign(dataset="a_very_long_name_" * 6),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [None, (4.5, 7.5)], ids=["notebook", "narrow"])
def test_no_word_leaves_the_figure_or_covers_another(case, size):
    label = LONG if case == "long name" else None
    assert faults(sweep_figure(CASES[case], x="gamma", x_label=label, size=size)) == []


def test_differences_are_paired_by_seed():
    table = sweep_table(seeds=8)
    ax = sweep_figure(table, x="gamma").axes[1]
    students = table[table.role == "student"].sort_values("seed")
    line = next(line for line in ax.lines if line.get_marker() == "s")
    assert line.get_xdata() == pytest.approx(GAMMA)
    for at, mean in zip(GAMMA, line.get_ydata(), strict=True):
        part = students[students.gamma == at]
        kd, no = (part[part.arm == arm].value.to_numpy() for arm in ("cm_kd", "no_kd"))
        seen = paired_interval(kd, no)
        assert mean == pytest.approx(seen.mean)
        assert any(np.allclose(bar[:, 1], [seen.low, seen.high]) for bar in bars(ax))


def bars(ax):
    return [
        segment
        for found in ax.collections
        if hasattr(found, "get_segments")
        for segment in found.get_segments()
    ]


def test_one_teacher_taught_all_arms_so_it_is_drawn_once():
    ax = sweep_figure(sweep_table(THREE), x="gamma").axes[0]
    assert [text.get_text() for text in ax.texts] == [
        "teacher",
        "no KD",
        "crossmodal KD",
        "crossmodal KL only",
    ]
    table = sweep_table(THREE)
    table.loc[(table.arm == "kl_only") & (table.role == "teacher"), "value"] += 3.0
    labels = [text.get_text() for text in sweep_figure(table, x="gamma").axes[0].texts]
    assert labels[:2] == ["teacher", "teacher of crossmodal KL only"]


def test_a_label_stands_beside_the_end_of_its_line_unless_pushed():
    ax = sweep_figure(sweep_table(), x="gamma").axes[0]
    ends = {text.get_text(): text.xy[1] for text in ax.texts}
    lines = [line.get_ydata()[-1] for line in ax.lines]
    assert sorted(ends.values()) == pytest.approx(sorted(lines))
    apart = sweep_figure(sweep_table(THREE, constant=50.0), x="gamma").axes[0]
    assert len({text.xyann[1] for text in apart.texts}) == 4


def test_published_curves_are_dashed_in_view_and_named_in_the_note():
    figure = sweep_figure(sweep_table(), x="gamma", published=PUBLISHED)
    dashed = [line for line in figure.axes[0].lines if line.is_dashed()]
    assert [list(map(float, line.get_ydata())) for line in dashed] == [
        [71.45, 70.95],
        [66.3, 70.1],
        [67.9, 67.9],
    ]
    low, high = figure.axes[0].get_ylim()
    assert low < 66.3 < 71.45 < high
    assert "Dashed: as published" in figure.get_supxlabel()
    assert faults(figure) == []


def test_axes_are_named():
    first, second = sweep_figure(sweep_table(), x="gamma").axes
    assert (first.get_xlabel(), first.get_ylabel()) == ("γ, what both see", "test accuracy (%)")
    assert second.get_ylabel() == "difference in test accuracy (points)"
    low, high = second.get_ylim()
    assert low < 0 < high


def test_the_title_is_the_finding():
    table = sweep_table()
    assert sweep_figure(table, x="gamma", title="As asked").get_suptitle() == "As asked"
    shown = " ".join(sweep_figure(table, x="gamma").get_suptitle().split())
    assert shown.startswith("gaussian: crossmodal KD minus no KD: ")
    assert "at γ = 0," in shown
    assert shown.endswith("at γ = 1")


def test_the_same_table_in_any_order_gives_the_same_picture():
    table = sweep_table()
    assert sweep_figure(table, x="gamma").png(dpi=30) == sweep_figure(
        table.sample(frac=1, random_state=0), x="gamma"
    ).png(dpi=30)


def test_wrong_input_is_refused():
    table = sweep_table()
    with pytest.raises(LabError, match="lacks the columns 'alpha'"):
        sweep_figure(table, x="alpha")
    for odd in (np.nan, "a"):
        with pytest.raises(LabError, match=rf"table\['gamma'\] = .*{odd}.*finite"):
            sweep_figure(table.assign(gamma=odd), x="gamma")
    for name in (None, ["gamma"]):
        with pytest.raises(LabError, match=r"x = .*the name of a column"):
            sweep_figure(table, x=name)
    with pytest.raises(LabError, match=r"published = .mm_kd.*cm_kd"):
        sweep_figure(table, x="gamma", published={"mm_kd": [[0, 1]]})
    with pytest.raises(LabError, match="pairs of x and value"):
        sweep_figure(table, x="gamma", published={"cm_kd": [[0.0, 1.0, 2.0]]})
    with pytest.raises(LabError, match=r"no cm_kd at gamma = 0\.25"):
        sweep_figure(table[~((table.arm == "cm_kd") & (table.gamma == 0.25))], x="gamma")
    with pytest.raises(LabError, match="same seeds"):
        sweep_figure(table[~((table.arm == "cm_kd") & (table.seed == 1))], x="gamma")
    with pytest.raises(LabError, match="reference = 'um_kd'"):
        sweep_figure(table, x="gamma", reference="um_kd")
