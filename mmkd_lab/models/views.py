"""Views: which modalities of a sample are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from mmkd_lab.core.check import LabError, flat, of_type, one_of, require


@dataclass(frozen=True)
class View:
    """The modalities that are kept; a removal operator says how the others go.

    Two views that keep the same modalities are equal, whatever the order in which they were named.
    """

    kept: frozenset[str]

    def __post_init__(self) -> None:
        given: object = self.kept
        if isinstance(given, str) or not isinstance(given, Iterable):
            way_out = "For example View.only('image')."
            raise LabError("kept", given, "must be a set of modality names", way_out)
        object.__setattr__(self, "kept", frozenset(given))
        for name in self.kept:
            require(isinstance(name, str), "kept", name, "must be modality names", "See data.modalities.")

    @classmethod
    def full(cls, of: Iterable[str]) -> View:
        """Keep every modality of `of`."""
        return cls(frozenset(of))

    @classmethod
    def only(cls, *names: str) -> View:
        """Keep these and nothing else; `View.only()` keeps nothing."""
        return cls(frozenset(names))

    @classmethod
    def drop(cls, *names: str, of: Iterable[str]) -> View:
        """Keep all of `of` but these. Raises `LabError` when one is not in `of`."""
        known = list(of)
        for name in names:
            one_of("modality", name, known)
        return cls(frozenset(known) - frozenset(names))

    def missing(self, of: Iterable[str]) -> tuple[str, ...]:
        """What this view removes from `of`, sorted. Raises `LabError` when it keeps one not in `of`."""
        known = sorted(of)
        for name in sorted(self.kept):
            one_of("view", name, known)
        return tuple(name for name in known if name not in self.kept)

    @property
    def label(self) -> str:
        """`image+speech`, or `nothing`."""
        return "+".join(sorted(self.kept)) or "nothing"

    def __contains__(self, name: object) -> bool:
        return name in self.kept

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.kept))

    def __len__(self) -> int:
        return len(self.kept)


def all_views(of: Iterable[str]) -> tuple[View, ...]:
    """All 2^M views of M modalities: the empty one first, the full one last."""
    listed = flat("of", list(of) if isinstance(of, Mapping) else of, "a sequence of modality names")
    names = sorted({of_type("of", name, str, "modality names") for name in listed})
    return tuple(View.only(*kept) for size in range(len(names) + 1) for kept in combinations(names, size))
