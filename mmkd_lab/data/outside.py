"""Datasets of installed packages, which announce them by the entry point group `mmkd_lab.datasets`.

Importing this registers what they announce; none of them is imported before its dataset is asked for.
"""

from __future__ import annotations

import warnings
from importlib.metadata import entry_points

from mmkd_lab.core.check import LabError
from mmkd_lab.data.registry import Entry, register

GROUP = "mmkd_lab.datasets"

for _one in entry_points(group=GROUP):
    try:
        register(_one.name, Entry(f"Of the package {_one.dist.name if _one.dist else ''}.", _one.value))
    except LabError as _error:  # a name of the lab's own
        warnings.warn(f"entry point {_one.value!r} of {GROUP}: {_error}", stacklevel=2)
