"""The user's own folders, under one name of the application, and what the environment says of the user."""

from __future__ import annotations

import os
from pathlib import Path

RESULTS_VARIABLE = "MMKD_LAB_RESULTS"
#: Set to 1 where nobody is there to move a slider: panels then show pictures of a few states.
STATIC_VARIABLE = "MMKD_LAB_STATIC"
#: Where the items of published data sets are kept as they are read; by default a folder of the user's cache.
PREPARED_VARIABLE = "MMKD_LAB_PREPARED"
#: Set to 1, every published data set is a fixture: made data in its form.
FIXTURE_VARIABLE = "MMKD_LAB_FIXTURE"
_APPLICATION = "mmkd_lab"


def user_data() -> Path:
    """Where downloads stay until the user removes them."""
    from platformdirs import user_data_path

    return user_data_path(_APPLICATION, appauthor=False)


def user_cache() -> Path:
    """Where results are kept that could be computed again."""
    from platformdirs import user_cache_path

    return user_cache_path(_APPLICATION, appauthor=False)


def prepared_folder() -> Path:
    """Where items of published data sets are kept as read: MMKD_LAB_PREPARED, or the user's cache."""
    own = os.environ.get(PREPARED_VARIABLE)
    return Path(own) if own else user_cache() / "prepared"


def results_folder() -> Path:
    """Where a notebook writes its result files: MMKD_LAB_RESULTS, which a run sets, or `runs/results`."""
    return Path(os.environ.get(RESULTS_VARIABLE) or Path("runs") / "results")


def nobody_watches() -> bool:
    """Whether MMKD_LAB_STATIC is 1."""
    return os.environ.get(STATIC_VARIABLE) == "1"
