"""Figures by name: what `Study.plot` looks up. A user's figure enters through the same door."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mmkd_lab.core.registry import Registry

if TYPE_CHECKING:
    from mmkd_lab.plotting.canvas import LabFigure

#: function(table, *, title, **options) -> LabFigure
Draw = Callable[..., "LabFigure"]

_HOME = ("mmkd_lab.plotting.studies", "mmkd_lab.plotting.sweep", "mmkd_lab.plotting.sharing")
FIGURES: Registry[Draw] = Registry("figure", home=_HOME)


def register_figure(kind: str) -> Callable[[Draw], Draw]:
    """Register `function(table, *, title, **options) -> LabFigure` under a kind, as a decorator.

    A study of that kind is drawn by it. Raises `LabError` for a kind that belongs to the lab.
    """
    door: Any = FIGURES.register(kind)
    return door  # type: ignore[no-any-return]
