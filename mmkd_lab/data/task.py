"""What a target is, and which splits there are."""

from __future__ import annotations

from enum import Enum

#: A split set aside from the training samples, on which weights of a loss are learned.
META = "meta"
SPLITS = ("train", "val", "test", META)


class Task(Enum):
    """What a target is.

    SINGLE_LABEL: (N,) int64 class numbers. MULTI_LABEL: (N, K) float in [0, 1].
    DENSE: (N, H, W) int64 class numbers, -1 where there is none.
    REGRESSION: (N, D) float in any unit, D numbers per sample; (N,) is one number.
    """

    SINGLE_LABEL = "single label"
    MULTI_LABEL = "multi-label"
    DENSE = "dense"
    REGRESSION = "regression"
