"""Load any dataset by its name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from mmkd_lab.data.catalogue import entry
from mmkd_lab.data.paired import PairedData


def load(name: str, **parameters: object) -> PairedData:
    """Build a dataset. `data.catalogue()` lists the names, their parameters and the defaults.

    Raises:
        LabError: an unknown name or parameter (the known ones are listed), or a wrong value.
        DamagedFile: a file it needs is missing, truncated or not what it should be.
    """
    found = entry(name)
    settings = found.settings(parameters)
    module, function = found.builder.split(":")
    build = cast("Callable[..., PairedData]", getattr(import_module(module), function))
    return build(**settings)
