"""Results that are kept, notebooks that run by themselves, and the page that shows them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmkd_lab.runs.folder import results_folder
    from mmkd_lab.runs.library import Notebook, discover, select
    from mmkd_lab.runs.notebooks import run
    from mmkd_lab.runs.parameters import Parameter, read_parameters
    from mmkd_lab.runs.record import Failure, Outcome, Run
    from mmkd_lab.runs.store import ResultStore

__all__ = [
    "Failure",
    "Notebook",
    "Outcome",
    "Parameter",
    "ResultStore",
    "Run",
    "discover",
    "read_parameters",
    "results_folder",
    "run",
    "select",
]

_HOME = {
    "Failure": "record",
    "Notebook": "library",
    "Outcome": "record",
    "Parameter": "parameters",
    "ResultStore": "store",
    "Run": "record",
    "discover": "library",
    "read_parameters": "parameters",
    "results_folder": "folder",
    "run": "notebooks",
    "select": "library",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
