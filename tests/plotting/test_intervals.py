"""The interval figure: what is drawn stands at its number, and every word can be read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.plotting.intervals import REFERENCE, Panel, Row, Values, interval_figure
from tests.plotting.geometry import faults

ROWS = [Row("a", "first", "#C85200"), Row("b", "second", "#0072B2"), Row("c", "third", "#00564D")]
SEEDS = {"a": np.array([1.0, 2.0, 4.0]), "b": np.array([-3.0, 0.5, 2.0])}
ENTRIES = {**{key: Values(one) for key, one in SEEDS.items()}, "c": REFERENCE}
PANEL = Panel("difference", "points", ENTRIES, line=0.0, sides=("worse", "better"), digits=1, signed=True)


def draw(*panels: Panel, rows=ROWS, **options):
    return interval_figure(rows, panels or [PANEL], title="a finding", note="a note", **options)


def marks(ax, kind="o"):
    return {
        int(one.get_ydata()[0]): float(one.get_xdata()[0]) for one in ax.lines if one.get_marker() == kind
    }


def bars(ax):
    found = [one for one in ax.lines if len(one.get_xdata()) == 2 and len(set(one.get_ydata())) == 1]
    return {int(one.get_ydata()[0]): tuple(one.get_xdata()) for one in found}


def numbers(ax):
    return {text.get_text(): text.get_fontweight() for text in ax.texts}


def test_means_intervals_and_seeds_stand_at_their_numbers():
    (ax,) = draw().axes
    for y, values in enumerate(SEEDS.values()):
        seen = mean_interval(values)
        assert marks(ax)[y] == pytest.approx(seen.mean)
        assert bars(ax)[y] == pytest.approx((seen.low, seen.high))
        dots = ax.collections[y].get_offsets()
        np.testing.assert_allclose(np.sort(dots[:, 0]), np.sort(values))
        assert np.abs(dots[:, 1] - y).max() < 0.5
    assert marks(ax, "|") == {2: 0.0}
    assert ax.get_xlabel() == "points"
    assert ax.get_title(loc="left") == "difference"


def test_a_number_is_bold_only_where_the_interval_excludes_the_line():
    sure = replace(
        PANEL, entries={"a": Values(np.array([1.0, 1.1, 1.2])), "b": Values(np.array([1.0, -3.0]))}
    )
    told = numbers(draw(sure).axes[0])
    assert (told["+1.1"], told["−1.0"]) == ("bold", "normal")
    assert numbers(draw(replace(sure, line=1.1)).axes[0])["+1.1"] == "normal"


def test_one_seed_has_no_interval_and_given_ends_are_drawn_as_given():
    one = replace(
        PANEL, entries={"a": Values(np.array([2.0])), "b": Values(np.array([1.0]), ends=(0.5, 3.0))}
    )
    (ax,) = draw(one).axes
    assert bars(ax) == {1: (0.5, 3.0)}
    assert marks(ax)[0] == 2.0


def test_an_interval_can_be_cut_at_what_a_number_can_be():
    wide = Values(np.array([0.9, 0.2, 0.95]))
    assert wide.interval.high > 1
    assert wide.within(0.0, 1.0).interval.high == 1.0
    assert Values(np.array([0.3])).within(0.0, 1.0).ends is None


def test_what_has_no_values_says_so_in_words():
    (ax,) = draw(replace(PANEL, entries={"a": "no teacher", "b": Values(np.array([1.0, 2.0]))})).axes
    assert {"no teacher", "–"} <= set(numbers(ax))


def test_a_teacher_is_an_open_diamond():
    (ax,) = draw(replace(PANEL, entries={"a": Values(np.array([2.0, 3.0]), hollow=True)})).axes
    (diamond,) = [line for line in ax.lines if line.get_marker() == "D"]
    assert diamond.get_markerfacecolor() == "#FFFFFF"


def test_panels_of_one_scale_share_limits_and_others_do_not():
    far = {"a": Values(np.array([10.0, 30.0]))}
    first, second = replace(PANEL, scale="s"), replace(PANEL, entries=far, scale="s")
    shared = draw(first, second, PANEL, replace(PANEL, limits=(-7.0, 7.0))).axes
    assert shared[0].get_xlim() == shared[1].get_xlim() != shared[2].get_xlim()
    assert shared[3].get_xlim() == (-7.0, 7.0)


def test_the_zero_line_is_in_view_with_room_for_words_on_both_sides_once_a_line_of_panels():
    far = replace(PANEL, entries={"a": Values(np.array([50.0, 60.0]))})
    level = replace(PANEL, line=None, sides=None)
    for ax in draw(level, far, far).axes[1:]:
        low, high = ax.get_xlim()
        assert low < 0 < high
    told = [sum(text.get_text() == "better" for text in ax.texts) for ax in draw(level, far, far).axes]
    assert told == [0, 1, 0]


def test_the_rows_of_panels_side_by_side_stand_level():
    level = replace(PANEL, line=None, sides=None)
    first, second, third = draw(level, PANEL, level).axes
    assert first.get_ylim() == second.get_ylim() == third.get_ylim()


def test_an_outlying_row_leaves_the_frame_with_an_arrow_and_its_number():
    keys = [f"r{i}" for i in range(8)]
    rows = [Row(key, key, "#262626") for key in keys]
    entries = {key: Values(np.array([-1.0, 0.0, 1.0]) + i / 10) for i, key in enumerate(keys)}
    entries["r7"] = Values(np.array([-300.0, -310.0, -290.0]))
    figure = draw(replace(PANEL, entries=entries), rows=rows)
    (ax,) = figure.axes
    assert ax.get_xlim()[0] > -20
    assert marks(ax, "<") == {7: ax.get_xlim()[0]}
    assert "−300.0" in numbers(ax)
    assert "beyond the frame" in figure.get_supxlabel()
    assert "beyond" not in draw().get_supxlabel()


def test_a_narrow_figure_has_its_panels_under_each_other():
    wide, narrow = draw(PANEL, PANEL), draw(PANEL, PANEL, width=4.0)
    assert len({round(ax.get_position().y0, 3) for ax in wide.axes}) == 1
    assert len({round(ax.get_position().y0, 3) for ax in narrow.axes}) == 2
    assert narrow.get_size_inches()[0] == 4.0


LONG = "a_name_that_goes_on_and_on_without_a_space_until_nobody_reads_it_any_more_or_wants_to"


def many(n: int, scale: float = 1.0, off: float = 0.0):
    rng = np.random.default_rng(0)
    rows = [Row(str(i), f"arm {i}" if i % 5 else LONG, "#262626") for i in range(n)]
    return rows, {row.key: Values(off + scale * rng.normal(i % 4, 1.0, 10)) for i, row in enumerate(rows)}


@pytest.mark.parametrize(
    ("n", "scale", "off"),
    [(1, 1.0, 0.0), (3, 1e8, 1e9), (3, 1e-8, 1e-6), (4, 0.0, 50.0), (4, 1e-5, 1e6), (22, 1.0, 70.0)],
    ids=["one row", "huge", "tiny", "identical", "close together", "many"],
)
@pytest.mark.parametrize("width", [None, 4.6], ids=["usual", "narrow"])
def test_no_word_leaves_the_figure_or_covers_another(n, scale, off, width):
    rows, entries = many(n, scale, off)
    level = Panel(f"level {LONG}", "test accuracy (%)", entries)
    difference = replace(PANEL, entries={**entries, rows[0].key: REFERENCE}, digits=None)
    assert faults(draw(level, difference, replace(level, title="other"), rows=rows, width=width)) == []


def test_nothing_to_compare_is_refused():
    with pytest.raises(LabError, match="must hold something to compare"):
        interval_figure([], [PANEL], title="t")
