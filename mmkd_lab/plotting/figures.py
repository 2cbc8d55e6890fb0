"""Figures by name: what `Study.plot` looks up. A user's figure enters through the same door."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmkd_lab.core.registry import Registry

if TYPE_CHECKING:
    from mmkd_lab.plotting.canvas import LabFigure

#: function(table, *, title, **options) -> LabFigure
Draw = Callable[..., "LabFigure"]
_HOME = tuple(f"mmkd_lab.plotting.{one}" for one in ("studies", "sweep", "sharing", "diagnosis"))
FIGURES: Registry[Draw] = Registry("figure", home=_HOME)
#: `@register_figure(kind)` on such a function: studies of this kind are drawn by it.
register_figure = FIGURES.register
