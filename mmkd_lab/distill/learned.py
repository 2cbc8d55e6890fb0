"""Weights that are learned while the student is: which modality-specific term helps it on samples set aside.

Source: Jin et al. 2021 (MSD) learn the weights of the auxiliary terms (version 1 of the paper: by
meta-learning). The bilevel form is that of Ren et al. 2018 and, by instance, of Shu et al. 2019
(Meta-Weight-Net).
"""

from __future__ import annotations

from typing import Literal

from mmkd_lab.core.config import Count, Positive, config


@config
class LearnedWeights:
    """How the weights w of MSD's terms are learned; see `training.learner` for the arithmetic.

    Every `every` steps, with theta the student and L_meta the cross-entropy on samples of the split 'meta':

        theta' = theta - eta · grad L_train(theta; w),   phi <- phi - Adam(dL_meta(theta') / dphi)

    and w = V · softmax(phi) for V views, so that the mean weight stays 1. 'global' has one phi per view;
    'instance' has a network of one hidden layer (100 units in Shu et al. 2019, section 3) that reads, for
    every view, how far the teacher's output moves (Jensen-Shannon), how sure it is, and what it costs on the
    label.

    `rate` is that of phi's Adam: None takes 0.02 for 'global', and for 'instance' the 0.001 of Shu et al.
    2019, section 4. `lookahead` is eta: None takes the student's own rate. `batch_size` counts samples of
    'meta'.
    """

    level: Literal["global", "instance"] = "global"
    every: Count = 5
    rate: Positive | None = None
    lookahead: Positive | None = None
    hidden: Count = 100
    batch_size: Count = 64

    @property
    def learning_rate(self) -> float:
        """The rate, given or by default."""
        return self.rate or (0.02 if self.level == "global" else 0.001)
