"""Whether anybody watches a progress bar."""

from __future__ import annotations

import os


def watched(asked: bool) -> bool:
    """True when a bar was asked for and TQDM_DISABLE is not set.

    tqdm itself obeys the variable on a terminal but not in a notebook, where a bar is a widget that would
    stay in the stored output of every batch run.
    """
    return asked and os.environ.get("TQDM_DISABLE", "") in ("", "0")
