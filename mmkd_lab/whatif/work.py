"""One thread that makes answers: the newest request alone is answered, older ones are dropped.

A notebook holds several panels, each with a thread of its own. What a person waits for comes first: a thread
gives way while another, asked later, is at work.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mmkd_lab.whatif.answer import Answer

if TYPE_CHECKING:
    from mmkd_lab.whatif.model import Stopped

R = TypeVar("R")
_GIVE_WAY = 5.0  # seconds at most at a time: who gives way may hold what the other needs
_AT_EXIT = 10.0  # seconds at most in all
_order = threading.Condition()
_at_work: list[Worker[Any]] = []  # who was asked last goes first, and stands last


class Worker(Generic[R]):
    """Answers requests one after the other, off the thread that listens to the browser.

    Args:
        make: the answers to a request; asks now and then whether it should end.
        shown: takes each answer whose request is still the newest.
        failed: takes what went wrong.
        idle: called when nothing is left to do.
    """

    def __init__(
        self,
        make: Callable[[R, Stopped], Iterator[Answer]],
        shown: Callable[[Answer], None],
        failed: Callable[[Exception], None],
        idle: Callable[[], None],
    ) -> None:
        self._make, self._shown, self._failed, self._idle = make, shown, failed, idle
        self._changed = threading.Condition()
        self._wanted: list[R] = []
        self._turn = 0
        self._busy = False

    def ask(self, request: R, *, first: bool = True) -> None:
        """Drop what is being made and make this, before what other workers do; after it unless `first`."""
        with self._changed:
            self._queue(first=first)
            self._wanted, self._turn = [request], self._turn + 1
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._run, daemon=True, name="mmkd_lab what if").start()

    def stop(self) -> None:
        """Drop what is being made."""
        with self._changed:
            self._wanted, self._turn = [], self._turn + 1
        with _order:
            _order.notify_all()

    def wait(self, seconds: float = 600.0) -> bool:
        """Until nothing is left to do; whether that came to be."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._wanted:
                    self._busy = False
                    self._leave()
                    self._idle()
                    self._changed.notify_all()
                    return
                request, turn = self._wanted.pop(), self._turn
            self._answer(request, turn)

    def _answer(self, request: R, turn: int) -> None:
        def stopped() -> bool:
            with _order:
                _order.wait_for(lambda: turn != self._turn or _at_work[-1] is self, _GIVE_WAY)
            return turn != self._turn

        try:
            for found in self._make(request, stopped):
                if stopped():
                    return
                self._shown(found)
        except Exception as error:  # whatever went wrong is told in the panel
            if not stopped():
                self._failed(error)

    def _queue(self, *, first: bool) -> None:
        with _order:
            if self in _at_work:
                _at_work.remove(self)
            _at_work.insert(len(_at_work) if first else 0, self)
            _order.notify_all()

    def _leave(self) -> None:
        with _order:
            _at_work.remove(self)
            _order.notify_all()


@atexit.register
def _end() -> None:
    """Let nobody compute while the interpreter is taken down, which would abort the process."""
    until = time.monotonic() + _AT_EXIT
    with _order:
        busy = list(_at_work)
    for worker in busy:
        worker.stop()
    for worker in busy:
        worker.wait(max(0.0, until - time.monotonic()))
