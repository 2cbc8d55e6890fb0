"""The figure of channel saliency: what is drawn, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from mmkd_lab.core.check import LabError
from mmkd_lab.plotting import palette
from mmkd_lab.plotting.saliency import saliency_figure
from tests.plotting.geometry import faults

SALIENCY = np.array([0.2, -0.1, 0.9, 0.0])


def table(*, magnitude=True):
    rank = np.array([2, 4, 1, 3])
    found = pd.DataFrame({"channel": range(4), "saliency": SALIENCY, "rank": rank})
    return found.assign(magnitude=[1.0, 2.0, 3.0, 0.5]) if magnitude else found


def test_bars_go_down_by_rank_and_kept_ones_are_green():
    figure = saliency_figure(table(), keep=1)
    bars, dots = figure.axes
    assert [bar.get_height() for bar in bars.patches] == [0.9, 0.2, 0.0, -0.1]
    kept, gone = to_rgba(palette.SHARED), to_rgba(palette.TEACHER)
    assert [bar.get_facecolor() for bar in bars.patches] == [kept, gone, gone, gone]
    points = dots.collections[0].get_offsets().tolist()
    assert points == [[3.0, 0.9], [1.0, 0.2], [0.5, 0.0], [2.0, -0.1]]
    assert {text.get_text() for text in bars.texts} == {"1 kept", "3 removed"}
    assert "4 channels, 1 below 0" in figure.get_supxlabel()


def test_without_weights_there_is_one_panel_and_by_default_all_are_kept():
    figure = saliency_figure(table(magnitude=False))
    assert len(figure.axes) == 1
    assert {bar.get_facecolor() for bar in figure.axes[0].patches} == {to_rgba(palette.SHARED)}
    assert list(figure.axes[0].texts) == []


@pytest.mark.parametrize("magnitude", [True, False], ids=["two panels", "one panel"])
def test_no_word_leaves_the_figure_or_covers_another(magnitude):
    assert faults(saliency_figure(table(magnitude=magnitude), keep=2, title="A finding in some words")) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"table": table().drop(columns="rank")}, ["table", "'rank'"]),
        ({"table": table().head(0)}, ["no rows", "at least one"]),
        ({"table": table(), "keep": 5}, ["keep = 5", "at most 4"]),
        ({"table": table(), "keep": 0}, ["keep = 0", "at least 1"]),
    ],
)
def test_bad_input_is_named(given, words):
    with pytest.raises(LabError) as raised:
        saliency_figure(given.pop("table"), **given)
    assert all(word in str(raised.value) for word in words)
