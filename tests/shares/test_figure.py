"""The diagram: areas to scale, labels apart, and no circles for XOR."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Annotation, Text

from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import Interval
from mmkd_lab.plotting.palette import SHARED, STUDENT, TEACHER, soft
from mmkd_lab.plotting.venn import venn_figure
from mmkd_lab.plotting.venn_bar import COLOURS
from mmkd_lab.shares.shares import ModalityShares, from_masses

ENDS = {name: Interval(0.3, 0.2, 0.4, 100) for name in ("alpha", "beta", "gamma_union")}
SHARES = {
    "usual": ModalityShares(0.3, 0.2, 0.5, "by hand", 0.1, 0.25, 2000, ENDS),
    "gamma 0": ModalityShares(0.5, 0.5, 0.0, "by hand", 0.0, 0.3),
    "gamma 1": ModalityShares(0.0, 0.0, 1.0, "by hand", 0.0, 0.5),
    "tiny alpha": ModalityShares(0.01, 0.29, 0.7, "by hand"),
    "tiny gamma": ModalityShares(0.49, 0.49, 0.02, "by hand", None, 0.4),
    "one inside": ModalityShares(0.6, 0.0, 0.4, "by hand", 0.0, 0.2),
    "only a": ModalityShares(1.0, 0.0, 0.0, "by hand"),
    "lopsided": ModalityShares(0.93, 0.02, 0.05, "by hand", 0.3, 0.6),
}
XOR = {
    "mostly": from_masses([0.02, 0.01, 0.05, 0.9, 0.1], method="by hand"),
    "purely": from_masses([0, 0, 0, 0.9, 0.1], method="by hand"),
    "nothing": from_masses([0, 0, 0, 0, 1.0], method="by hand"),
}
LONG = ("facial action units of the clip", "spectral statistics of the voice")


def regions(figure):
    """{part: patch} of the circles that can be seen."""
    patches = [patch for patch in figure.axes[0].patches if (patch.get_gid() or "").startswith("venn-")]
    return {patch.get_gid()[5:]: patch for patch in patches if patch.get_visible()}


def area(patch) -> float:
    """By the shoelace formula on the finely drawn outline, holes included."""
    path = patch.get_path().transformed(patch.get_patch_transform())
    total = 0.0
    for polygon in path.to_polygons(closed_only=True):
        x, y = polygon.T
        total += 0.5 * float(x[:-1] @ y[1:] - x[1:] @ y[:-1])
    return abs(total)


def texts(figure) -> list[Text]:
    found = [text for ax in figure.axes for text in ax.texts] + list(figure.texts)
    ticks = [label for ax in figure.axes if ax.axison for label in ax.get_yticklabels()]
    titles = [ax.title for ax in figure.axes] + [ax._left_title for ax in figure.axes]
    also = [figure._suptitle, figure._supxlabel]
    every = {id(text): text for text in found + ticks + titles + also if text is not None}
    return [text for text in every.values() if text.get_text() and text.get_visible()]


@pytest.mark.parametrize("name", SHARES)
def test_areas_are_the_shares(name):
    shares, figure = SHARES[name], venn_figure(SHARES[name])
    drawn = regions(figure)
    expected = {
        part: shares.value("gamma_union" if part == "gamma" else part) for part in ("alpha", "beta", "gamma")
    }
    assert set(drawn) == {part for part, share in expected.items() if share >= 0.005}
    for part, patch in drawn.items():
        assert area(patch) == pytest.approx(expected[part], rel=0.01, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "names"), [(name, LONG) for name in (*SHARES, *XOR)] + [("usual", ("a", "b"))]
)
def test_no_text_covers_another_or_leaves_the_figure(name, names):
    figure = venn_figure({**SHARES, **XOR}[name], names=names)
    figure.png(dpi=100)  # lays everything out
    boxes = {text: Text.get_window_extent(text) for text in texts(figure)}
    for one, two in combinations(boxes, 2):
        assert not boxes[one].overlaps(boxes[two]), (one.get_text(), two.get_text())
    width, height = figure.bbox.width, figure.bbox.height
    for text, box in boxes.items():
        across, up = (box.x0, width - box.x1), (box.y0, height - box.y1)
        assert min(*across, *up) >= -1, text.get_text()


def test_colours_are_the_labs_own():
    assert (COLOURS["alpha"], COLOURS["beta"], COLOURS["gamma"]) == (TEACHER, STUDENT, SHARED)
    drawn = regions(venn_figure(SHARES["usual"]))
    for part, patch in drawn.items():
        assert patch.get_facecolor()[:3] == pytest.approx(soft(COLOURS[part]))


@pytest.mark.parametrize("name", XOR)
def test_xor_draws_no_circles_and_says_so(name):
    figure = venn_figure(XOR[name], names=("voice", "face"))
    assert regions(figure) == {}
    said = " ".join(text.get_text() for text in texts(figure))
    assert "No diagram" in said
    assert ("XOR-type" in said) == (name != "nothing")


def test_bars_are_the_whole():
    for shares in SHARES.values():
        bars = [patch for patch in venn_figure(shares).axes[1].patches if hasattr(patch, "get_height")]
        heights = dict(
            zip(
                ("alpha", "gamma", "beta", "synergy", "unobserved"),
                (bar.get_height() for bar in bars),
                strict=True,
            )
        )
        assert heights == pytest.approx(shares.whole, abs=1e-9)
        assert sum(heights.values()) == pytest.approx(1.0)


def test_labels_tell_shares_and_intervals():
    figure = venn_figure(SHARES["usual"], names=("voice", "face"))
    said = [text.get_text() for text in figure.axes[0].texts if isinstance(text, Annotation)]
    assert any("voice" in one and "30% [20, 40]" in one for one in said)
    assert "50%" in figure.get_suptitle()


def test_what_the_method_cannot_see_is_said():
    said = " ".join(text.get_text() for text in venn_figure(SHARES["tiny alpha"]).axes[1].texts)
    assert said.count("not seen by this method") == 2


def test_a_table_will_do_and_gives_the_same_picture():
    assert venn_figure(SHARES["usual"].to_table()).png() == venn_figure(SHARES["usual"]).png()


def test_wrong_input_is_refused():
    table = SHARES["usual"].to_table()
    with pytest.raises(LabError, match=r"lacks the columns \['low'\]"):
        venn_figure(table.drop(columns="low"))
    with pytest.raises(LabError, match="lacks the quantity 'synergy'"):
        venn_figure(table[table["quantity"] != "synergy"])
    with pytest.raises(LabError, match=r"names = \('a', 'a'\)"):
        venn_figure(table, names=("a", "a"))
    table.loc[table["quantity"] == "alpha", "value"] = 1.7
    with pytest.raises(LabError, match=r"alpha = 1\.7: must be a share"):
        venn_figure(table)
    table.loc[table["quantity"] == "alpha", "value"] = np.nan
    with pytest.raises(LabError, match="alpha \\+ beta \\+ gamma_union = nan"):
        venn_figure(table)
