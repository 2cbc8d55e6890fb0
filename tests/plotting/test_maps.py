"""Pictures of attribution maps: one symmetric scale, every shape, every wrong shape refused."""

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.plotting.maps import maps_figure

rng = np.random.default_rng(0)
MAPS = rng.normal(size=(3, 1, 6, 8))
COLUMNS = rng.normal(size=(2, 5))


def images(figure):
    return [image for ax in figure.axes for image in ax.images]


def test_all_maps_share_one_scale_around_zero():
    figure = maps_figure(MAPS, inputs=MAPS, labels=["a", "b", "c"], title="What counts")
    drawn = [image for image in images(figure) if image.get_cmap().name == "PRGn"]
    assert len(drawn) == 3
    limits = {image.get_clim() for image in drawn}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low == -high
    assert high == pytest.approx(np.percentile(np.abs(MAPS), 99.5))
    np.testing.assert_array_equal(drawn[1].get_array(), MAPS[1, 0])


def test_channels_are_summed_and_colours_shown():
    values, inputs = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 3, 4, 4))
    drawn = images(maps_figure(values, inputs=inputs))
    np.testing.assert_allclose(drawn[2].get_array(), values[0].sum(0))
    assert drawn[0].get_array().shape == (4, 4, 3)


def test_spectrograms_have_low_bands_at_the_bottom():
    figure = maps_figure(MAPS[:1], kind="spectrogram")
    assert images(figure)[0].origin == "lower"


def test_columns_and_tokens_are_bars_with_words():
    figure = maps_figure(COLUMNS, kind="tokens", tokens=[list("abcde"), list("vwxyz")], labels=["one", "two"])
    ax = figure.axes[1]
    assert [word.get_text() for word in ax.get_xticklabels()] == list("vwxyz")
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], COLUMNS[1])
    colours = [(bar.get_height() >= 0, bar.get_facecolor()) for bar in ax.patches]
    assert len(set(colours)) == 2


def test_cells_beyond_the_scale_are_counted_aloud():
    values = np.zeros((1, 10, 10))
    values[0, 0, 0], values[0, 5, 5] = 100.0, 1.0
    figure = maps_figure(values, clip=99.0)
    assert "1 of 100 cells lie beyond" in " ".join(figure.get_supxlabel().split())
    assert "beyond" not in maps_figure(values, clip=100.0).get_supxlabel()


def test_maps_of_nothing_but_zero_can_be_drawn():
    assert images(maps_figure(np.zeros((1, 4, 4))))[0].get_clim() == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"values": np.zeros(3)}, r"values = \(3,\): must be \(N, D\)"),
        ({"values": np.full((1, 2, 2), np.nan)}, "values = 'NaN or infinite values'"),
        ({"values": np.zeros((0, 2, 2))}, "values = "),
        ({"values": np.zeros((17, 2, 2))}, "values = '17 samples': must hold at most 16"),
        ({"values": MAPS, "inputs": MAPS[:2]}, r"inputs = \(2, 1, 6, 8\): must have the shape of values"),
        ({"values": MAPS, "kind": "picture"}, "kind = 'picture'"),
        ({"values": MAPS, "kind": "tokens"}, r"kind = 'tokens': does not fit \(N, H, W\)"),
        ({"values": COLUMNS, "kind": "image"}, r"kind = 'image': does not fit \(N, D\)"),
        ({"values": MAPS, "labels": ["a"]}, r"labels = \['a'\]: must be 3, one per sample"),
        ({"values": COLUMNS, "tokens": [["a"] * 5] * 2}, "tokens = 'given': belongs to kind='tokens'"),
        (
            {"values": COLUMNS, "kind": "tokens", "tokens": [["a"]]},
            r"tokens = \[1\]: must be 2 lists of 5 words",
        ),
        ({"values": object()}, r"values = 'object': must be an array of numbers. .* give maps.values"),
        ({"values": [[1.0], [1.0, 2.0]]}, "values = 'list': must be an array of numbers"),
        ({"values": torch.ones(2, 2, requires_grad=True)}, "values = 'Tensor': must be an array of numbers"),
        ({"values": MAPS, "inputs": object()}, "inputs = 'object': must be an array of numbers"),
        ({"values": MAPS, "clip": 0.0}, "clip = 0.0"),
    ],
)
def test_refused(settings, message):
    settings = dict(settings)
    with pytest.raises(LabError, match=message):
        maps_figure(settings.pop("values"), **settings)
