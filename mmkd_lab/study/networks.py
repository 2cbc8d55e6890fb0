"""Train a study's networks and keep each one's outcome, so that a killed run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.core.fingerprint import digest_arrays
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import Objective, TeacherCache
from mmkd_lab.experiments.store import Arrays, Key, Result, ResultStore, key
from mmkd_lab.models import NetSpec
from mmkd_lab.training import strategy
from mmkd_lab.training.device import threads
from mmkd_lab.training.fit import Fit, fit
from mmkd_lab.training.metrics import score
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas


@dataclass(frozen=True, eq=False)
class Network:
    """One network to train.

    Args:
        role: 'teacher' or 'student'.
        arm: the student's arm; for a teacher what it sees, as `Arm.teacher` has it.
        seed: the study's seed, for the table.
        stream: the seed its weights and the order of its samples come from.
        objective: its loss, with plain numbers as weights.
        teacher: the cached outputs of its own teacher (R = 1), or None.
    """

    role: str
    arm: str
    seed: int
    stream: int
    objective: Objective
    teacher: TeacherCache | None = None


#: CPU threads that the networks of a study are trained on. More of them add in another order, and training
#: magnifies the last digits: with two, five-seed means on av_digits moved by up to 1.6 points. A table must
#: not depend on how many cores the machine has.
THREADS = 1

#: Called once for every network with how its outcome came: 'stored' or 'trained'.
Done = Callable[[Network, str], None]


@dataclass(frozen=True)
class Workshop:
    """How the networks of one architecture are trained and kept.

    Args:
        data: the samples.
        spec: the architecture, with the modalities it reads.
        recipe: the training.
        device: where.
        store: where outcomes are kept.
        keep: the splits whose logits are kept.
        features: the splits whose features are kept, together with the weight of the head that reads them.
    """

    data: PairedData
    spec: NetSpec
    recipe: Recipe
    device: torch.device
    store: ResultStore
    keep: tuple[str, ...]
    features: tuple[str, ...] = ()

    @threads(THREADS)
    def train(self, networks: Sequence[Network], *, done: Done) -> list[Result]:
        """The outcome of every network, from the store or by training; see `Done`.

        Replicas that are stacked are always trained as the same full group, even when some are stored
        already: the last digits of a stacked replica may depend on how many stand beside it.
        """
        untrained = Replicas.build(
            self.spec, self.data, seeds=[n.stream for n in networks], device=self.device
        )
        mode = strategy.choose(untrained.net, self.device)
        keys = [self._key(network, mode) for network in networks]
        stored = [self.store.get(name) for name in keys]
        for network, found in zip(networks, stored, strict=True):
            if found is not None:
                done(network, "stored")
        missing = [i for i, found in enumerate(stored) if found is None]
        everyone = list(range(len(networks)))
        groups = [[i] for i in missing] if mode != "stacked" else [everyone] if missing else []
        for group in groups:
            fitted = self._fit([networks[i] for i in group], untrained[group], mode)
            for r, i in enumerate(group):
                if stored[i] is None:
                    stored[i] = self.store.put(keys[i], *self._outcome(fitted, r))
                    done(networks[i], "trained")
        return [found for found in stored if found is not None]

    def _fit(self, networks: Sequence[Network], replicas: Replicas, mode: str) -> Fit:
        objective, teacher = _together(networks)
        return fit(
            replicas,
            self.data,
            objective.to(self.device),
            self.recipe,
            teacher=teacher,
            mode=mode,
            progress=False,
        )

    def _outcome(self, fitted: Fit, r: int) -> tuple[dict[str, object], Arrays]:
        one = fitted.replicas[r]
        logits = {split: one.predict(self.data, split=split) for split in self.data.splits}
        scores = {}
        for split, values in logits.items():
            target = self.data.target[self.data.positions(split)].cpu()
            named = score(values, target, task=self.data.task)
            scores[split] = {metric: float(value[0]) for metric, value in named.items()}
        history = fitted.history[fitted.history["replica"] == r].drop(columns=["replica", "seed"])
        metrics: dict[str, object] = {
            "scores": scores,
            "best_epoch": int(fitted.best_epoch[r]),
            "parameters": sum(value[0].numel() for value in one.parameters.values()),
            "history": history.to_dict("list"),
        }
        kept = {f"logits/{split}": logits[split][0].numpy() for split in self.keep if split in logits}
        for split in self.features:
            kept[f"features/{split}"] = one.features(self.data, split=split)[0].numpy()
        if self.features:
            kept["head"] = one.parameters["head.weight"][0].detach().cpu().numpy()
        return metrics, kept

    def _key(self, network: Network, mode: str) -> Key:
        """Everything that determines the outcome; a teacher counts by what it says, not how it was made."""
        return key(
            dataset=self.data.fingerprint,
            role=network.role,
            arm=None if network.role == "teacher" else network.arm,  # one teacher may serve several arms
            seed=network.stream,
            spec=self.spec.as_dict(),
            recipe=self.recipe.as_dict(),
            objective=network.objective.describe(),
            teacher=None if network.teacher is None else said(network.teacher),
            mode=mode,
            device=self.device.type,
            torch=torch.__version__.split("+")[0],
            **({"features": list(self.features)} if self.features else {}),
        )


def said(cache: TeacherCache) -> str:
    """A fingerprint of a teacher's cached outputs."""
    arrays: list[tuple[str, npt.NDArray[np.generic]]] = [
        ("index", cache.index.cpu().numpy()),
        ("logits", cache.logits.cpu().numpy()),
    ]
    return digest_arrays(arrays)


def cache_of(result: Result, data: PairedData) -> TeacherCache:
    """The stored outputs of one teacher, by sample index."""
    splits = [split for split in data.splits if f"logits/{split}" in result.tensors]
    index = torch.cat([data.sample_index[data.positions(split)].cpu() for split in splits])
    logits = torch.cat([torch.from_numpy(np.array(result.tensors[f"logits/{split}"])) for split in splits])
    cache = TeacherCache(index, logits[None])
    cache.require_fits(data)
    return cache


def _together(networks: Sequence[Network]) -> tuple[Objective, TeacherCache | None]:
    """One objective and one cache for a group; without a teacher the rows are blank and their weight is 0."""
    first = networks[0].objective
    ce, kd = (torch.tensor([float(getattr(n.objective, w)) for n in networks]) for w in ("ce", "kd"))
    objective = Objective(
        ce=ce, kd=kd, temperature=first.temperature, convention=first.convention, task=first.task
    )
    known = [n.teacher for n in networks if n.teacher is not None]
    if not known:
        return objective, None
    blank: Tensor = torch.zeros_like(known[0].logits)
    caches = [TeacherCache(known[0].index, blank) if n.teacher is None else n.teacher for n in networks]
    return objective, TeacherCache.stack(caches)
