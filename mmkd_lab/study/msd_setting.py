"""What a comparison of KD and MSD is asked to do, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from mmkd_lab.core import check
from mmkd_lab.core.check import LabError, flat, listing, of_type, one_of, real, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.meta import set_aside
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.data.task import META
from mmkd_lab.distill.arms import MSD_ARMS, Arm
from mmkd_lab.distill.arms import arms as arms_of
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.msd import msd_views
from mmkd_lab.distill.saliency import needed_views
from mmkd_lab.distill.weights import Weighting
from mmkd_lab.models import NetSpec, View, build
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.models.removal import REMOVALS, Removal, removal_named
from mmkd_lab.study.msd_refusals import cannot_be_had
from mmkd_lab.study.msd_sizes import dense
from mmkd_lab.study.profiles import Profile
from mmkd_lab.training.recipe import Recipe

#: The seeds that rates and strengths are chosen with; no seed of a study is among them.
TUNING = tuple(derive(i, "kd_vs_msd", "tuning") for i in range(3))


@dataclass(frozen=True, eq=False)
class MsdSetting:
    """One comparison.

    Args:
        data: the paired samples, with the splits train, meta, val and test.
        arms: the arms, in the order of the table.
        seeds: the paired seeds.
        student_spec, teacher_spec: architectures; both read every modality.
        student_recipe, teacher_recipe: how they are trained.
        weighting: how saliency is measured, and the scheme of msd_instance.
        learned: how the learned arms learn; `level` is set by the arm.
        removal: the name of the operator that removes what a view does not keep, on both sides.
        aux: the views of MSD's terms: 'only' or 'drop'.
        temperature: T of every term on outputs.
        kd_weight, msd_weight: rho and c where nothing is tuned.
        drop: the modality dropout of kd_drop where nothing is tuned.
        gate: whether weights are lowered by the teacher's unreliability.
        tune: whether strengths are chosen on the validation split.
        rates: learning rates that student's and teacher's are chosen from; none keeps the recipes'.
        device: where the networks are trained.
        left_out: {arm: why it cannot be had here}.
    """

    data: PairedData
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    student_spec: NetSpec
    teacher_spec: NetSpec
    student_recipe: Recipe
    teacher_recipe: Recipe
    weighting: Weighting
    learned: LearnedWeights
    removal: str
    aux: str
    temperature: float
    kd_weight: float
    msd_weight: float
    drop: float
    gate: bool
    tune: bool
    rates: tuple[float, ...]
    device: torch.device
    left_out: dict[str, str]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(self.data.modalities))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arms."""
        return tuple(arm.name for arm in self.arms)

    @property
    def full(self) -> View:
        """Every modality."""
        return View.full(self.modalities)

    @property
    def views(self) -> tuple[View, ...]:
        """The views that MSD's terms compare."""
        return msd_views(self.modalities, kind=self.aux)

    @property
    def looked_at(self) -> tuple[View, ...]:
        """The views of the table: the full one, each modality alone, and those of MSD's terms."""
        alone = [View.only(m) for m in self.modalities]
        return tuple(dict.fromkeys([self.full, *alone, *self.views]))

    @property
    def cached(self) -> tuple[View, ...]:
        """What the teacher is asked, beside the full input."""
        asked = [*self.looked_at, *needed_views(self.modalities, credit=self.weighting.credit)]
        return tuple(view for view in dict.fromkeys(asked) if view != self.full)

    def operator(self) -> Removal:
        """A fresh removal: a permutation goes on in its stream, and no fit may depend on another."""
        return removal_named(self.removal, self.data)

    def describe(self) -> dict[str, object]:
        """For provenance."""
        return {
            "arms": list(self.names),
            "left_out": self.left_out,
            "seeds": list(self.seeds),
            "student_spec": self.student_spec.as_dict(),
            "teacher_spec": self.teacher_spec.as_dict(),
            "student_recipe": self.student_recipe.as_dict(),
            "teacher_recipe": self.teacher_recipe.as_dict(),
            "weighting": self.weighting.describe(),
            "learned": {k: v for k, v in self.learned.describe().items() if k not in ("level", "rate")},
            "removal": self.removal,
            "aux": self.aux,
            "temperature": self.temperature,
            "drop": self.drop,
            "gate": self.gate,
            "tune": self.tune,
            "rates": list(self.rates),
            "device": str(self.device),
        }


def settle(
    data: PairedData,
    profile: Profile,
    *,
    arms: Sequence[str] | None,
    seeds: Iterable[int] | None,
    student_spec: NetSpec | None,
    teacher_spec: NetSpec | None,
    recipe: Recipe | None,
    teacher_recipe: Recipe | None,
    teacher_dropout: float,
    weighting: Weighting | None,
    learned: LearnedWeights | None,
    removal: str,
    aux: str,
    temperature: float,
    kd_weight: float,
    msd_weight: float,
    drop: float,
    gate: bool,
    tune: bool,
    rates: Sequence[float] | None,
    meta_share: float,
    device: torch.device,
) -> MsdSetting:
    """The setting, or a `LabError` that names what is wrong with it."""
    names = list(data.modalities)
    one_of("removal", removal, REMOVALS)
    require(len(names) >= 2, "dataset", names, "must have at least two modalities", "MSD compares views.")
    one_of("task of dataset", data.task, (Task.SINGLE_LABEL, Task.MULTI_LABEL))
    for split in ("train", "val", "test"):
        require(split in data.splits, "dataset", list(data.splits), f"must have a {split!r} split")
    recipe = profile.recipe if recipe is None else of_type("recipe", recipe, Recipe, "a Recipe")
    taught = (
        recipe if teacher_recipe is None else of_type("teacher_recipe", teacher_recipe, Recipe, "a Recipe")
    )
    lost = real("teacher_dropout", teacher_dropout, at_least=0.0, at_most=0.99)
    taught = replace(taught, modality_dropout=lost) if lost else taught
    known = data if META in data.splits else set_aside(data, share=meta_share)
    student = _spec("student_spec", student_spec, profile.student, known)
    teacher = _spec("teacher_spec", teacher_spec, profile.teacher, known)
    _can_remove(known, (recipe, taught), {"student_spec": student, "teacher_spec": teacher}, removal, aux)
    chosen, left_out = _arms(arms, cannot_be_had(known, student, teacher, recipe=recipe, removal=removal))
    return MsdSetting(
        data=known,
        arms=chosen,
        seeds=check.seeds("seeds", range(profile.seeds) if seeds is None else seeds),
        student_spec=student,
        teacher_spec=teacher,
        student_recipe=recipe,
        teacher_recipe=taught,
        weighting=_weighting(weighting),
        learned=LearnedWeights()
        if learned is None
        else of_type("learned", learned, LearnedWeights, "LearnedWeights"),
        removal=removal,
        aux=aux,
        temperature=real("temperature", temperature, above=0.0),
        kd_weight=real("kd_weight", kd_weight, at_least=0.0, at_most=1.0),
        msd_weight=real("msd_weight", msd_weight, at_least=0.0),
        drop=real("drop", drop, above=0.0, at_most=0.99),
        gate=of_type("gate", gate, bool, "True or False"),
        tune=of_type("tune", tune, bool, "True or False"),
        rates=_rates(rates),
        device=device,
        left_out=left_out,
    )


def _arms(asked: Sequence[str] | None, cannot: dict[str, str]) -> tuple[tuple[Arm, ...], dict[str, str]]:
    """By default every arm that there can be; an arm that is asked for and cannot be is refused."""
    if asked is None:
        return arms_of([name for name in MSD_ARMS if name not in cannot], known=MSD_ARMS), cannot
    listed = flat("arms", asked, "a list of at least one arm", f"For example {list(MSD_ARMS)[:4]}.")
    chosen = arms_of([str(name) for name in listed], known=MSD_ARMS)
    for arm in chosen:
        if arm.name in cannot:
            raise LabError("arms", arm.name, f"cannot be had here: {cannot[arm.name]}", "Leave it out.")
    require("kd" in {arm.name for arm in chosen}, "arms", [arm.name for arm in chosen], "must hold 'kd'")
    return chosen, {}


def _weighting(given: Weighting | None) -> Weighting:
    weighting = (
        Weighting("normalised") if given is None else of_type("weighting", given, Weighting, "a Weighting")
    )
    by_sample = ("normalised", "softmax", "tanh")
    require(
        weighting.scheme in by_sample,
        "weighting.scheme",
        weighting.scheme,
        f"must be that of msd_instance, {listing(by_sample)}",
        "Uniform and fixed weights are for distill.weigh. Here msd_uniform is the arm with equal weights, "
        "and msd_population the one with the population's.",
    )
    one_of("weighting.control", weighting.control, ("none",))
    return weighting


def _rates(given: Sequence[float] | None) -> tuple[float, ...]:
    listed = (
        () if given is None else flat("rates", given, "a list of learning rates", "For example [1e-3, 1e-2].")
    )
    return tuple(real("rates", one, above=0.0) for one in listed)


def _spec(argument: str, given: NetSpec | None, otherwise: NetSpec, data: PairedData) -> NetSpec:
    spec = dense(otherwise, data) if given is None else of_type(argument, given, NetSpec, "a NetSpec")
    spec = spec.on(*data.modalities)
    if spec.vocabulary is None and data.vocabularies:
        spec = spec.with_vocabulary({name: len(words) for name, words in data.vocabularies.items()})
    return spec


def _can_remove(
    data: PairedData, recipes: Sequence[Recipe], specs: Mapping[str, NetSpec], removal: str, aux: str
) -> None:
    """Refuse now what would fail after the teachers are trained."""
    sample = data.batch(data.positions("train")[:2], tuple(data.modalities))
    for view in msd_views(tuple(sorted(data.modalities)), kind=aux):
        removal_named(removal, data).apply(sample, view)
    for recipe in recipes:
        require(
            not (recipe.modality_dropout > 0 and removal == "permutation"),
            "modality dropout",
            recipe.modality_dropout,
            "cannot be had with removal='permutation', which removes whole modalities",
        )
    for argument, spec in specs.items():
        net: MultimodalNet = build(spec, data.shapes, data.num_classes, seed=0)
        rule = f"{argument} cannot do it; it can do {listing(list(net.removals))}"
        require(removal in net.removals, "removal", removal, rule, "See nets.NetSpec.")
