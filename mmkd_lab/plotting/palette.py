"""The one place for colours and names in figures; a colour means the same thing in every one.

What the teacher modality alone carries is vermilion, what the student modality carries is blue, what both
share is dark green. All have a contrast of at least 4.5 on white, so that they can colour text (WCAG 2.2,
1.4.3), and stay apart for people without red or green cones; `tests/plotting/test_palette.py` measures both.
"""

from __future__ import annotations

from collections.abc import Iterable

TEACHER, STUDENT, SHARED = "#C85200", "#0072B2", "#00564D"
ALL = "#5B1A6E"  # what all modalities carry together

INK = "#262626"  # text
QUIET = "#6E6E6E"  # notes and axis text
NEUTRAL = "#4A5560"  # arms and methods that have no colour of their own
GRID, PAPER = "#E6E6E6", "#FFFFFF"

PICTURE_MAP, SPECTROGRAM_MAP = "gray", "magma"
#: Attributions: what counts for the class is green, against it purple; the two are dark colours of the map.
ATTRIBUTION_MAP = "PRGn"
FOR, AGAINST = "#1B7837", "#762A83"

_VIEWS = (TEACHER, STUDENT, "#966E38", "#9D004A", "#5E6CD7", SHARED)

#: Where many curves share a panel, one mark for each; a diamond is a teacher's.
MARKS = ("o", "s", "^", "v", "X", "P", "*", "<", ">", "p", "h")


def style_of(arm: str) -> tuple[str, str]:
    """What figures call an arm, and its colour; an arm that nobody registered is called by its own name."""
    return _looks().get(arm, (arm, NEUTRAL))


def ordered(arms: Iterable[object]) -> list[str]:
    """Arms in the order of every figure: the teacher, the registered, others as they came."""
    present = dict.fromkeys(str(arm) for arm in arms)
    return list(dict.fromkeys([*(arm for arm in _looks() if arm in present), *present]))


def _looks() -> dict[str, tuple[str, str]]:
    from mmkd_lab.distill.arms import ARMS  # late: it loads torch

    return {"teacher": ("teacher", INK)} | {name: (arm.label, arm.colour) for name, arm in ARMS.items()}


def view_colour(i: int) -> str:
    """The full input (i = 0) and the modalities, in the order of their names."""
    return ALL if i == 0 else _VIEWS[(i - 1) % len(_VIEWS)]


def soft(colour: str, share: float = 0.62) -> tuple[float, float, float]:
    """Lighter, so that areas are calm and their labels carry the full colour."""
    red, green, blue = (1 - share * (1 - int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return red, green, blue
