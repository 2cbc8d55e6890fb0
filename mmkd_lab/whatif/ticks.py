"""Tick boxes for several of some options: one widget with one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as w
import traitlets


class Ticks(w.VBox):  # type: ignore[misc]
    """A tick box an option; `value` holds those that are ticked, in the order of the options.

    Args:
        options: values, or (label, value) pairs.
        value: those ticked.
        description: what stands before them.
        tooltip: what they do.
    """

    value = traitlets.Tuple()

    def __init__(
        self, options: Sequence[Any], value: tuple[Any, ...], description: str, tooltip: str
    ) -> None:
        pairs = [one if isinstance(one, tuple) else (str(one), one) for one in options]
        look: dict[str, Any] = {"tooltip": tooltip, "style": {"description_width": "110px"}}
        self.boxes = {
            one: w.Checkbox(description=f"{description} {label}", indent=True, **look) for label, one in pairs
        }
        super().__init__(list(self.boxes.values()))
        self.value = value
        for box in self.boxes.values():
            box.observe(lambda _: self._ticked(), "value")

    def _ticked(self) -> None:
        if not self._setting:
            self.value = tuple(one for one, box in self.boxes.items() if box.value)

    _setting = False

    @traitlets.observe("value")
    def _told(self, change: dict[str, Any]) -> None:
        self._setting = True
        try:
            for one, box in self.boxes.items():
                box.value = one in change["new"]
        finally:
            self._setting = False
