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

_HOME = {
    **dict.fromkeys(("Failure", "Outcome", "Run"), "record"),
    **dict.fromkeys(("Notebook", "discover", "select"), "library"),
    **dict.fromkeys(("NotebookParameter", "read_parameters"), "parameters"),
    **{"main": "command", "run": "notebooks", "sweep": "grid"},
}

__all__ = ["Failure", "Notebook", "NotebookParameter", "Outcome", "Run"]
__all__ += ["discover", "main", "read_parameters", "run", "select", "sweep"]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
