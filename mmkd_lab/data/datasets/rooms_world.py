"""What rooms declares: which sensor tells how many of its objects, and what each view can reach.

Every object is one of two classes of its kind, and its outline says which kind, to either sensor. Which of
the two classes it is, is said by its colour alone ('rgb'), by its height alone ('depth'), by each of them
('redundant'), or by both together and neither alone ('synergy': the two classes are the parity of colour and
height).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mmkd_lab.core.check import one_of, require
from mmkd_lab.core.config import Fraction, config

#: The kinds of object, in the order of their classes: kind k has the classes 2k + 1 and 2k + 2.
KINDS = ("rgb", "depth", "redundant", "synergy")
VIEWS = ("rgb", "depth", "both")
FLOOR = "floor"
#: The floor, and two classes a kind.
CLASSES = (
    *(FLOOR, "red square", "blue square", "low triangle", "high triangle"),
    *("red low disc", "blue high disc", "even cross", "odd cross"),
)
#: What tells the class of an object of each kind, on its own.
SUFFICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "rgb": ("rgb", "both"),
        "depth": ("depth", "both"),
        "redundant": ("rgb", "depth", "both"),
        "synergy": ("both",),
    }
)


@config
class RoomShares:
    """The shares of objects that colour alone, height alone, either, or only both together tell.

    Raises `LabError` for a share outside 0 to 1, or shares that do not add up to 1.
    """

    rgb: Fraction = 0.25
    depth: Fraction = 0.25
    redundant: Fraction = 0.25
    synergy: Fraction = 0.25

    def __post_init__(self) -> None:
        total = sum(self.shares.values())
        require(abs(total - 1) < 1e-9, " + ".join(KINDS), round(total, 6), "must be 1: all objects are told")

    @property
    def shares(self) -> dict[str, float]:
        """{kind: share}; they add up to 1."""
        return {kind: getattr(self, kind) for kind in KINDS}

    def told(self, view: str) -> float:
        """The share of objects whose class a view tells. Raises `LabError` for an unknown view."""
        one_of("view", view, VIEWS)
        return sum(share for kind, share in self.shares.items() if view in SUFFICES[kind])

    def information(self, view: str) -> float:
        """In bits, what a view says of which of its kind's two classes an object is. Errors as `told`'s."""
        return self.told(view)

    def object_accuracy(self, view: str) -> float:
        """The best accuracy over objects, in percent: those that are told, and half of the others.

        It holds without noise, as `mean_iou` does. Errors as `told`'s.
        """
        told = self.told(view)
        return 100.0 * (told + (1.0 - told) / 2)

    def mean_iou(self, view: str) -> float:
        """The highest mean IoU that can be expected of a view, in percent, over the classes that occur.

        Two classes that cannot be told apart, of equally many pixels: whoever names the first for a share q
        of them, whatever they are, has the IoUs q / (1 + q) and (1 - q) / (2 - q), whose mean is largest at
        q = 1/2 and is then 1/3. Always naming one of them gives 1/4. Errors as `told`'s.
        """
        one_of("view", view, VIEWS)
        there = [kind for kind, share in self.shares.items() if share > 0]
        total = 1.0 + sum(2.0 if view in SUFFICES[kind] else 2.0 / 3.0 for kind in there)
        return 100.0 * total / (1 + 2 * len(there))
