"""The command, notebooks that run by themselves, and the page that shows them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmkd_lab.cli.command import main
    from mmkd_lab.cli.grid import sweep
    from mmkd_lab.cli.library import Notebook, discover, select
    from mmkd_lab.cli.notebooks import run
    from mmkd_lab.cli.parameters import NotebookParameter, read_parameters
    from mmkd_lab.cli.record import Failure, Outcome, Run

__all__ = [
    "Failure",
    "Notebook",
    "NotebookParameter",
    "Outcome",
    "Run",
    "discover",
    "main",
    "read_parameters",
    "run",
    "select",
    "sweep",
]

_HOME = {
    "Failure": "record",
    "Notebook": "library",
    "Outcome": "record",
    "NotebookParameter": "parameters",
    "Run": "record",
    "discover": "library",
    "main": "command",
    "read_parameters": "parameters",
    "run": "notebooks",
    "select": "library",
    "sweep": "grid",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
