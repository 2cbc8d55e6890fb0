"""Seven shoulder exercises seen by a watch, from the package `seglearn`: accelerometer and gyroscope.

    mmkd-lab run 06 -p dataset docs/pairs/watch.py:watch -p student gyroscope -p teacher accelerometer

`seglearn` keeps its recordings as a pickle, which it reads itself: only do this with a package you trust.
"""

from __future__ import annotations

import numpy as np
from seglearn.datasets import load_watch

from mmkd_lab import data


def watch(length: int = 100, step: int = 100) -> data.PairedData:
    """Pieces of `length` samples at 50 Hz; nobody's pieces stand on both sides of a split."""
    told = load_watch()
    starts = [(i, at) for i, x in enumerate(told["X"]) for at in range(0, len(x) - length + 1, step)]
    pieces = np.stack([told["X"][i][at : at + length] for i, at in starts]).astype(np.float32)
    return data.from_arrays(
        {"accelerometer": pieces[:, :, :3], "gyroscope": pieces[:, :, 3:]},
        [told["y_labels"][told["y"][i]] for i, _ in starts],
        group=[int(told["subject"][i]) for i, _ in starts],
        ids=[f"{i}/{at}" for i, at in starts],
        name="watch",
    )
