"""Datasets that are a function of a file: 'path/to/file.py:function'."""

from __future__ import annotations

import sys
from collections.abc import Callable
from runpy import run_path
from typing import Any

from mmkd_lab.core.check import LabError, one_of, path, require


def function_in(name: str) -> Callable[..., Any]:
    """The function, its file run anew, with its folder among those of modules.

    Raises `LabError` for no such file or function, and where running the file fails, with what it raised.
    """
    where, _, function = name.rpartition(":")
    file = path("dataset", where)
    way_out = f"It is looked for from the working folder, as {file.absolute()}."
    require(file.is_file(), "dataset", name, "must name a file that is there", way_out)
    folder = str(file.resolve().parent)
    sys.path.insert(0, folder)
    try:
        made = run_path(str(file.resolve()), run_name=file.stem)
    except Exception as error:  # whatever a user's file raises
        rule = f"{file.name} cannot be run: {type(error).__name__}: {error}"
        raise LabError("dataset", name, rule) from error
    finally:
        sys.path.remove(folder)
    known = {one: value for one, value in made.items() if callable(value) and one[0] != "_"}
    one_of(f"function of {file.name}", function, list(known))
    found: Callable[..., Any] = known[function]
    return found
