"""Undo and redo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S")
_MOST = 200  # states kept


@dataclass
class History(Generic[S]):
    """States gone through; moving one control several times in a row counts once."""

    states: list[S]
    at: int = 0
    last: str = ""

    @property
    def now(self) -> S:
        """The present state."""
        return self.states[self.at]

    def push(self, state: S, name: str) -> None:
        """A new state, made by the control `name`; what was undone is forgotten."""
        if state == self.now:
            return
        if name and name == self.last and self.at == len(self.states) - 1 and self.at > 0:
            self.states[self.at] = state
        else:
            self.states = [*self.states[max(0, self.at - _MOST) : self.at + 1], state]
            self.at = len(self.states) - 1
        self.last = name

    def step(self, by: int) -> S:
        """Undo (-1) or redo (1), as far as there is something."""
        self.at = min(max(self.at + by, 0), len(self.states) - 1)
        self.last = ""
        return self.now
