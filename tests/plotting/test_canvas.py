"""The figure itself: sizes, files, line breaks, labels moved apart, names in any script."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.font_manager import findfont, get_font
from PIL import Image

from mmkd_lab.plotting.axes import jitter, padded, said, spread
from mmkd_lab.plotting.canvas import LabFigure, fit, style
from mmkd_lab.plotting.fonts import BASE, families, readable
from tests.plotting.geometry import faults

NOWHERE = "\ufff0"  # in no font
SCRIPTS = ["διδάσκαλος", "учитель", "教師モデル", "학생", "معلم", "a\tb\x07", "😀", NOWHERE, "a$b$c_d^e"]


def drawn() -> LabFigure:
    figure = LabFigure((5.0, 3.0))
    with style():
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1])
        ax.set_xlabel("time (s)")
        figure.headline("A line rises")
        figure.note("One line.")
    return figure


def test_png_has_twice_the_size_it_is_shown_at_and_few_colours_unless_that_would_be_seen():
    figure = drawn()
    data, metadata = figure._repr_mimebundle_()
    assert struct.unpack(">II", data["image/png"][16:24]) == (1000, 600)
    assert metadata["image/png"] == {"width": 500, "height": 300}
    assert data["image/png"] == figure._repr_png_()
    assert data["text/plain"] == "<LabFigure 5 x 3 in: A line rises>"
    held = io.BytesIO()
    with style():
        figure.savefig(held, format="png", dpi=200)
    small, full = (Image.open(one) for one in (io.BytesIO(figure.png()), held))
    assert small.mode == "P"
    shades = [np.asarray(one.convert("RGB"), dtype=int) for one in (small, full)]
    assert np.abs(shades[0] - shades[1]).max() <= 6
    photo = LabFigure((1.0, 1.0))
    photo.subplots().imshow(np.random.default_rng(0).random((100, 100, 3)))
    assert Image.open(io.BytesIO(photo.png())).mode == "RGB"


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_same_figure_is_the_same_file(tmp_path, suffix):
    first = drawn().save(tmp_path / f"a{suffix}").read_bytes()
    with mpl.rc_context({"svg.hashsalt": "other", "font.size": 30, "savefig.facecolor": "red"}):
        second = drawn().save(tmp_path / f"b{suffix}").read_bytes()
    assert first == second
    assert b"<dc:date>" not in first
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"a{suffix}", f"b{suffix}"]


@pytest.mark.parametrize("text", ["word " * 60, "x" * 300, "an_unbroken_" * 20 + " and $a tail$"])
def test_a_headline_fits_whatever_it_says(text):
    figure = LabFigure((4.0, 6.0))
    figure.subplots()
    shown = figure.headline(text)
    assert faults(figure) == []
    assert "".join(shown.get_text().split()) == "".join(text.split())
    assert not shown.get_parse_math()  # a dataset may be called a$b


def test_an_interval_is_never_broken():
    for pad in range(12):
        lines = fit("w" * pad + " the student gains +1.2 [−0.35, 2.75] points", 3.88, 12.0).split("\n")
        assert sum("[−0.35,\u00a02.75]" in line for line in lines) == 1


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
    for same in (50.0, 0.0):
        low, high = padded([same, same], least=1.0)
        assert low < same < high
        assert high - low >= 1.0
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
    for x, y, text in ((0.5, 0.5, "one"), (0.5, 0.5, "two"), (0.97, 0.1, "sticking out")):
        figure.text(x, y, text)
    assert faults(figure) == ["'sticking out' leaves the figure", "'one' covers 'two'"]
    assert faults(drawn()) == []


def test_letters_that_can_be_drawn_stay_and_others_are_told():
    assert readable("διδάσκαλος, naïve Größe\nI(H₁;H₂) − 1") == "διδάσκαλος, naïve Größe\nI(H₁;H₂) − 1"
    assert readable(f"a {NOWHERE}\tb") == "a \\ufff0 b"
    assert readable("\U000fffff") == "\\U000fffff"
    assert readable("ＡＢ") in ("AB", "ＡＢ")  # full-width letters, where no font has them
    for name in SCRIPTS:
        text = readable(name)
        known = set().union(*(get_font(findfont(family)).get_charmap() for family in families(text)))
        assert {ord(letter) for letter in text} <= known
        assert families(text)[0] == BASE


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_figure_full_of_names_is_drawn_without_a_warning(suffix, caplog):
    other = next(
        one for one in ("\U0001d538\u2a5e", "\u2a75\u27c0", "\ue260") if len(families(readable(one))) > 1
    )
    figure = LabFigure((7.0, 6.0))
    with style():
        ax = figure.subplots()
        ax.set_yticks(range(len(SCRIPTS)), SCRIPTS)
        ax.set_xlabel(SCRIPTS[2])
        ax.text(0.1, 3, SCRIPTS[4])
    shown = figure.headline(other + " ".join(SCRIPTS))
    figure.savefig(io.BytesIO(), format=suffix, dpi=40)
    assert caplog.records == []
    assert [text.get_text() for text in ax.get_yticklabels()] == [readable(name) for name in SCRIPTS]
    assert set(families(other)) <= set(shown.get_fontfamily())  # drawn with the font that has it
    assert faults(figure) == []
