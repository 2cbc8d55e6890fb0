"""Long work that nobody waits for any more ends between two epochs, or two jobs, wherever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_STOPPED: ContextVar[Callable[[], bool] | None] = ContextVar("stopped", default=None)


class CalledOff(Exception):
    """Nobody waits for this work any more."""


@contextmanager
def heeding(stopped: Callable[[], bool]) -> Iterator[None]:
    """Within the block, what is trained in this thread raises `CalledOff` soon after `stopped()`."""
    before = _STOPPED.set(stopped)
    try:
        yield
    finally:
        _STOPPED.reset(before)


def go_on() -> None:
    """Raise `CalledOff` where nobody waits any more: asked now and then by whatever takes long."""
    stopped = _STOPPED.get()
    if stopped is not None and stopped():
        raise CalledOff
