"""Paired datasets: one container, one registry, one file a dataset, and data of your own in one line.

Listing and downloading need no torch; the rest is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mmkd_lab.data.download import get, verify
from mmkd_lab.data.files import where
from mmkd_lab.data.registry import DATASETS, Entry, catalogue, load, register

if TYPE_CHECKING:
    from mmkd_lab.data.datasets import gaussian, rooms, shapes_vl
    from mmkd_lab.data.own.arrays import from_arrays
    from mmkd_lab.data.own.dataset import from_dataset
    from mmkd_lab.data.own.folder import from_folder
    from mmkd_lab.data.own.frame import from_dataframe
    from mmkd_lab.data.paired import PairedData, Task
    from mmkd_lab.data.question import one_label
    from mmkd_lab.data.text import Vocabulary

__all__ = [
    "DATASETS",
    "Entry",
    "PairedData",
    "Task",
    "Vocabulary",
    "catalogue",
    "from_arrays",
    "from_dataframe",
    "from_dataset",
    "from_folder",
    "gaussian",
    "get",
    "load",
    "one_label",
    "register",
    "rooms",
    "shapes_vl",
    "verify",
    "where",
]

_LAZY = {
    **{"PairedData": "paired", "Task": "paired", "Vocabulary": "text"},
    **{"from_arrays": "own.arrays", "from_dataframe": "own.frame", "from_folder": "own.folder"},
    "from_dataset": "own.dataset",
    "one_label": "question",
}


def __getattr__(name: str) -> object:
    if name in ("gaussian", "rooms", "shapes_vl"):
        return import_module(f"mmkd_lab.data.datasets.{name}")
    if name in _LAZY:
        return getattr(import_module(f"mmkd_lab.data.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
