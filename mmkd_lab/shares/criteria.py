"""What makes a channel decisive, and what makes it shared."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mmkd_lab.core.check import require
from mmkd_lab.core.config import Count, Fraction, Positive, config

Test = Literal["probe", "marginal"]

#: The R^2 from which a channel that the other modality predicts counts as shared.
LEAST_SHARED = 0.1


@config
class Criteria:
    """What makes a channel decisive, and what makes it shared.

    Args:
        test: 'probe' asks what a channel adds to the others in a linear probe, 'marginal' what it tells
            alone.
        rate: of false discoveries.
        permutations: of each null, at least 1 / rate; p-values pool the permuted statistics of all channels.
        least_shared: a general channel must have at least this R^2 from the other modality, however
            significant. A threshold, not a weight: two views of one latent that correlate with it by r
            predict each other with R^2 = r^4, so that noisy views count as all shared above the threshold
            and as all specific below, with intervals that may have no width. (Weights by R^2 instead triple
            the error of gamma behind tanh encoders.) A note says what gamma would be at a third of the
            threshold and at three times it, where that moves gamma by more than 0.05.

    Raises `LabError` for fewer permutations than the rate needs.
    """

    test: Test = "probe"
    rate: Annotated[Positive, Field(le=0.5)] = 0.01
    permutations: Count = 200
    least_shared: Fraction = LEAST_SHARED

    def __post_init__(self) -> None:
        least = int(np.ceil(1.0 / self.rate))
        rule = f"must be at least 1 / rate, {least}, for one channel to be discovered"
        way_out = "Ask for more permutations or a higher rate."
        require(self.permutations >= least, "permutations", self.permutations, rule, way_out)
