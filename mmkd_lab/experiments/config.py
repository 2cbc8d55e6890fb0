"""The one configuration of every study: all that can be told beside data, models, arms and seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Annotated, Any, Literal

from pydantic import Field

from mmkd_lab.attribution import Joint
from mmkd_lab.core.check import LabError, listing, one_of, require
from mmkd_lab.core.config import Count, Flag, Fraction, Natural, NonNegative, Positive, config
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.weights import Weighting
from mmkd_lab.training.reading import Augment
from mmkd_lab.training.recipe import Recipe

#: What a student of a repaired teacher learns from.
Loss = Literal["ce + kd", "kd alone"]
WITH_LABELS: Loss = "ce + kd"
ALONE: Loss = "kd alone"
LOSSES = (WITH_LABELS, ALONE)
BY_SAMPLE = ("normalised", "softmax", "tanh")
OTHERS = (
    "msd_uniform has equal weights and msd_population the population's; fixed ones are for distill.weigh."
)

Rate = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


@config
class Config:
    """How an experiment is run. A study takes those that mean something to it, and refuses the others.

    Args:
        profile: 'quick' or 'full': sizes of data, networks and recipes, see `experiments.profiles`.
        recipe: how students are trained, and teachers too unless `teacher_recipe` is given; None for the
            profile's.
        teacher_recipe: how teachers are trained.
        kd_weight: rho of (1 - rho) CE + rho T² KL, where it is not tuned.
        temperature: T of every term on outputs.
        convention: 'kl', or 'released' for the divergence divided by the number of classes.
        class_weight: how much the labels of each class count in the loss, for teachers and students alike:
            'balanced', {class: weight}, or None; see `distill.losses.ce.class_weights`.
        metric: that of verdict, title and figure, by its name; None for the task's first (accuracy, macro F1,
            R2). `Recipe.select_metric` is that which selects epochs.
        device: 'auto' or a torch device.
        augment: what students see of a training sample instead, anew in every epoch: a function of one
            sample and a generator, see `training.Augment`. Teachers are trained without.
        teacher_sees: the 'clean' sample, about which a teacher is asked once; or the 'same' as its student,
            about which it is asked in every step.
        ratios: shares of a teacher's channels to remove.
        losses: 'ce + kd', 'kd alone', or both: what students of repaired teachers learn from.
        layer: a layer of the teacher, by the name that its module gives it; None for the input of its head.
        side: 'output' or 'input' of that layer.
        axis: of the channels; None to find it out.
        replace: what stands in for a removed channel: its training 'mean', 'zeros', or 'retrain' for a new
            head on the remaining ones.
        draws: random choices of channels per seed and ratio.
        truth: the channels of the layer declared to be shared, for oracle_kd.
        joint: how the aligned pair is trained.
        removal: how modalities go, in training and at test, for teacher and student alike.
        aux: the views of MSD's terms, 'only' m or all but m ('drop'); the same for two modalities.
        weighting: how saliency is measured, and the scheme of weights by instance.
        learned: how learned weights are learned.
        msd_weight: c, the factor of MSD's terms, where it is not tuned.
        drop: modality dropout of the control kd_drop, where it is not tuned.
        tune: choose the strengths of terms on validation data, with seeds of their own.
        rates: learning rates from which those of student and teacher are chosen, by what they reach with
            labels alone on validation data; none keeps the recipes'.
        teacher_dropout: train the teachers with so much modality dropout: they then know masked inputs.
        gate: lower the weights of views by the teacher's reliability on validation data.
        meta_share: part of the training split set aside for learned weights, where the data has no split
            'meta'; see `data.set_aside`, which takes whole groups.
    """

    profile: Literal["quick", "full"] = "quick"
    recipe: Recipe | None = None
    teacher_recipe: Recipe | None = None
    kd_weight: Fraction = 0.5
    temperature: Positive = 4.0
    convention: Literal["kl", "released"] = "kl"
    class_weight: Literal["balanced"] | dict[str, float] | None = None
    metric: str | None = None
    device: str = "auto"
    augment: Callable[..., Any] | None = None
    teacher_sees: Literal["clean", "same"] = "clean"
    ratios: tuple[Share, ...] = (0.25, 0.5, 0.75)
    losses: tuple[Loss, ...] = LOSSES
    layer: str | None = None
    side: Literal["output", "input"] = "output"
    axis: int | None = None
    replace: Literal["mean", "zeros", "retrain"] = "mean"
    draws: Count = 3
    truth: tuple[Natural, ...] | None = None
    joint: Joint = Field(default_factory=Joint)
    removal: Literal["zeros", "mean", "attention", "permutation", "learned"] = "zeros"
    aux: Literal["only", "drop"] = "only"
    weighting: Weighting = Field(default_factory=lambda: Weighting("normalised"))
    learned: LearnedWeights = Field(default_factory=LearnedWeights)
    msd_weight: NonNegative = 1.0
    drop: Rate = 0.3
    tune: Flag = True
    rates: tuple[Positive, ...] = ()
    teacher_dropout: Share = 0.0
    gate: Flag = False
    meta_share: Rate = 0.1

    def __post_init__(self) -> None:
        for name in ("ratios", "losses", "rates", "truth"):
            given = getattr(self, name) or ()
            require(len(set(given)) == len(given), name, list(given), "must not name one twice")
        for name in ("ratios", "losses"):
            require(len(getattr(self, name)) > 0, name, [], "must hold at least one")
        rule = f"must be that of msd_instance, {listing(BY_SAMPLE)}"
        require(self.weighting.scheme in BY_SAMPLE, "weighting.scheme", self.weighting.scheme, rule, OTHERS)
        one_of("weighting.control", self.weighting.control, ("none",))
        known = self.augment is not None or self.teacher_sees == "clean"
        rule = "must be 'clean' where nothing is augmented"
        require(known, "teacher_sees", self.teacher_sees, rule, "Give augment=.")
        head = self.replace != "retrain" or self.layer is None
        rule = "is not what the head reads, and 'retrain' trains a new head"
        require(head, "layer", self.layer, rule, "Use layer=None, or replace by 'mean' or 'zeros'.")

    @classmethod
    def of(cls, study: str, known: Sequence[str], given: Mapping[str, Any], **defaults: Any) -> Config:  # noqa: ANN401 - any field
        """The configuration of a study that knows these options; `defaults` are the study's own.

        Raises `LabError` for an option that the study does not know, or a value out of range.
        """
        names = [*_COMMON, *known]
        for name in given:
            if name not in names:
                raise LabError(name, given[name], f"is no option of {study}: {listing(sorted(names))}")
        told = {name: value for name, value in given.items() if value is not None}
        return cls(**{**defaults, **told})

    def describe(self, *names: str) -> dict[str, Any]:
        """These fields, and those that every study has, as plain values for provenance."""
        plain: dict[str, Any] = asdict(self)
        if self.augment is not None:
            plain["augment"] = Augment(self.augment).describe()["source"]
        chosen = [f.name for f in fields(self) if f.name in (*_COMMON, *names)]
        return {name: plain[name] for name in chosen if name not in ("recipe", "teacher_recipe", "device")}


_COMMON = (
    *("profile", "recipe", "teacher_recipe", "kd_weight", "temperature", "convention", "class_weight"),
    *("metric", "device", "augment", "teacher_sees"),
)
#: The options that only some studies know.
REPAIR_OPTIONS = ("ratios", "losses", "layer", "side", "axis", "replace", "draws", "truth", "joint")
MSD_OPTIONS = (
    *("removal", "aux", "weighting", "learned", "msd_weight", "drop", "tune", "rates"),
    *("teacher_dropout", "gate", "meta_share"),
)


def splits_needed(data: PairedData, recipes: Mapping[str, Recipe], *also: str) -> None:
    """Raise `LabError` unless the data has the splits that training, selection and the report need."""
    for split in ("train", "test", *also):
        require(split in data.splits, "dataset", list(data.splits), f"must have a {split!r} split")
    for argument, recipe in recipes.items():
        selects = recipe.select == "best_val" or recipe.patience is not None
        require(
            "val" in data.splits or not selects,
            "dataset",
            list(data.splits),
            f"must have a 'val' split, since {argument} selects by it",
            "Add one, or use Recipe(select='last'). The test split never selects.",
        )
