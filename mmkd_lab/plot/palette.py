"""The one place for colours and names in figures.

A colour means the same thing in every figure. What the teacher modality alone carries is vermilion, what the
student modality carries is blue, what both share is dark green. An arm has the colour
of what its teacher sees.
Every colour has a contrast of at least 4.5 on white, so that it can colour text (WCAG 2.2, 1.4.3), and all of
them stay apart for people without red or green cones; `tests/plot/test_palette.py` measures both.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmkd_lab.base.check import LabError, listing

TEACHER = "#C85200"
STUDENT = "#0072B2"
SHARED = "#00564D"

INK = "#262626"  # text
QUIET = "#6E6E6E"  # notes and axis text
GRID = "#E6E6E6"
PAPER = "#FFFFFF"

#: Colour maps: grey for pictures, a perceptually even one for spectrograms.
PICTURE_MAP = "gray"
SPECTROGRAM_MAP = "magma"

#: Attributions, diverging and readable without red or green cones: what counts for the class is green, what
#: counts against it purple. The two colours are those of the map, dark enough for text.
ATTRIBUTION_MAP = "PRGn"
FOR, AGAINST = "#1B7837", "#762A83"


@dataclass(frozen=True)
class Look:
    """How one arm looks: its colour, what figures call it, and its mark where many arms share a panel."""

    colour: str
    label: str
    mark: str = "o"


#: In the order in which arms are listed in every figure.
ARMS: dict[str, Look] = {
    "no_kd": Look("#737373", "no KD"),
    "um_kd": Look(STUDENT, "unimodal KD"),
    "cm_kd": Look(TEACHER, "crossmodal KD", "s"),
    "mm_kd": Look("#5B1A6E", "multimodal KD"),
    "kl_only": Look("#6E2500", "crossmodal KL only"),
}

#: The arms of a repaired teacher, listed after the others. What keeps the shared channels is dark green.
REPAIRS: dict[str, Look] = {
    "aligned_kd": Look("#966E38", "aligned KD", "P"),
    "mg_kd": Look(SHARED, "modality-general KD", "D"),
    "ms_kd": Look("#9D004A", "modality-specific KD", "v"),
    "random_kd": Look("#2F4BE0", "random-channel KD", "X"),
    "weight_kd": Look("#CC00AA", "|W|-ranked KD", "^"),
    "oracle_kd": Look("#101010", "oracle KD", "*"),
}


def look(arm: str) -> Look:
    """The look of an arm. Raises `LabError` for an arm that has none."""
    known = {**ARMS, **REPAIRS}
    if arm not in known:
        raise LabError(
            "arm", arm, f"has no colour, unlike {listing(list(known))}", "Give it one in plot/palette.py."
        )
    return known[arm]
