"""The networks of a repair study: which there are, and how each is made once and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import nn

from mmkd_lab.attribution import ChannelSaliency, by_channel
from mmkd_lab.attribution.layers import Cut
from mmkd_lab.core.seed import derive
from mmkd_lab.distill import Objective
from mmkd_lab.distill.arms import WHOLE
from mmkd_lab.experiments.store import Key, Result, ResultStore, key
from mmkd_lab.models import NetSpec
from mmkd_lab.study.channels import Channels, Editor, Joint, aligned_pair, kept_channels, scores_of
from mmkd_lab.study.networks import Network, Workshop, cache_of
from mmkd_lab.study.setting import Setting, teacher_seed
from mmkd_lab.training.replicas import Replicas

WITH_LABELS, ALONE = LOSSES = ("ce + kd", "kd alone")

#: Called once for every network: which, and 'stored' or 'trained'.
Done = Callable[[str, str], None]


@dataclass(frozen=True)
class Teacher:
    """One kind of teacher: an arm, the share of channels removed, and which random draw."""

    arm: str
    ratio: float | None = None
    draw: int = 0


@dataclass(frozen=True)
class Lesson:
    """One kind of student: who teaches it, and with which loss."""

    arm: str
    ratio: float | None
    draw: int
    loss: str
    teacher: Teacher | None


@dataclass
class Trained:
    """The outcomes, one per seed, and the channels that teachers kept: {'arm, ratio, draw': one a seed}.

    `living` counts those that were removed and were not the same for all training samples: taking a dead
    channel away is no edit. None for an entry of the store that was made before they were counted.
    """

    teachers: dict[Teacher, list[Result]] = field(default_factory=dict)
    students: dict[Lesson, list[Result]] = field(default_factory=dict)
    channels: dict[str, list[list[int]]] = field(default_factory=dict)
    living: dict[str, list[int | None]] = field(default_factory=dict)
    pairs: dict[int, Pair] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Repairs:
    """What a repair study asks for, checked; arguments as in `focusing.repair_teachers`."""

    setting: Setting
    ratios: tuple[float, ...]
    losses: tuple[str, ...]
    layer: str | None
    side: str
    axis: int
    replace: str
    draws: int
    truth: Channels | None
    joint: Joint
    store: ResultStore

    @property
    def probe(self) -> str:
        """The split on which features are kept and hypotheses computed: not the one that gains come from."""
        return "val" if "val" in self.setting.data.splits else "train"

    def lessons(self, arm: str, loss: str, ratio: float) -> list[Lesson]:
        """The kinds of student that stand for an arm at a ratio: several for random channels."""
        if arm == "no_kd":
            return [Lesson(arm, None, 0, WITH_LABELS, None)]
        at = None if arm in ("cm_kd", "oracle_kd", *WHOLE) else ratio
        draws = range(self.draws if arm == "random_kd" else 1)
        return [Lesson(arm, at, draw, loss, Teacher(arm, at, draw)) for draw in draws]

    @cached_property
    def every_lesson(self) -> list[Lesson]:
        """All kinds of student, each once."""
        names, ratios, losses = self.setting.names, self.ratios, self.losses
        found = [x for arm in names for loss in losses for r in ratios for x in self.lessons(arm, loss, r)]
        return list(dict.fromkeys(found))

    @cached_property
    def every_teacher(self) -> list[Teacher]:
        """All kinds of teacher, each once."""
        return list(dict.fromkeys(x.teacher for x in self.every_lesson if x.teacher is not None))

    @property
    def total(self) -> int:
        """How many networks there are."""
        return len(self.setting.seeds) * (len(self.every_lesson) + len(self.every_teacher))

    def describe(self) -> dict[str, object]:
        """For provenance."""
        return {
            "ratios": list(self.ratios),
            "losses": list(self.losses),
            "layer": self.layer,
            "side": self.side,
            "axis": self.axis,
            "replace": self.replace,
            "draws": self.draws,
            "truth": None if self.truth is None else self.truth.tolist(),
            "joint": self.joint.as_dict(),
            "probe": self.probe,
        }

    def teach(self, trained: Trained, done: Done) -> None:
        """Make every teacher."""
        for kind in self.every_teacher:
            if kind.arm == "cm_kd":
                trained.teachers[kind] = self._regular(done)
        trained.pairs.update({seed: Pair(self, seed) for seed in self.setting.seeds})
        for kind in (one for one in self.every_teacher if one.arm != "cm_kd"):
            found = [pair.of(kind.arm).edited(kind, done) for pair in trained.pairs.values()]
            trained.teachers[kind] = found
            if kind.arm not in WHOLE:
                name = f"{kind.arm}, {kind.ratio}, {kind.draw}"
                trained.channels[name] = [one.metrics["channels"] for one in found]
                trained.living[name] = [one.metrics.get("living_removed") for one in found]

    def train_students(self, trained: Trained, done: Done) -> None:
        """Train every student. Those without a teacher keep the features that hypotheses are about."""
        splits = tuple(self.setting.data.splits)
        for taught in (False, True):
            lessons = [x for x in self.every_lesson if (x.teacher is not None) == taught]
            if not lessons:
                continue
            networks = [self._network(x, i, trained) for x in lessons for i in range(len(self.setting.seeds))]
            workshop = Workshop(
                data=self.setting.data,
                spec=self.setting.student_spec.on(self.setting.student),
                recipe=self.setting.student_recipe,
                device=self.setting.device,
                store=self.store,
                keep=tuple(
                    split for split in splits if split != "train" or (self.probe == "train" and not taught)
                ),
                features=() if taught else (self.probe,),
            )
            results = iter(workshop.train(networks, done=lambda one, how: done(_name(one), how)))
            for lesson in lessons:
                trained.students[lesson] = [next(results) for _ in self.setting.seeds]

    def _network(self, lesson: Lesson, i: int, trained: Trained) -> Network:
        data, seed = self.setting.data, self.setting.seeds[i]
        arm = next(one for one in self.setting.arms if one.name == lesson.arm)
        return Network(
            role="student",
            arm=lesson.arm,
            seed=seed,
            stream=seed,
            objective=self.setting.objective(replace(arm, ce=lesson.loss == WITH_LABELS)),
            teacher=None if lesson.teacher is None else cache_of(trained.teachers[lesson.teacher][i], data),
        )

    def _regular(self, done: Done) -> list[Result]:
        """The independent teachers."""
        workshop = Workshop(
            data=self.setting.data,
            spec=self.setting.teacher_spec.on(self.setting.teacher),
            recipe=self.setting.teacher_recipe,
            device=self.setting.device,
            store=self.store,
            keep=tuple(self.setting.data.splits),
            features=(self.probe,),
        )
        alone = Objective(task=self.setting.data.task)
        networks = [Network("teacher", "other", s, teacher_seed(s), alone) for s in self.setting.seeds]
        return workshop.train(networks, done=lambda one, how: done(_name(one), how))


@dataclass(frozen=True, eq=False)
class Pair:
    """The aligned pair of one seed. Nothing of it is made before some edit of it is missing in the store."""

    repairs: Repairs
    seed: int

    def of(self, arm: str) -> Pair:
        """The pair that an arm's teacher comes from: this one, or its control without agreement."""
        joint = self.repairs.joint
        if arm != "unaligned_kd" or joint.objective.agreement == 0:
            return self
        apart = replace(joint, objective=replace(joint.objective, agreement=0.0))
        return Pair(replace(self.repairs, joint=apart), self.seed)

    def edited(self, kind: Teacher, done: Done) -> Result:
        """What the aligned teacher says with the channels of one kind, from the store or made."""
        name = self._key(kind)
        found, how = self.repairs.store.get(name), "stored"
        if found is None:
            found, how = self._make(kind, name), "trained"
        done(f"teacher {kind.arm}, seed {self.seed}", how)
        return found

    def _make(self, kind: Teacher, name: Key) -> Result:
        asked = self.repairs
        channels = None
        if kind.arm not in WHOLE:
            channels = kept_channels(
                kind.arm,
                self.saliency,
                ratio=kind.ratio or 0.0,
                seed=self.seed,
                draw=kind.draw,
                truth=asked.truth,
            )
        if asked.replace == "retrain":
            recipe, stream = asked.setting.teacher_recipe, derive(self.seed, "repair", "head")
            logits, kept = self.editor.retrained(
                channels, recipe=recipe, stream=stream, features=[asked.probe]
            )
        else:
            way = "zeros" if asked.replace == "zeros" else "mean"
            logits, kept = self.editor.keeping(channels, replace=way, features=[asked.probe])
        metrics = {
            "scores": scores_of(logits, asked.setting.data),
            "channels": [] if channels is None else channels.tolist(),
        }
        if channels is not None:
            lost = np.setdiff1d(np.flatnonzero(~self.saliency.constant), channels)
            metrics["living_removed"] = len(lost)
        said = {f"logits/{split}": values.numpy() for split, values in logits.items()}
        return asked.store.put(name, metrics, {**said, **kept})

    @cached_property
    def nets(self) -> tuple[nn.Module, nn.Module]:
        """The aligned teacher and its student, from the store or trained."""
        asked, name = self.repairs, key(**self._made_of())
        setting, stored = asked.setting, asked.store.get(name)
        specs, streams = self._specs(), self._streams()
        if stored is None:
            pair = aligned_pair(
                setting.data, *specs, joint=asked.joint, streams=streams, device=setting.device
            )
            state = {
                f"{role}/{part}": values.detach().cpu().numpy()
                for role, net in zip(("teacher", "student"), pair, strict=True)
                for part, values in net.state_dict().items()
            }
            stored = asked.store.put(name, {"role": "aligned pair"}, state)
        nets = []
        for role, spec, stream in zip(("teacher", "student"), specs, streams, strict=True):
            net = Replicas.build(spec, setting.data, seeds=[stream], device=setting.device).module()
            mine = {n.split("/", 1)[1]: v for n, v in stored.tensors.items() if n.startswith(f"{role}/")}
            net.load_state_dict({part: torch.from_numpy(values.copy()) for part, values in mine.items()})
            nets.append(net)
        return nets[0], nets[1]

    @cached_property
    def saliency(self) -> ChannelSaliency:
        """Algorithm 1, step 2, on the training split."""
        asked = self.repairs
        return by_channel(
            *self.nets,
            asked.setting.data,
            layer=asked.layer,
            side=asked.side,
            axis=asked.axis,
            seed=self.seed,
        )

    @cached_property
    def editor(self) -> Editor:
        """The aligned teacher, cut where its channels were ranked."""
        cut = Cut(self.nets[0], self.saliency.layer, self.saliency.side)
        return Editor(self.nets[0], self.repairs.setting.data, cut, self.repairs.axis)

    def _specs(self) -> tuple[NetSpec, NetSpec]:
        setting = self.repairs.setting
        return setting.teacher_spec.on(setting.teacher), setting.student_spec.on(setting.student)

    def _streams(self) -> tuple[int, int]:
        return derive(self.seed, "aligned", "teacher"), derive(self.seed, "aligned", "student")

    def _made_of(self) -> dict[str, object]:
        setting = self.repairs.setting
        return {
            "role": "aligned pair",
            "dataset": setting.data.fingerprint,
            "specs": [spec.as_dict() for spec in self._specs()],
            "joint": self.repairs.joint.as_dict(),
            "seed": self.seed,
            "device": setting.device.type,
            "torch": torch.__version__.split("+")[0],
        }

    def _key(self, kind: Teacher) -> Key:
        """Everything that determines a teacher; for a whole one, a mean or zeros for lost channels do not."""
        asked, edit = self.repairs, dict[str, object]()
        anew = asked.setting.teacher_recipe.as_dict() if asked.replace == "retrain" else None
        if kind.arm in WHOLE and anew is not None:
            edit = {"replace": asked.replace, "recipe": anew}
        if kind.arm not in WHOLE:
            edit = {
                "arm": kind.arm,
                "ratio": kind.ratio,
                "draw": kind.draw,
                "layer": [asked.layer, asked.side, asked.axis],
                "replace": asked.replace,
                "truth": asked.truth.tolist()
                if kind.arm == "oracle_kd" and asked.truth is not None
                else None,
                "recipe": anew,
            }
        return key(**{**self._made_of(), "role": "repaired teacher", "edit": edit, "features": asked.probe})


def _name(network: Network) -> str:
    return f"{network.role} {network.arm}, seed {network.seed}"
