"""What every study says of itself: versions, and sentences whose every clause comes from its own interval."""

from __future__ import annotations

import platform
from importlib.metadata import version

import numpy as np
import torch

from mmkd_lab import __version__
from mmkd_lab.core.stats import Interval


def versions(*also: str) -> dict[str, str]:
    """The versions of the lab, of what every study computes with, and of other packages by name."""
    found = {
        "mmkd_lab": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    return found | {name: version(name) for name in also}


def words(found: Interval, above: str, below: str) -> str:
    """`above` or `below`, when the interval lies above or below zero, else that nothing is shown."""
    return {1: above, 0: "is not shown to differ from", -1: below}[found.side]
