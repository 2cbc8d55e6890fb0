"""Names in any script: drawn, or told by their codes; never boxes, never a warning."""

from __future__ import annotations

import io

import pytest
from matplotlib.font_manager import findfont, get_font

from mmkd_lab.plotting.canvas import LabFigure, style
from mmkd_lab.plotting.fonts import BASE, families, readable
from tests.plotting.geometry import faults

NOWHERE = "\ufff0"  # in no font
NAMES = [
    "διδάσκαλος",
    "учитель",
    "教師モデル",
    "老师和学生",
    "학생",
    "معلم",
    "a\tb\x07",
    "😀",
    NOWHERE,
    "a$b$c_d^e",
]


def test_letters_that_can_be_drawn_stay_and_others_are_told():
    assert readable("διδάσκαλος, naïve Größe\nI(H₁;H₂) − 1") == "διδάσκαλος, naïve Größe\nI(H₁;H₂) − 1"
    assert readable(f"a {NOWHERE}") == "a \\ufff0"
    assert readable("\U000fffff") == "\\U000fffff"
    assert readable("a\tb") == "a b"
    assert readable("ＡＢ") in ("AB", "ＡＢ")  # full-width letters, where no font has them


@pytest.mark.parametrize("name", NAMES)
def test_every_letter_of_a_readable_text_is_in_one_of_its_fonts(name):
    text = readable(name)
    known = set().union(*(get_font(findfont(family)).get_charmap() for family in families(text)))
    assert {ord(letter) for letter in text if letter != "\n"} <= known
    assert families(text)[0] == BASE


def test_a_letter_of_another_font_is_drawn_with_that_font():
    text = next(
        one for one in ("\U0001d538\u2a5e", "\u2a75\u27c0", "\ue260") if len(families(readable(one))) > 1
    )
    assert readable(text) == text
    figure = LabFigure((4.0, 3.0))
    shown = figure.headline(text)
    figure.png(dpi=40)
    assert shown.get_fontfamily() == families(text)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_figure_full_of_names_is_drawn_without_a_warning(suffix, caplog):
    figure = LabFigure((7.0, 6.0))
    with style():
        ax = figure.subplots()
        ax.set_yticks(range(len(NAMES)), NAMES)
        ax.set_xlabel(NAMES[2])
        ax.set_title(NAMES[3])
        ax.text(0.1, 3, NAMES[4])
    figure.headline(" ".join(NAMES))
    figure.savefig(io.BytesIO(), format=suffix, dpi=40)
    assert caplog.records == []
    assert [text.get_text() for text in ax.get_yticklabels()] == [readable(name) for name in NAMES]
    assert faults(figure) == []
