"""The engine: one experiment in, one tidy table out; what is finished is kept."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmkd_lab.experiments.result import Study
    from mmkd_lab.experiments.store import ResultStore
    from mmkd_lab.experiments.students import TrainedStudent, load_student

__all__ = ["ResultStore", "Study", "TrainedStudent", "load_student"]

_HOME = {
    "ResultStore": "store",
    "Study": "result",
    "TrainedStudent": "students",
    "load_student": "students",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
