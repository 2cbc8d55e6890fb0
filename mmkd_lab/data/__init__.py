"""Paired datasets: one container, one registry, one file a dataset.

Listing and downloading need no torch; the rest is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mmkd_lab.data.download import get, verify
from mmkd_lab.data.files import where
from mmkd_lab.data.registry import DATASETS, Entry, catalogue, load, register_dataset

if TYPE_CHECKING:
    from mmkd_lab.data.datasets import gaussian, shapes_vl
    from mmkd_lab.data.paired import PairedData, Task
    from mmkd_lab.data.text import Vocabulary

__all__ = [
    "DATASETS",
    "Entry",
    "PairedData",
    "Task",
    "Vocabulary",
    "catalogue",
    "gaussian",
    "get",
    "load",
    "register_dataset",
    "shapes_vl",
    "verify",
    "where",
]

_LAZY = {"PairedData": "paired", "Task": "paired", "Vocabulary": "text"}


def __getattr__(name: str) -> object:
    if name in ("gaussian", "shapes_vl"):
        return import_module(f"mmkd_lab.data.datasets.{name}")
    if name in _LAZY:
        return getattr(import_module(f"mmkd_lab.data.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
