"""The figure itself: sizes, files, line breaks, labels moved apart."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from mmkd_lab.core.check import LabError
from mmkd_lab.plotting.axes import jitter, padded, said, spread
from mmkd_lab.plotting.canvas import LabFigure, style
from tests.plotting.geometry import faults


def drawn() -> LabFigure:
    figure = LabFigure((5.0, 3.0))
    with style():
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1])
        ax.set_xlabel("time (s)")
        figure.headline("A line rises")
        figure.note("One line.")
    return figure


def test_png_is_twice_the_size_it_is_shown_at():
    figure = drawn()
    assert struct.unpack(">II", figure.png()[16:24]) == (1000, 600)
    data, metadata = figure._repr_mimebundle_()
    assert metadata["image/png"] == {"width": 500, "height": 300}
    assert data["image/png"] == figure._repr_png_() == figure.png()
    assert data["text/plain"] == "<LabFigure 5 x 3 in: A line rises>"


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_same_figure_is_the_same_file(tmp_path, suffix):
    first = drawn().save(tmp_path / f"a{suffix}").read_bytes()
    with mpl.rc_context({"svg.hashsalt": "other", "font.size": 30, "savefig.facecolor": "red"}):
        second = drawn().save(tmp_path / f"b{suffix}").read_bytes()
    assert first == second
    assert b"<dc:date>" not in first
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"a{suffix}", f"b{suffix}"]


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(LabError, match=r"path = '.jpg'.*'.svg' or '.png'"):
        drawn().save(tmp_path / "a.jpg")
    with pytest.raises(LabError, match="path = None: must be a path"):
        drawn().save(None)


@pytest.mark.parametrize("dpi", [0, "200"])
def test_a_wrong_resolution_is_refused(dpi):
    with pytest.raises(LabError, match=f"dpi = {dpi!r}: .*at least 20 and at most 1200"):
        drawn().png(dpi=dpi)


@pytest.mark.parametrize("size", [(0.5, 3.0), (3.0, 41.0), (3.0, float("nan")), (3.0,), 3.0])
def test_a_wrong_size_is_refused(size):
    with pytest.raises(LabError, match="size = "):
        LabFigure(size)


@pytest.mark.parametrize("text", ["word " * 60, "x" * 300, "short", "an_unbroken_" * 20 + " and a tail"])
def test_a_headline_fits_whatever_it_says(text):
    figure = LabFigure((4.0, 6.0))
    figure.subplots()
    shown = figure.headline(text).get_text()
    assert faults(figure) == []
    assert "".join(shown.split()) == "".join(text.split())


def test_an_interval_is_never_broken():
    figure = LabFigure((4.0, 4.0))
    for pad in range(12):
        lines = figure.fit("w" * pad + " the student gains +1.2 [−0.35, 2.75] points", size=12).split("\n")
        assert sum("[−0.35,\u00a02.75]" in line for line in lines) == 1


def test_dollar_signs_are_not_mathematics():
    figure = LabFigure((4.0, 3.0))
    assert figure.headline("a$b$c").get_parse_math() is False


def test_pyplot_is_never_imported():
    code = "import sys, mmkd_lab.plotting; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_jitter_is_fixed_even_and_bounded():
    offsets = jitter(100, width=0.2)
    assert np.array_equal(offsets, jitter(100, width=0.2))
    assert np.abs(offsets).max() <= 0.2
    assert np.diff(np.sort(offsets)).max() < 0.02
    assert jitter(1, width=0.2).tolist() == [0.0]


def test_spread_keeps_order_gap_and_centre():
    assert spread([0.0, 10.0], gap=2.0) == [0.0, 10.0]
    assert spread([5.0, 5.0, 5.0], gap=2.0) == pytest.approx([3.0, 5.0, 7.0])
    rng = np.random.default_rng(0)
    for _ in range(50):
        wanted = rng.normal(0, 5, 8).tolist()
        found = spread(wanted, gap=1.5)
        assert np.argsort(found).tolist() == np.argsort(wanted).tolist()
        assert np.diff(np.sort(found)).min() >= 1.5 - 1e-9
        assert np.mean(found) == pytest.approx(np.mean(wanted))


def test_padded_never_collapses():
    low, high = padded([50.0, 50.0], least=1.0)
    assert low < 50.0 < high
    assert high - low >= 1.0
    assert padded([0.0, 0.0])[0] < 0 < padded([0.0, 0.0])[1]
    low, high = padded([1e9, 1e9 + 1])
    assert low < 1e9 < 1e9 + 1 < high < 1e9 + 2


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(1.25, 1, "+1.2"), (-0.04, 1, "0.0"), (0.0, 2, "0.00"), (-3.14159, 2, "−3.14"), (2.5e9, 1, "+2.50e9")],
)
def test_numbers_have_a_true_minus_and_none_at_zero(value, digits, expected):
    assert said(value, digits, signed=True) == expected
    assert said(-4e-9, 2) == "−4.00e−9"


def test_the_geometry_check_sees_what_it_should():
    figure = LabFigure((4.0, 3.0))
    figure.text(0.5, 0.5, "one")
    figure.text(0.5, 0.5, "two")
    figure.text(0.97, 0.1, "sticking out")
    assert faults(figure) == ["'sticking out' leaves the figure", "'one' covers 'two'"]
    assert faults(drawn()) == []


def test_a_png_has_few_colours_unless_that_would_be_seen():
    chart = drawn()
    small, full = Image.open(io.BytesIO(chart.png())), painted(chart)
    assert small.mode == "P"
    assert np.abs(np.asarray(small.convert("RGB"), dtype=int) - full).max() <= 6
    photo = LabFigure((2.0, 2.0))
    photo.subplots().imshow(np.random.default_rng(0).random((200, 200, 3)))
    assert Image.open(io.BytesIO(photo.png())).mode == "RGB"


def painted(figure):
    """(height, width, 3) as matplotlib paints it."""
    held = io.BytesIO()
    with style():
        figure.draw_without_rendering()
        figure.savefig(held, format="png", dpi=200)
    return np.asarray(Image.open(held).convert("RGB"), dtype=int)
