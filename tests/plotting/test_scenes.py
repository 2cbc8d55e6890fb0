"""Scenes: what is painted where, in the last column too, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mmkd_lab.core.check import LabError
from mmkd_lab.data import load
from mmkd_lab.plotting import palette, scenes_figure

WHITE, RIGHT, WRONG = (1.0, 1.0, 1.0), to_rgb(palette.GRID), to_rgb(palette.INK)


@pytest.fixture(scope="module")
def rooms():
    return load("rooms", n_train=4, n_val=2, n_test=5, height=16, width=20, objects=1)


def painted(figure, row, column):
    columns = len({ax.get_subplotspec().colspan.start for ax in figure.axes})
    return np.asarray(figure.axes[row * columns + column].images[0].get_array())


def other(target):
    """Every object's class is the other of its kind; no class where there is none."""
    return np.where(target > 0, ((target - 1) ^ 1) + 1, np.maximum(target, 0))


def test_the_difference_says_who_is_right(rooms):
    target = rooms.target[rooms.positions("test")].numpy()
    first, second = np.maximum(target, 0), other(target)
    second[2] = first[2]
    figure = scenes_figure(rooms, {"teacher": first, "student": second}, positions=[2, 0])
    titles = [ax.get_title("center") for ax in figure.axes[:6]]
    assert titles == ["rgb", "depth", "truth", "teacher", "student", "difference"]
    for row, scene in enumerate((2, 0)):
        here, shown = target[scene], painted(figure, row, 5)
        objects = to_rgb(palette.TEACHER) if scene == 0 else RIGHT
        for pixels, colour in ((here < 0, WHITE), (here == 0, RIGHT), (here > 0, objects)):
            np.testing.assert_allclose(shown[pixels], np.broadcast_to(colour, (pixels.sum(), 3)))
        np.testing.assert_allclose(painted(figure, row, 2), painted(figure, row, 3))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[: len(rooms.classes)] == list(rooms.classes)
    assert labels[-4:] == ["both right", "only teacher right", "only student right", "both wrong"]


def test_logits_are_read_as_the_classes_they_name(rooms):
    target = rooms.target[rooms.positions("test")].numpy()
    logits = np.moveaxis(np.eye(len(rooms.classes))[other(target)], -1, 1)
    figure = scenes_figure(rooms, {"student": logits}, count=5)
    assert figure.axes[4].get_title("center") == "wrong"
    shown = np.concatenate([painted(figure, row, 4) for row in range(5)])
    colours = {tuple(one) for one in shown.reshape(-1, 3).round(6).tolist()}
    assert colours == {tuple(np.round(one, 6)) for one in (WHITE, RIGHT, WRONG)}


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"answers": {}}, "at least one answer"),
        ({"answers": {"a": np.zeros((5, 3, 3), int)}}, r"answers\['a'\] = \(5, 3, 3\)"),
        ({"positions": [5]}, "positions"),
        ({"count": 6}, "must be at most 5"),
    ],
)
def test_what_cannot_be_drawn_is_refused(rooms, how, told):
    answers = {"student": np.zeros((5, 16, 20), int)}
    with pytest.raises(LabError, match=told):
        scenes_figure(rooms, **{"answers": answers, **how})


def test_one_class_a_sample_is_refused():
    with pytest.raises(LabError, match="a class for every pixel"):
        scenes_figure(load("gaussian"), {"student": np.zeros(1000)})
