"""What shapes_vl declares: which modality decides how many labels, and what can be known from each view.

Every sample has one kind of evidence. 'image': the picture says the class, the caption says nothing of it.
'text': the other way round. 'redundant': both say it. 'synergy': class = (shape + word) mod K, so that each
alone says nothing. 'unobserved': the label is drawn at random, and nothing tells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import numpy as np
from pydantic import Field

from mmkd_lab.core import check
from mmkd_lab.core.check import one_of, require
from mmkd_lab.core.config import Count, Fraction, config

#: The kinds of evidence, by the number under which `data.facts["evidence"]` records them.
KINDS = ("image", "text", "redundant", "synergy", "unobserved")
VIEWS = ("image", "text", "both")
#: What tells the class of a sample of each kind, on its own.
SUFFICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "image": ("image", "both"),
        "text": ("text", "both"),
        "redundant": ("image", "text", "both"),
        "synergy": ("both",),
        "unobserved": (),
    }
)
#: The modalities without which the class of a sample of each kind cannot be told.
NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"image": ("image",), "text": ("text",), "redundant": (), "synergy": ("image", "text"), "unobserved": ()}
)
_CONFOUNDERS = 4  # two pictures by two captions


@config
class Evidence:
    """The shares of samples that each kind of evidence decides.

    Args:
        image: share that the image alone decides.
        text: share that the text alone decides.
        redundant: share that either decides.
        synergy: share that only both together decide.
        num_classes: K, at least 2.

    Raises:
        LabError: a share outside 0 to 1, shares of more than 1 in all, or fewer than two classes.
    """

    image: Fraction = 0.0
    text: Fraction = 0.0
    redundant: Fraction = 0.0
    synergy: Fraction = 0.0
    num_classes: Annotated[Count, Field(ge=2)] = 2

    def __post_init__(self) -> None:
        total = self._decided
        require(total <= 1 + 1e-9, " + ".join(KINDS[:4]), round(total, 6), "must be at most 1")

    @property
    def _decided(self) -> float:
        return self.image + self.text + self.redundant + self.synergy

    @property
    def unobserved(self) -> float:
        """Share of samples whose label nothing tells."""
        return max(0.0, 1.0 - self._decided)

    @property
    def shares(self) -> dict[str, float]:
        """{kind: share}; they add up to 1."""
        return {kind: getattr(self, kind) for kind in KINDS}

    def bayes_accuracy(self, view: str) -> float:
        """The best accuracy that any network can reach from a view, in percent.

        Seen samples are right, the others at chance: 100 (s + (1 - s) / K), s the share of the kinds that the
        view suffices for. This holds although 'synergy' and 'unobserved' look alike: whoever answers (shape +
        word) mod K in both loses nothing. Raises `LabError` for an unknown view.
        """
        seen = self._seen(view)
        return 100.0 * (seen + (1.0 - seen) / self.num_classes)

    def information(self, view: str) -> float:
        """I(Y; X_view) in bits. Raises `LabError` for an unknown view.

        A modality that says the class tells all log2 K bits, and one that does not tells none. With both in
        sight the rest is a mixture of synergy and noise that cannot be told apart.
        """
        k = self.num_classes
        bits = float(np.log2(k))
        if view != "both":
            return self._seen(view) * bits
        said, rest = self.image + self.text + self.redundant, self.synergy + self.unobserved
        if rest <= 0.0:
            return said * bits
        wrong = self.unobserved / k / rest
        p = np.array([1.0 - (k - 1) * wrong, *[wrong] * (k - 1)])
        entropy = -float(np.sum(p[p > 0] * np.log2(p[p > 0])))
        return said * bits + rest * (bits - entropy)

    def counts(self, n: int) -> dict[str, int]:
        """{kind: samples} of n, by largest remainders; synergy comes in fours, each a set of confounders.

        Raises `LabError` when n is not positive, or when synergy is everything and n no multiple of four.
        """
        n = check.whole("n", n)
        sets = min(round(self.synergy * n / _CONFOUNDERS), n // _CONFOUNDERS)
        rest = n - _CONFOUNDERS * sets
        others = {kind: share for kind, share in self.shares.items() if kind != "synergy"}
        total = sum(others.values())
        if total <= 1e-9:
            require(rest == 0, "n", n, "must be a multiple of 4 when synergy is everything")
            return {kind: n if kind == "synergy" else 0 for kind in KINDS}
        quota = {kind: share / total * rest for kind, share in others.items()}
        found = {kind: int(exact) for kind, exact in quota.items()}
        largest = sorted(quota, key=lambda kind: (found[kind] - quota[kind], KINDS.index(kind)))
        for kind in largest[: rest - sum(found.values())]:
            found[kind] += 1
        found["synergy"] = _CONFOUNDERS * sets
        return {kind: found[kind] for kind in KINDS}

    def _seen(self, view: str) -> float:
        one_of("view", view, VIEWS)
        return sum(share for kind, share in self.shares.items() if view in SUFFICES[kind])


#: Four named mixes. What both modalities tell together is the same in all; what each tells alone differs.
MIXES: Mapping[str, Evidence] = MappingProxyType(
    {
        "image_heavy": Evidence(image=0.5, text=0.1, redundant=0.2, synergy=0.1),
        "text_heavy": Evidence(image=0.1, text=0.5, redundant=0.2, synergy=0.1),
        "redundant": Evidence(image=0.1, text=0.1, redundant=0.6, synergy=0.1),
        "synergistic": Evidence(image=0.1, text=0.1, redundant=0.1, synergy=0.6),
    }
)
