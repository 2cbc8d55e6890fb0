"""Pictures of attribution: maps on one symmetric scale in every shape, and the saliency of channels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from mmkd_lab.plotting import maps_figure, palette, saliency_figure
from tests.plotting.geometry import faults

rng = np.random.default_rng(0)
MAPS, COLUMNS = rng.normal(size=(3, 1, 6, 8)), rng.normal(size=(2, 5))
CHANNELS = pd.DataFrame(
    {"saliency": [0.2, -0.1, 0.9, 0.0], "rank": [2, 4, 1, 3], "magnitude": [1.0, 2.0, 3.0, 0.5]}
)


def images(figure):
    return [image for ax in figure.axes for image in ax.images]


def test_all_maps_share_one_scale_around_zero():
    figure = maps_figure(MAPS, inputs=MAPS, labels=["a", "b", "c"], title="What counts")
    drawn = [image for image in images(figure) if image.get_cmap().name == "PRGn"]
    assert len(drawn) == 3
    ((low, high),) = {image.get_clim() for image in drawn}
    assert low == -high
    assert high == pytest.approx(np.percentile(np.abs(MAPS), 99.5))
    np.testing.assert_array_equal(drawn[1].get_array(), MAPS[1, 0])
    assert faults(figure) == []


def test_channels_are_summed_and_colours_shown():
    values, inputs = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 3, 4, 4))
    drawn = images(maps_figure(values, inputs=inputs))
    np.testing.assert_allclose(drawn[2].get_array(), values[0].sum(0))
    assert drawn[0].get_array().shape == (4, 4, 3)


def test_spectrograms_have_low_bands_at_the_bottom():
    assert images(maps_figure(MAPS[:1], kind="spectrogram"))[0].origin == "lower"
    assert images(maps_figure(MAPS[:1]))[0].origin == "upper"


def test_columns_and_tokens_are_bars_with_words():
    figure = maps_figure(COLUMNS, kind="tokens", tokens=[list("abcde"), list("vwxyz")], labels=["one", "two"])
    ax = figure.axes[1]
    assert [word.get_text() for word in ax.get_xticklabels()] == list("vwxyz")
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], COLUMNS[1])
    assert len({(bar.get_height() >= 0, bar.get_facecolor()) for bar in ax.patches}) == 2
    assert faults(figure) == []


def test_cells_beyond_the_scale_are_counted_aloud_and_zeros_can_be_drawn():
    values = np.zeros((1, 10, 10))
    assert images(maps_figure(values))[0].get_clim() == (-1.0, 1.0)
    values[0, 0, 0], values[0, 5, 5] = 100.0, 1.0
    assert "1 of 100 cells lie beyond" in " ".join(maps_figure(values, clip=99.0).get_supxlabel().split())
    assert "beyond" not in maps_figure(values, clip=100.0).get_supxlabel()


def test_channels_go_down_by_rank_and_kept_ones_are_green():
    figure = saliency_figure(CHANNELS, keep=1)
    bars, dots = figure.axes
    assert [bar.get_height() for bar in bars.patches] == [0.9, 0.2, 0.0, -0.1]
    kept, gone = to_rgba(palette.SHARED), to_rgba(palette.TEACHER)
    assert [bar.get_facecolor() for bar in bars.patches] == [kept, gone, gone, gone]
    assert dots.collections[0].get_offsets().tolist() == [[3.0, 0.9], [1.0, 0.2], [0.5, 0.0], [2.0, -0.1]]
    assert {text.get_text() for text in bars.texts} == {"1 kept", "3 removed"}
    assert "4 channels, 1 below 0" in figure.get_supxlabel()
    assert faults(figure) == []


def test_without_weights_there_is_one_panel_and_by_default_all_are_kept():
    (ax,) = saliency_figure(CHANNELS.drop(columns="magnitude")).axes
    assert {bar.get_facecolor() for bar in ax.patches} == {to_rgba(palette.SHARED)}
    assert list(ax.texts) == []
