"""What a teacher brought, once it is known: every arm's students of one modality, trained side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from mmkd_lab.core.stats import Interval, mean_interval
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import KD, CrossEntropy, Distillation, TeacherOutputs, labels_only
from mmkd_lab.experiments.config import splits_needed
from mmkd_lab.experiments.networks import teacher_seed
from mmkd_lab.experiments.profiles import PROFILES
from mmkd_lab.experiments.report import load_data
from mmkd_lab.forecast.evidence import Known, evidence
from mmkd_lab.forecast.pair import pair_of, sides_of
from mmkd_lab.forecast.records import learned
from mmkd_lab.models import NetSpec
from mmkd_lab.models.removal import are_ids
from mmkd_lab.models.spec import EncoderName, names_of
from mmkd_lab.training import Recipe, Replicas, fit, teacher_outputs
from mmkd_lab.training.fit import TrainingResult
from mmkd_lab.training.inputs import vocabulary
from mmkd_lab.training.metrics import score

#: The loss of every taught student: (1 - RHO) CE + RHO T^2 KL.
RHO, TEMPERATURE = 0.5, 4.0
SEEDS = 8
#: Steps: as often as half of the networks of an arm still improve at the end, twice as many for all arms.
STEPS, MOST_STEPS, BATCH, LOOKS, RATE = 200, 800, 32, 20, 1e-2
WIDE, COMPONENTS = 256, 64
#: The modalities that a teacher reads, sorted.
Sees = tuple[str, ...]
#: What the teacher of an arm sees.
SEES = {"cm_kd": "other", "um_kd": "student", "mm_kd": "all"}

_TEACHER, _STUDENT = NetSpec(width=8, features=32), NetSpec(width=4, features=16)


@dataclass(frozen=True)
class Gain:
    """What an arm brought over no KD on the test split, in points, over paired seeds; the other fields are
    the columns `teacher_test`, `plain_test`, `steps` and `late` of the atlas."""

    found: Interval
    teacher: float
    plain: float
    steps: int
    late: float

    def as_row(self) -> dict[str, float]:
        """Columns of the atlas."""
        gain = {"gain": self.found.mean, "low": self.found.low, "high": self.found.high}
        more = {"teacher_test": self.teacher, "plain_test": self.plain, "steps": self.steps}
        return {**gain, "seeds": self.found.n, **more, "late": self.late}


def sees(arm: str, teacher: str, student: str) -> Sees:
    """The modalities that the teacher of an arm reads."""
    return {"other": (teacher,), "student": (student,), "all": names_of((teacher, student))}[SEES[arm]]


def narrow(data: PairedData) -> PairedData:
    """Numbers wider than `WIDE` as their first `COMPONENTS` principal components of the training samples."""
    found, train = dict(data.modalities), data.positions("train")
    for name, values in data.modalities.items():
        if not are_ids(values) and prod(data.shapes[name]) > WIDE:
            x = values.cpu().double().flatten(1)
            mean = x[train].mean(0)
            directions = torch.linalg.svd(x[train] - mean, full_matrices=False)[2][:COMPONENTS]
            found[name] = ((x - mean) @ directions.T).float()
    return replace(data, modalities=found)


class Trials:
    """One data set, single-label, with splits train, val and test, and so many paired seeds. Its teachers are
    trained once, whoever they teach. Networks read wide modalities as `narrow` gives them."""

    def __init__(self, data: PairedData, *, seeds: int = SEEDS) -> None:
        self.data, self.seeds = narrow(data), range(seeds)
        self._teachers: dict[Sees, TeacherOutputs] = {}

    def gains(self, student: str, teachers: Iterable[Sees]) -> dict[Sees, Gain]:
        """What teachers of these modalities bring to students of one.

        Students of all of them and of none are trained in one call, from the same starts and in one order of
        the samples; the epoch of the best validation score is kept, and the test split selects nothing.
        """
        said = {sees: self.teacher(sees) for sees in dict.fromkeys(teachers)}
        count, task = len(self.seeds), self.data.task
        share = torch.tensor([0.0] * count + [RHO] * count * len(said), dtype=torch.float64)
        kd = KD(temperature=TEMPERATURE, convention="kl", task=task)
        loss = Distillation(((1.0 - share, CrossEntropy(task)), (share, kd)))
        # The first are told nothing: their weight of the teacher is 0.
        told = TeacherOutputs.stack([next(iter(said.values())), *said.values()])
        found, steps, late = self._trained(
            _STUDENT, (student,), list(self.seeds) * (1 + len(said)), loss, told
        )
        plain, *taught = np.split(
            self._scores(found.replicas.predict(self.data, split="test")), 1 + len(said)
        )
        known = [self._accuracy(one) for one in said.values()]
        mean, most = float(plain.mean()), np.maximum(late[0], late[1:])
        return {
            sees: Gain(mean_interval(mine - plain), accuracy, mean, steps, float(share))
            for sees, mine, accuracy, share in zip(said, taught, known, most, strict=True)
        }

    def teacher(self, sees: Sees) -> TeacherOutputs:
        """What teachers of these modalities say, one a seed."""
        if sees not in self._teachers:
            seeds = [teacher_seed(seed) for seed in self.seeds]
            found = self._trained(_TEACHER, sees, seeds, labels_only(self.data.task))[0]
            self._teachers[sees] = teacher_outputs(found.replicas, self.data)
        return self._teachers[sees]

    def _trained(
        self,
        spec: NetSpec,
        sees: Sees,
        seeds: Sequence[int],
        loss: Distillation,
        told: TeacherOutputs | None = None,
    ) -> tuple[TrainingResult, int, npt.NDArray[np.float64]]:
        """Networks, the steps they took, and for each arm how many of its seeds were improving at the end."""
        data, texts = self.data, vocabulary(self.data)
        dense: dict[str, EncoderName] = {name: "mlp" for name in sees if name not in texts}
        spec = replace(spec, modalities=sees, encoder=dense or "auto")
        untrained = Replicas.build(spec, data, seeds=seeds, device="cpu", dtype=torch.float64)
        steps, late = STEPS // 2, np.ones(1)
        while late.max() >= 0.5 and steps < MOST_STEPS:
            steps *= 2
            recipe = Recipe(steps=steps, batch_size=BATCH, lr=RATE, precision="64-true")
            looks = max(1, steps // (LOOKS * recipe.length(len(data.positions("train")))[0]))
            recipe = replace(recipe, validate_every=looks)
            found = fit(untrained, data, loss, recipe, teacher=told, mode="stacked", progress=False)
            losses = found.history[(found.history["split"] == "val") & (found.history["metric"] == "nll")]
            wide = losses.pivot_table(index="replica", columns="epoch", values="value")
            epochs = np.asarray(wide.columns, dtype=float)
            improving = (epochs[wide.to_numpy().argmin(1)] > 0.9 * epochs.max()).astype(float)
            late = improving.reshape(-1, len(self.seeds)).mean(1)
        return found, steps, late

    def _accuracy(self, said: TeacherOutputs) -> float:
        rows = self.data.positions("test")
        return float(self._scores(said.rows(self.data.sample_index[rows]).logits).mean())

    def _scores(self, logits: Tensor) -> npt.NDArray[np.float64]:
        target = self.data.target[self.data.positions("test")]
        return np.asarray(score(logits, target, task=self.data.task)["accuracy"].numpy(), dtype=float)


def measured(dataset: str | PairedData, *, student: str, teacher: str | None = None) -> pd.DataFrame:
    """The rows of the atlas that are about one pair: every arm trained, beside the evidence and the forecast.

    Arguments and errors as `forecast`'s; and the data must have the splits train, val and test.
    """
    data = load_data(dataset, PROFILES["quick"])
    teacher, student = sides_of(data, student, teacher)
    splits_needed(data, {}, "val")
    made = {arm: sees(arm, teacher, student) for arm in SEES}
    pair, kept = pair_of(data, teacher, student, seed=0), Known()
    numbers = [evidence(pair.seen_by(what), known=kept) for what in SEES.values()]
    gains, rows = Trials(data).gains(student, made.values()), []
    for (arm, what), found in zip(made.items(), numbers, strict=True):
        model, row = learned(arm).model, pd.DataFrame([found])
        about = {"set": data.name, "setting": data.fingerprint, "teacher": teacher, "student": student}
        said = {"foretold": model.probability(row)[0], "expected": model.gain(row)[0]}
        rows.append({**about, "samples": pair.samples, "arm": arm, **gains[what].as_row(), **said, **found})
    return pd.DataFrame(rows)
