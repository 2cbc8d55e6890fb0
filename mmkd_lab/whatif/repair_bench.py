"""What stands behind the repair panel: trained pairs, their activations, the students trained so far.

Everything is a job of the engine under the engine's own keys: what `study.repair_teachers` has stored is
found here, and what is trained here is found there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkd_lab.attribution import ChannelSaliency, Editor, Joint, RankingContext, kept_channels
from mmkd_lab.attribution.editing import Held
from mmkd_lab.attribution.layers import Cut, Readout, channel_axis, head_of, user_module
from mmkd_lab.attribution.networks import BATCH, evaluating
from mmkd_lab.attribution.rankings import Channels
from mmkd_lab.core.check import LabError, one_of, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import ARMS
from mmkd_lab.experiments.build import crossmodal
from mmkd_lab.experiments.config import REPAIR_OPTIONS, WITH_LABELS
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.lessons import Teacher
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.profiles import Profile
from mmkd_lab.experiments.repairs import tried, untrained
from mmkd_lab.experiments.runner import NotStored, OnlyStored, Runner
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.study import repair
from mmkd_lab.training.metrics import score
from mmkd_lab.training.recipe import Recipe

Numbers = npt.NDArray[np.float64]
#: {seed: test accuracy in percent}
BySeed = Mapping[int, float]

RATIOS = tuple(round(0.05 * i, 2) for i in range(20))
#: {ranking: the arm whose teacher keeps the first of that ranking}
ARM = {"general": "mg_kd", "specific": "ms_kd", "random": "random_kd", "weight": "weight_kd"}
WHOLE, CONTROL = "aligned_kd", "no_kd"
#: So small that a pair takes about two seconds on one core: dense networks, few samples.
SMALL = Profile(
    seeds=5,
    student=NetSpec(width=8, features=32),
    teacher=NetSpec(width=16, features=64),
    recipe=Recipe(epochs=15, batch_size=64, lr=3e-3),
    data={"av_digits": {"n_train": 1000, "n_val": 300, "n_test": 1000}},
    dense=True,
)
SMALL_JOINT = Joint(epochs=15, lr=0.03)


@dataclass(frozen=True)
class ChannelLayer:
    """A layer whose channels can be removed: how many it has, and whether the linear head reads them."""

    channels: int
    feeds_head: bool


@dataclass(eq=False)
class Bench:
    """Pairs of one experiment, cut at one layer.

    Args:
        experiment: with the arms of `ARM` that can be had there, no_kd and aligned_kd.
        store: where results are found and kept.
    """

    experiment: Experiment
    store: ResultStore
    held: dict[int, Held] = field(default_factory=dict)
    _teachers: dict[tuple[str, float], Numbers] = field(default_factory=dict)
    _students: dict[tuple[str, float], BySeed] = field(default_factory=dict)

    @cached_property
    def _plan(self) -> Plan:
        return Plan(self.experiment, Runner(self.store, jobs=1))

    @cached_property
    def _read(self) -> Plan:
        return Plan(self.experiment, OnlyStored(self.store))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The paired seeds."""
        return self.experiment.seeds

    @property
    def waiting(self) -> list[int]:
        """Seeds whose pair is not ready."""
        return [seed for seed in self.seeds if seed not in self.held]

    @property
    def chance(self) -> float:
        """Test accuracy of always naming the most frequent class, percent."""
        target = self._target.numpy()
        return float(100.0 * np.bincount(target).max() / len(target))

    @cached_property
    def _target(self) -> Any:  # noqa: ANN401 - a tensor
        data = self.experiment.data
        return data.target[data.positions("test")].cpu()

    def has(self, ranking: str) -> bool:
        """Whether a ranking can be had at this layer."""
        return ARM[ranking] in self.experiment.names

    # Teachers.

    def prepare(self, seed: int) -> None:
        """Have a seed's pair trained and ranked, and keep its teacher's activations on the test split."""
        kind = ARMS[WHOLE].teacher
        assert kind is not None
        self._plan.teach([Teacher(kind, seed)])
        teacher, _ = self._plan.pairs[True, seed].nets()
        editor = Editor.of(teacher, self.experiment.data, self.saliency(seed))
        replaced = self.experiment.config.replace
        assert replaced != "retrain"  # refused when the experiment was made
        self.held[seed] = editor.held("test", replace=replaced)

    def saliency(self, seed: int) -> ChannelSaliency:
        """Of the channels of a seed's teacher, once it is prepared."""
        return self._plan.rankings[True, seed]

    @property
    def channels(self) -> int:
        """How many the layer has, once a pair is prepared."""
        return len(self.saliency(next(iter(self.held))))

    def removed(self, ratio: float) -> int:
        """How many channels go at a ratio."""
        return int(ratio * self.channels + 1e-9)  # as `kept_channels` counts

    def kept(self, ranking: str, ratio: float, seed: int, draw: int = 0) -> Channels | None:
        """Which channels of a seed's teacher stay; None for all."""
        if self.removed(ratio) == 0:
            return None
        return kept_channels(ranking, RankingContext(self.saliency(seed), seed=seed, draw=draw), ratio)

    def teachers(self, ranking: str, ratio: float) -> Numbers:
        """(seeds,) test accuracy of the reduced teachers, percent; of random choices the mean over draws."""
        at = (ranking, ratio)
        if at not in self._teachers:
            draws = self.experiment.config.draws if ranking == "random" and self.removed(ratio) else 1
            each = [[self._accuracy(ranking, ratio, seed, d) for d in range(draws)] for seed in self.seeds]
            self._teachers[at] = np.array(each).mean(1)
        return self._teachers[at]

    def _accuracy(self, ranking: str, ratio: float, seed: int, draw: int) -> float:
        logits = self.held[seed].logits(self.kept(ranking, ratio, seed, draw))
        return float(score(logits[None], self._target, task=self.experiment.data.task)["accuracy"][0])

    # Students.

    def control(self) -> BySeed:
        """The stored students that learnt from the labels alone."""
        return self._stored(CONTROL, 0.0)

    def students(self, ranking: str, ratio: float) -> BySeed:
        """The stored students of teachers reduced so; with nothing removed, those of the whole teacher."""
        whole = self.removed(ratio) == 0
        return self._stored(WHOLE if whole else ARM[ranking], 0.0 if whole else ratio)

    def trained(self, ranking: str, ratios: Sequence[float]) -> dict[float, BySeed]:
        """Those of these ratios that have students, with them."""
        return {ratio: found for ratio in ratios if (found := self.students(ranking, ratio))}

    def _stored(self, arm: str, ratio: float) -> BySeed:
        if (arm, ratio) not in self._students:
            found = {}
            for seed in self.seeds:
                try:
                    found[seed] = self._student(self._read, arm, ratio, seed)
                except NotStored:
                    continue
            self._students[arm, ratio] = found
        return self._students[arm, ratio]

    def train(self, ranking: str, ratio: float, seed: int) -> None:
        """Train one seed's students of a teacher reduced so, and the one without a teacher, unless stored."""
        arm = WHOLE if self.removed(ratio) == 0 else ARM[ranking]
        for one, at in ((CONTROL, 0.0), (arm, 0.0 if arm == WHOLE else ratio)):
            value = self._student(self._plan, one, at, seed)
            self._students[one, at] = {**self._stored(one, at), seed: value}

    def _student(self, plan: Plan, arm: str, ratio: float, seed: int) -> float:
        """Test accuracy of one seed's student of an arm, percent; of random choices the mean over draws."""
        experiment = self.experiment
        config = replace(experiment.config, ratios=(ratio,), losses=(WITH_LABELS,))
        one = replace(experiment, arms=(ARMS[arm],), seeds=(seed,), config=config)
        results = repair.Repair(one).train(plan)
        found = [result.metrics["scores"]["test"]["accuracy"] for each in results.values() for result in each]
        return float(np.mean(found))


def experiment_of(
    data: PairedData,
    *,
    student: str,
    teacher: str,
    layer: str,
    seeds: int,
    size: str,
    options: Mapping[str, Any],
) -> Experiment:
    """A repair experiment, its layer not yet tried; `options` are further ones of `study.repair_teachers`.

    Raises `LabError` for what that refuses, and for new heads, which no cached activation can stand for.
    """
    given: dict[str, Any] = {"profile": "quick" if size == "small" else size}
    if size == "small":
        given |= {"recipe": SMALL.recipe, "joint": SMALL_JOINT}
        given |= {f"{role}_model": SMALL.network(role, data) for role in ("student", "teacher")}
    given |= {"ratios": (0.5,), "layer": layer or None, **options}
    models = given.pop("student_model", None), given.pop("teacher_model", None)
    rule = "trains a new head at each ratio, which cannot be shown at once"
    require(given.get("replace") != "retrain", "replace", "retrain", rule, "Use 'mean' or 'zeros'.")
    names = [CONTROL, WHOLE, *ARM.values()]
    return crossmodal(
        repair.NAME,
        data,
        student=student,
        teacher=teacher,
        arms=(names, names, (CONTROL,)),
        seeds=range(seeds),
        models=models,
        options=given,
        known=REPAIR_OPTIONS,
        probe=True,
    )


def cut_at(experiment: Experiment, known: Mapping[str, ChannelLayer]) -> Experiment:
    """The same, its layer tried, without |W| where no linear head reads it; `known` are `layers` of it."""
    layer, arms = experiment.config.layer, experiment.arms
    if layer is not None:
        one_of("layer", layer, known)
        if not known[layer].feeds_head:
            arms = tuple(arm for arm in arms if arm.name != ARM["weight"])
    return tried(replace(experiment, arms=arms))


def layers(experiment: Experiment) -> dict[str, ChannelLayer]:
    """{layer of the teacher: what it has}, of those that pass channels and are used once; not the logits."""
    teacher, _, few = untrained(experiment)
    found: dict[str, ChannelLayer] = {}
    with evaluating(teacher):
        x = {name: few[name] for name in experiment.modalities["other"]}
        head = head_of(teacher, x)
        for name, _ in user_module(teacher).named_modules():
            if not name or name == head:
                continue
            cut = Cut(teacher, name)
            try:
                passed, _ = cut.read(x, batch_size=BATCH)
                axis = channel_axis(cut, passed, experiment.config.axis)
            except LabError:  # a container that is never called, or what passes are no channels
                continue
            readout = Readout.of(cut, x, passed, axis=axis, batch_size=BATCH)
            found[name] = ChannelLayer(passed.shape[axis], readout is not None)
    return found


@dataclass(frozen=True)
class Line:
    """A value that no network reached: on the straight line between the trained ratios to either side."""

    value: float
    low: float
    high: float


def between(points: Mapping[float, BySeed], ratio: float, *, seeds: int) -> Line | None:
    """The straight line at a ratio, between trained ones with all seeds; None outside them: no guess."""
    whole = sorted(at for at, found in points.items() if len(found) == seeds)
    below, above = [at for at in whole if at <= ratio], [at for at in whole if at >= ratio]
    if not below or not above:
        return None
    low, high = below[-1], above[0]
    ends = [float(np.mean(list(points[at].values()))) for at in (low, high)]
    return Line(float(np.interp(ratio, [low, high], ends)), low, high)
