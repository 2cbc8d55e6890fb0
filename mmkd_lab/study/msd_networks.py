"""Train the networks of a comparison and keep each one's outcome, so that a killed run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.core.fingerprint import digest_arrays
from mmkd_lab.distill.objective import Objective
from mmkd_lab.distill.teacher_views import TeacherViews
from mmkd_lab.experiments.store import Arrays, Key, Result, ResultStore, key
from mmkd_lab.models import NetSpec, View
from mmkd_lab.study.msd_losses import LEARNED, loss
from mmkd_lab.study.msd_setting import MsdSetting
from mmkd_lab.training import strategy
from mmkd_lab.training.fit import Fit, fit
from mmkd_lab.training.pruning import prune
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas

#: Splits whose outputs are kept.
KEPT = ("val", "test")
#: Under what name the learned weights of the training samples are kept, a tensor for each view.
BY_SAMPLE = "sample_weights"

#: Called once for every network: which, and 'stored' or 'trained'.
Done = Callable[[str, str], None]


@dataclass(frozen=True, eq=False)
class Pupil:
    """One student to train.

    Args:
        stream: the seed of its weights and of its order of samples.
        kd: its rho.
        factor: the factor of its method.
        teacher: what its teacher hands to it (R = 1), or None.
        from_teacher: the network it is pruned from (R = 1), for the arm 'pruned'.
    """

    stream: int
    kd: float
    factor: float
    teacher: TeacherViews | None = None
    from_teacher: Replicas | None = None


@dataclass(frozen=True, eq=False)
class MsdWorkshop:
    """How the networks of a setting are trained and kept."""

    setting: MsdSetting
    store: ResultStore
    done: Done

    def teachers(self, streams: Sequence[int], *, modality: str | None = None) -> Replicas:
        """One trained teacher per seed, of every modality or of one."""
        setting = self.setting
        spec, recipe = setting.teacher_spec, setting.teacher_recipe
        if modality is not None:
            spec, recipe = spec.on(modality), replace(recipe, modality_dropout=0.0)
        untrained = Replicas.build(spec, setting.data, seeds=streams, device=setting.device)
        mode = strategy.choose(untrained.net, setting.device)
        keys = [self._teacher_key(spec, recipe, stream, mode) for stream in streams]

        def make(group: list[int]) -> list[tuple[dict[str, object], Arrays]]:
            dropout = setting.operator() if recipe.modality_dropout else None
            fitted = fit(
                untrained[group],
                setting.data,
                Objective(task=setting.data.task),
                recipe,
                mode=mode,
                dropout_removal=dropout,
                progress=False,
            )
            return [_state(fitted, r) for r in range(len(group))]

        name = "teacher" if modality is None else f"teacher of {modality}"
        found = self._each(keys, make, stacked=mode == "stacked", name=name)
        state = {part: np.stack([one.tensors[part] for one in found]) for part in found[0].tensors}
        loaded = {part: torch.from_numpy(values).to(setting.device) for part, values in state.items()}
        return untrained.with_state(loaded)

    def students(self, arm: str, pupils: Sequence[Pupil]) -> list[Result]:
        """The outcomes of one arm's students."""
        if arm == "pruned":
            return self._pruned(pupils)
        if arm == "kd_drop" and len({pupil.factor for pupil in pupils}) > 1:
            return self._dropping(pupils)
        setting = self.setting
        streams = [pupil.stream for pupil in pupils]
        untrained = Replicas.build(setting.student_spec, setting.data, seeds=streams, device=setting.device)
        mode = strategy.choose(untrained.net, setting.device)
        recipe = setting.student_recipe
        if arm == "kd_drop":
            recipe = replace(recipe, modality_dropout=pupils[0].factor)
        keys = [self._student_key(arm, pupil, recipe, mode) for pupil in pupils]

        def make(group: list[int]) -> list[tuple[dict[str, object], Arrays]]:
            some = [pupils[i] for i in group]
            if (
                arm in LEARNED
            ):  # torch loads what looking ahead needs at first use, which is no part of a step
                one = replace(recipe, epochs=None, steps=1)
                self._fitted(arm, untrained[group[:1]], some[:1], one, mode)
            before = self._clock()
            fitted = self._fitted(arm, untrained[group], some, recipe, mode)
            each = (self._clock() - before) / sum(steps_run(fitted, recipe, self._samples))
            return [self._outcome(fitted, r, each) for r in range(len(group))]

        return self._each(keys, make, stacked=mode == "stacked", name=arm)

    def _fitted(
        self, arm: str, untrained: Replicas, pupils: Sequence[Pupil], recipe: Recipe, mode: str
    ) -> Fit:
        setting = self.setting
        objective = loss(setting, arm, kd=[p.kd for p in pupils], factor=[p.factor for p in pupils])
        taught = [pupil.teacher for pupil in pupils if pupil.teacher is not None]
        return fit(
            untrained,
            setting.data,
            objective.to(setting.device),
            recipe,
            teacher=TeacherViews.stack(taught).to(setting.device) if taught else None,
            mode=mode,
            dropout_removal=setting.operator() if recipe.modality_dropout else None,
            progress=False,
        )

    def _dropping(self, pupils: Sequence[Pupil]) -> list[Result]:
        """Students of several rates of modality drop, one rate after the other: a recipe has one."""
        rates = sorted({pupil.factor for pupil in pupils})
        each = {
            rate: iter(self.students("kd_drop", [p for p in pupils if p.factor == rate])) for rate in rates
        }
        return [next(each[pupil.factor]) for pupil in pupils]

    def _pruned(self, pupils: Sequence[Pupil]) -> list[Result]:
        """UPop's search on the labels, then training of what is left, each as long as a student's training;
        each network by itself."""
        setting, recipe = self.setting, self.setting.student_recipe
        student = Replicas.build(setting.student_spec, setting.data, seeds=[0], device=setting.device)
        size = sum(value[0].numel() for value in student.parameters.values())
        keys = [self._pruned_key(pupil, size) for pupil in pupils]

        def make(group: list[int]) -> list[tuple[dict[str, object], Arrays]]:
            (pupil,) = (pupils[i] for i in group)
            assert pupil.from_teacher is not None
            before = self._clock()
            left = prune(pupil.from_teacher, setting.data, recipe, parameters=size, progress=False).nets[0]
            alone = Objective(task=setting.data.task)
            fitted = fit(left, setting.data, alone, recipe, progress=False)
            steps = recipe.length(self._samples)[1] + sum(steps_run(fitted, recipe, self._samples))
            return [self._outcome(fitted, 0, (self._clock() - before) / steps)]

        return self._each(keys, make, stacked=False, name="pruned")

    def _each(
        self,
        keys: Sequence[Key],
        make: Callable[[list[int]], list[tuple[dict[str, object], Arrays]]],
        *,
        stacked: bool,
        name: str,
    ) -> list[Result]:
        """From the store or made. Stacked replicas are always trained as the same full group, since the last
        digits of one may depend on how many stand beside it."""
        found = [self.store.get(one) for one in keys]
        for one in found:
            if one is not None:
                self.done(name, "stored")
        missing = [i for i, one in enumerate(found) if one is None]
        groups = [list(range(len(keys)))] if stacked and missing else [[i] for i in missing]
        for group in groups:
            for i, (metrics, tensors) in zip(group, make(group), strict=True):
                if found[i] is None:
                    found[i] = self.store.put(keys[i], metrics, tensors)
                    self.done(name, "trained")
        return [one for one in found if one is not None]

    def _outcome(self, fitted: Fit, r: int, seconds: float) -> tuple[dict[str, object], Arrays]:
        setting, one = self.setting, fitted.replicas[r]
        kept: dict[str, npt.NDArray[np.generic]] = {}
        for split in KEPT:
            for view in setting.looked_at:
                said = one.predict(setting.data, split=split, view=view, removal=setting.operator())
                kept[f"logits/{split}/{view.label}"] = said[0].numpy()
        if fitted.weights is not None:
            mine = fitted.weights[fitted.weights["replica"] == r]
            wide = mine.pivot_table(index="step", columns="view", values="value")
            kept["weights/step"] = wide.index.to_numpy(dtype=np.int64)
            kept |= {f"weights/{view}": wide[view].to_numpy(dtype=np.float64) for view in wide}
        if fitted.weights_by_sample is not None:
            each = zip(setting.views, fitted.weights_by_sample[r].numpy(), strict=True)
            kept |= {f"{BY_SAMPLE}/{view.label}": values for view, values in each}
        metrics: dict[str, object] = {
            "seconds": seconds,
            "best_epoch": int(fitted.best_epoch[r]),
            "parameters": sum(value[0].numel() for value in one.parameters.values()),
        }
        return metrics, kept

    def _clock(self) -> float:
        """Seconds: of the processor on a CPU, which others may be using too."""
        if self.setting.device.type != "cpu":
            torch.cuda.synchronize() if self.setting.device.type == "cuda" else None
            return time.perf_counter()
        return time.process_time()

    @property
    def _samples(self) -> int:
        return len(self.setting.data.positions("train"))

    def _common(self) -> dict[str, object]:
        return {
            "dataset": self.setting.data.fingerprint,
            "removal": self.setting.removal,
            "device": self.setting.device.type,
            "torch": torch.__version__.split("+")[0],
        }

    def _teacher_key(self, spec: NetSpec, recipe: Recipe, stream: int, mode: str) -> Key:
        made = {"spec": spec.as_dict(), "recipe": recipe.as_dict(), "seed": stream, "mode": mode}
        return key(role="teacher of views", **self._common(), **made)

    def _student_key(self, arm: str, pupil: Pupil, recipe: Recipe, mode: str) -> Key:
        """Everything that determines the outcome; a teacher counts by what it says and how it weighs."""
        setting = self.setting
        objective = loss(setting, arm, kd=[pupil.kd], factor=[pupil.factor])
        return key(
            role="student of views",
            **self._common(),
            spec=setting.student_spec.as_dict(),
            recipe=recipe.as_dict(),
            loss=objective.describe(),
            teacher=None if pupil.teacher is None else said(pupil.teacher),
            views=[view.label for view in setting.looked_at],
            seed=pupil.stream,
            mode=mode,
            # An entry of these arms alone: their students were once kept without it, all others stay valid.
            **({"kept": [BY_SAMPLE]} if arm in LEARNED else {}),
        )

    def _pruned_key(self, pupil: Pupil, size: int) -> Key:
        assert pupil.from_teacher is not None
        parameters = {name: value.cpu().numpy() for name, value in pupil.from_teacher.parameters.items()}
        return key(
            role="pruned teacher",
            **self._common(),
            teacher=digest_arrays(sorted(parameters.items())),
            spec=self.setting.teacher_spec.as_dict(),
            recipe=self.setting.student_recipe.as_dict(),
            views=[view.label for view in self.setting.looked_at],
            parameters=size,
            seed=pupil.from_teacher.seeds[0],
        )


def steps_run(fitted: Fit, recipe: Recipe, samples: int) -> list[int]:
    """How many steps each replica took of a recipe that may stop early, for so many training samples."""
    per_epoch, most = recipe.length(samples)
    epochs = fitted.history.groupby("replica")["epoch"].max()
    return [min(per_epoch * int(last), most) for last in epochs.sort_index()]


def said(teacher: TeacherViews) -> str:
    """A fingerprint of everything a teacher hands to a student."""
    named: dict[str, Tensor] = {"index": teacher.index, "logits": teacher.logits}
    for field in ("views", "view_features", "weights"):
        values: Mapping[View, Tensor] = getattr(teacher, field)
        named |= {f"{field}/{view.label}": value for view, value in values.items()}
    if teacher.features is not None:
        named["features"] = teacher.features
    return digest_arrays([(name, value.cpu().numpy()) for name, value in sorted(named.items())])


def _state(fitted: Fit, r: int) -> tuple[dict[str, object], Arrays]:
    one = fitted.replicas[r]
    state = {**one.parameters, **one.buffers}
    metrics: dict[str, object] = {
        "best_epoch": int(fitted.best_epoch[r]),
        "parameters": sum(value[0].numel() for value in one.parameters.values()),
    }
    return metrics, {name: value[0].detach().cpu().numpy() for name, value in state.items()}
