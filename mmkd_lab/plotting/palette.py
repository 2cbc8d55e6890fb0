"""The one place for colours and names in figures.

A colour means the same thing in every figure. What the teacher modality alone carries is vermilion, what the
student modality carries is blue, what both share is dark green. An arm has the colour
of what its teacher sees.
Every colour has a contrast of at least 4.5 on white, so that it can colour text (WCAG 2.2, 1.4.3), and all of
them stay apart for people without red or green cones; `tests/plotting/test_palette.py` measures both.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmkd_lab.core.check import LabError, listing

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
    "unaligned_kd": Look("#000088", "unaligned KD", "<"),
    "aligned_kd": Look("#966E38", "aligned KD", "P"),
    "mg_kd": Look(SHARED, "modality-general KD", "D"),
    "ms_kd": Look("#9D004A", "modality-specific KD", "v"),
    "random_kd": Look("#2F4BE0", "random-channel KD", "X"),
    "weight_kd": Look("#CC00AA", "|W|-ranked KD", "^"),
    "oracle_kd": Look("#101010", "oracle KD", "*"),
}

#: The arms of a comparison of KD and MSD, by kind: KD has the colour of a teacher that sees everything, MSD,
#: its controls and the other methods one colour each. Their rows are labelled, so that kinds are enough.
_MSD, _CONTROL, _OTHER = "#9D004A", "#966E38", "#5E6CD7"
MSD: dict[str, Look] = {
    "teacher": Look(INK, "teacher"),
    "no_kd": ARMS["no_kd"],
    "kd": Look(ARMS["mm_kd"].colour, "KD"),
    "kd_drop": Look(_CONTROL, "KD + modality drop"),
    "kd_views": Look(_CONTROL, "KD on all views"),
    "msd_uniform": Look(_MSD, "MSD uniform"),
    "msd_population": Look(_MSD, "MSD population"),
    "msd_instance": Look(_MSD, "MSD by instance"),
    "msd_global": Look(_MSD, "MSD learned"),
    "msd_learned": Look(_MSD, "MSD learned by instance"),
    "msd_shuffled": Look(_CONTROL, "MSD shuffled weights"),
    "msd_wrong": Look(_CONTROL, "MSD wrong weights"),
    "fitnet": Look(_OTHER, "FitNet"),
    "rkd": Look(_OTHER, "RKD"),
    "sp": Look(_OTHER, "SP"),
    "gram": Look(_OTHER, "modality Gram"),
    "dkd": Look(_OTHER, "DKD"),
    "dist": Look(_OTHER, "DIST"),
    "telme": Look(_OTHER, "TelME"),
    "multi_teacher": Look(_OTHER, "several teachers"),
    "pruned": Look(_OTHER, "pruned teacher"),
}

#: Views: everything, then one modality after the other in the order of their names.
FULL_VIEW = ARMS["mm_kd"].colour
VIEWS = (TEACHER, STUDENT, "#966E38", "#9D004A", "#5E6CD7", SHARED)


def look(arm: str) -> Look:
    """The look of an arm. Raises `LabError` for an arm that has none."""
    known = {**MSD, **ARMS, **REPAIRS}
    if arm not in known:
        raise LabError(
            "arm", arm, f"has no colour, unlike {listing(list(known))}", "Give it one in plot/palette.py."
        )
    return known[arm]
