"""Figures by name: what `Study.plot` looks up. A user's figure enters through the same door."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mmkd_lab.core.registry import Registry

if TYPE_CHECKING:
    from mmkd_lab.plotting.canvas import LabFigure

#: function(table, *, title, **options) -> LabFigure
Draw = Callable[..., "LabFigure"]
FIGURES: Registry[Draw] = Registry(
    "figure", home=[f"mmkd_lab.plotting.{one}" for one in ("studies", "sweep", "sharing")]
)


def register_figure(kind: str) -> Callable[[Draw], Draw]:
    """Decorate `function(table, *, title, **options) -> LabFigure`: studies of this kind are drawn by it.

    Raises `LabError` for a kind that belongs to the lab.
    """
    door: Any = FIGURES.register(kind)
    return door  # type: ignore[no-any-return]
