"""Colours that stay apart on paper, on screen and for colour-blind readers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mmkd_lab.plotting import palette

# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0: linear RGB as it reaches such an eye.
EYES = {
    "usual": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}
# sRGB to CIE XYZ, D65 (IEC 61966-2-1)
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(a: str, b: str, eye: np.ndarray) -> float:
    """CIE 1976 colour difference; 2.3 is just noticeable."""
    return float(np.linalg.norm(lab(eye @ linear(a)) - lab(eye @ linear(b))))


def contrast(colour: str) -> float:
    return 1.05 / (linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05)


TOGETHER = (
    "no_kd",
    "mm_kd",
    "kl_only",
    "unaligned_kd",
    "aligned_kd",
    "ms_kd",
    "random_kd",
    "weight_kd",
    "oracle_kd",
)
COLOURS = {"teacher": palette.TEACHER, "student": palette.STUDENT, "shared": palette.SHARED} | {
    name: palette.style_of(name)[1] for name in TOGETHER
}


def test_measures_agree_with_known_values():
    assert contrast("#000000") == pytest.approx(21.0)
    assert contrast("#777777") == pytest.approx(4.48, abs=0.01)
    assert lab(linear("#FFFFFF")) == pytest.approx([100, 0, 0], abs=0.02)
    assert lab(linear("#FF0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    # red and green of equal lightness fall together without green cones, blue and yellow do not
    assert distance("#A05000", "#5A7000", EYES["deuteranopia"]) < 0.3 * distance(
        "#A05000", "#5A7000", EYES["usual"]
    )
    assert distance("#0000FF", "#FFFF00", EYES["deuteranopia"]) > 100


@pytest.mark.parametrize("eye", EYES)
def test_random_and_weight_ranked_channels_cannot_be_taken_for_each_other(eye):
    assert distance(COLOURS["random_kd"], COLOURS["weight_kd"], EYES[eye]) > 25


def test_an_arm_has_the_colour_of_what_its_teacher_sees():
    assert palette.style_of("um_kd")[1] == palette.STUDENT
    assert palette.style_of("cm_kd")[1] == palette.TEACHER
    assert palette.style_of("mg_kd")[1] == palette.SHARED


@pytest.mark.parametrize("eye", EYES)
def test_colours_stay_apart(eye):
    near = {(a, b): distance(COLOURS[a], COLOURS[b], EYES[eye]) for a, b in combinations(COLOURS, 2)}
    assert min(near.values()) > 14, min(near, key=near.get)


@pytest.mark.parametrize("name", [*COLOURS, "ink", "quiet", "neutral"])
def test_colours_can_be_read_as_text_on_white(name):
    colour = {**COLOURS, "ink": palette.INK, "quiet": palette.QUIET, "neutral": palette.NEUTRAL}[name]
    assert contrast(colour) >= 4.5


@pytest.mark.parametrize("eye", EYES)
def test_for_and_against_are_the_colours_of_the_attribution_map(eye):
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    shades = colormaps[palette.ATTRIBUTION_MAP](np.linspace(0, 1, 256))[:, :3]
    for colour, half in ((palette.FOR, shades[128:]), (palette.AGAINST, shades[:128])):
        assert contrast(colour) >= 4.5
        assert min(distance(colour, to_hex(shade), EYES["usual"]) for shade in half) < 2.3
    assert distance(palette.FOR, palette.AGAINST, EYES[eye]) > 14


def test_an_arm_that_nobody_registered_has_its_own_name_and_comes_last():
    assert palette.style_of("zz_kd") == ("zz_kd", palette.NEUTRAL)
    assert palette.ordered(["zz_kd", "mm_kd", "a", "no_kd", "a"]) == ["no_kd", "mm_kd", "zz_kd", "a"]
