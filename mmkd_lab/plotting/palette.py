"""The one place for colours and names in figures.

A colour means the same thing in every figure. What the teacher modality alone carries is vermilion, what the
student modality carries is blue, what both share is dark green. An arm has the colour of what its teacher
sees.
Every colour has a contrast of at least 4.5 on white, so that it can colour text (WCAG 2.2, 1.4.3), and all of
them stay apart for people without red or green cones; `tests/plotting/test_palette.py` measures both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TEACHER = "#C85200"
STUDENT = "#0072B2"
SHARED = "#00564D"
ALL = "#5B1A6E"  # what all modalities carry together

INK = "#262626"  # text
QUIET = "#6E6E6E"  # notes and axis text
NEUTRAL = "#4A5560"  # arms and methods that have no colour of their own
GRID = "#E6E6E6"
PAPER = "#FFFFFF"

#: Colour maps: grey for pictures, a perceptually even one for spectrograms.
PICTURE_MAP = "gray"
SPECTROGRAM_MAP = "magma"

#: Attributions, diverging and readable without red or green cones: what counts for the class is green, what
#: counts against it purple. The two colours are those of the map, dark enough for text.
ATTRIBUTION_MAP = "PRGn"
FOR, AGAINST = "#1B7837", "#762A83"

#: Views: everything, then one modality after the other in the order of their names.
FULL_VIEW = ALL
VIEWS = (TEACHER, STUDENT, "#966E38", "#9D004A", "#5E6CD7", SHARED)

#: Where many curves share a panel, one mark for each; a diamond is a teacher's.
MARKS = ("o", "s", "^", "v", "X", "P", "*", "<", ">", "p", "h")

_MSD, _CONTROL, _OTHER = "#9D004A", "#966E38", "#5E6CD7"
_LOOKS = {
    "teacher": ("teacher", INK),
    "no_kd": ("no KD", "#737373"),
    "um_kd": ("unimodal KD", STUDENT),
    "cm_kd": ("crossmodal KD", TEACHER),
    "mm_kd": ("multimodal KD", ALL),
    "kl_only": ("crossmodal KL only", "#6E2500"),
    "unaligned_kd": ("unaligned KD", "#000088"),
    "aligned_kd": ("aligned KD", "#966E38"),
    "mg_kd": ("modality-general KD", SHARED),
    "ms_kd": ("modality-specific KD", "#9D004A"),
    "random_kd": ("random-channel KD", "#2F4BE0"),
    "weight_kd": ("|W|-ranked KD", "#CC00AA"),
    "oracle_kd": ("oracle KD", "#101010"),
    "kd": ("KD", ALL),
    "kd_drop": ("KD + modality drop", _CONTROL),
    "kd_views": ("KD on all views", _CONTROL),
    "msd_uniform": ("MSD uniform", _MSD),
    "msd_population": ("MSD population", _MSD),
    "msd_instance": ("MSD by instance", _MSD),
    "msd_global": ("MSD learned", _MSD),
    "msd_learned": ("MSD learned by instance", _MSD),
    "msd_shuffled": ("MSD shuffled weights", _CONTROL),
    "msd_wrong": ("MSD wrong weights", _CONTROL),
    "fitnet": ("FitNet", _OTHER),
    "rkd": ("RKD", _OTHER),
    "sp": ("SP", _OTHER),
    "gram": ("modality Gram", _OTHER),
    "dkd": ("DKD", _OTHER),
    "dist": ("DIST", _OTHER),
    "telme": ("TelME", _OTHER),
    "multi_teacher": ("several teachers", _OTHER),
    "pruned": ("pruned teacher", _OTHER),
}


def style_of(arm: str) -> tuple[str, str]:
    """What figures call an arm, and its colour; an arm that nobody registered is called by its own name."""
    return _looks().get(arm, (arm, NEUTRAL))


def ordered(arms: Iterable[str]) -> list[str]:
    """Arms in the order of every figure: the lab's own first, then the others as they came."""
    present, known = list(dict.fromkeys(str(arm) for arm in arms)), _looks()
    return [*(arm for arm in known if arm in present), *(arm for arm in present if arm not in known)]


def _looks() -> Mapping[str, tuple[str, str]]:
    """{arm: (label, colour)} in the order of every figure, the teacher first."""
    return _LOOKS


def view_colour(i: int) -> str:
    """The full input (i = 0) and the modalities, in the order of their names."""
    return FULL_VIEW if i == 0 else VIEWS[(i - 1) % len(VIEWS)]


def soft(colour: str, share: float = 0.62) -> tuple[float, float, float]:
    """Lighter, so that areas are calm and their labels carry the full colour."""
    red, green, blue = (1 - share * (1 - int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return red, green, blue
