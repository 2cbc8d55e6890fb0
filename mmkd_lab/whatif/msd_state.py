"""A comparison of KD with one scheme of MSD, and one test sample of it, as controls move them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Annotated, Any, Literal

from mmkd_lab.core.config import Count, Distinct, Fraction, NonNegative, Positive, config

#: What a control says of a scheme of weights; its arm is 'msd_<scheme>'.
SCHEMES = {
    "uniform": "uniform: all 1",
    "population": "by the mean saliency",
    "instance": "by the sample's saliency",
    "global": "learned, one a modality",
    "learned": "learned by sample",
}
CONTROLS = ("kd_drop", "kd_views", "msd_shuffled", "msd_wrong")
SORTS = {
    "disagreement": "teacher and student disagree",
    "saliency": "saliency of a modality",
    "loss": "what the student loses without it",
}
#: What stands in the place of a removed modality.
INSTEAD = {"zeros": "zeros", "mean": "its training mean", "permutation": "another sample's"}
#: The fields of the chosen sample: no network depends on them.
_SAMPLE = ("sort", "by", "place", "removed")


@config
class MsdState:
    """Students by KD and by MSD, and the sample that is looked at.

    Args:
        data: the dataset.
        scheme: how MSD's terms are weighed: equally, by the mean saliency of a modality, by that of the
            sample, by weights learned beside the student, one a modality or sample by sample.
        controls: further arms, which tell why MSD is better or worse.
        kd: KD's share of the loss, beside the labels.
        msd: factor of MSD's terms.
        temperature: what logits are divided by in every divergence.
        removal: how a modality goes, in training and here.
        seeds: paired seeds.
        steps: of training, of teachers and students alike.
        sort: by what the test samples are sorted, the largest first: how far teacher and student are apart,
            the teacher's saliency of the modality `by`, or the student's loss when it goes.
        by: a modality; '' for the first.
        place: of the sample that is shown in this order, from 1.
        removed: modalities taken from this sample.

    Raises `LabError` for values out of range.
    """

    data: str = "shapes_vl"
    scheme: Literal["uniform", "population", "instance", "global", "learned"] = "instance"
    controls: Annotated[
        tuple[Literal["kd_drop", "kd_views", "msd_shuffled", "msd_wrong"], ...], Distinct
    ] = ()
    kd: Fraction = 0.5
    msd: NonNegative = 1.0
    temperature: Positive = 2.0
    removal: Literal["zeros", "mean", "permutation"] = "zeros"
    seeds: Count = 3
    steps: Count = 150
    sort: Literal["disagreement", "saliency", "loss"] = "disagreement"
    by: str = ""
    place: Count = 1
    removed: Annotated[tuple[str, ...], Distinct] = ()

    @property
    def arms(self) -> tuple[str, ...]:
        """The students, KD among them."""
        return tuple(dict.fromkeys(("no_kd", "kd", self.arm, *self.controls)))

    @property
    def arm(self) -> str:
        """The student that is looked at."""
        return f"msd_{self.scheme}"

    @property
    def training(self) -> MsdState:
        """The same with the sample's fields at their defaults: equal for states of the same networks."""
        plain: dict[str, Any] = {one.name: one.default for one in fields(self) if one.name in _SAMPLE}
        return replace(self, **plain)
