"""Which views modality-specific terms compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from mmkd_lab.core.check import flat, of_type, one_of, require
from mmkd_lab.models.views import View


def msd_views(modalities: Iterable[str], *, kind: Literal["only", "drop"] = "only") -> tuple[View, ...]:
    """One view per modality: 'only' keeps it alone, 'drop' keeps all but it.

    "Modality-specific prediction" (Jin et al. 2021) reads as 'only'. For two modalities both give the same
    two views; for more they differ. Raises `LabError` for fewer than two modalities or an unknown kind.
    """
    one_of("kind", kind, ("only", "drop"))
    names = modality_names(modalities)
    return tuple(View.only(m) if kind == "only" else View.drop(m, of=names) for m in names)


def modality_names(modalities: Iterable[str]) -> tuple[str, ...]:
    """Sorted. Raises `LabError` for fewer than two distinct names."""
    rule = "a list of modality names"
    names = sorted(of_type("modalities", m, str, rule) for m in flat("modalities", list(modalities), rule))
    rule = "must be at least two distinct names, or there is nothing to tell apart"
    require(len(set(names)) == len(names) >= 2, "modalities", names, rule)
    return tuple(names)
