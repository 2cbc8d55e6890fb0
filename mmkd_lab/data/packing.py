"""`python -m mmkd_lab.data.NAME FOLDER FILE`: pack published files into the one that the lab reads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mmkd_lab.core.check import LabError


def command(pack: Callable[[str, str], Path], arguments: Sequence[str], *, usage: str) -> int:
    """Pack and print the path; the exit status, 2 when it refuses.

    Args:
        pack: (folder, target) -> the file it wrote.
        arguments: the command line without the program's name.
        usage: what the command is called with.
    """
    if len(arguments) != 2:
        print(f"usage: python -m {usage}", file=sys.stderr)
        return 2
    try:
        print(pack(arguments[0], arguments[1]))
    except LabError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
