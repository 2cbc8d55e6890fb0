"""Progressive pruning, with masks that shrink over the search.

Source: Shi et al. 2023, "UPop: unified and progressive pruning for compressing vision-language transformers".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import pi, sin
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmkd_lab.core.check import of_type, require, whole
from mmkd_lab.core.progress import watched
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.losses.ce import cross_entropy
from mmkd_lab.training.batch import full
from mmkd_lab.training.device import deterministic, make_fabric
from mmkd_lab.training.engine import Flat, clip_each
from mmkd_lab.training.inputs import Resident, datasets
from mmkd_lab.training.loop import require_finite
from mmkd_lab.training.order import Order
from mmkd_lab.training.pruning.search import Search
from mmkd_lab.training.recipe import Recipe, dtype_of, resolve_precision
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.schedule import optimiser, rates
from mmkd_lab.training.streamed import split_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Pruned:
    """What pruning leaves.

    Attributes:
        nets: one network per replica, each Replicas with R = 1: they have kept different units, so that they
            cannot be stacked. They are as good as the last step of the search left them; train them on with
            `fit`.
        table: tidy, one row per replica and group: replica, seed, group, kind, units, kept.
        parameters: (R,) parameters of each network.
        before: parameters of the network that was pruned.
        loss: (steps, R), the task's loss under the masks of each step, in nats.
    """

    nets: tuple[Replicas, ...]
    table: pd.DataFrame
    parameters: tuple[int, ...]
    before: int
    loss: Tensor

    def __repr__(self) -> str:
        return f"{len(self.nets)} networks pruned from {self.before:,} to {list(self.parameters)} parameters"


def budget_share(step: int, *, total: int) -> float:
    """sqrt((1 - cos(π (step + 1) / total)) / 2): the part of the budget that is pruned after `step`.

    It rises from near 0 and is exactly 1 after the last step, total - 1.
    """
    return sin(pi * (step + 1) / (2 * total))  # the same number, without the rounding at both ends


def prune(
    replicas: Replicas,
    data: PairedData | Sequence[PairedData],
    recipe: Recipe,
    *,
    parameters: int,
    every: int = 50,
    progress: bool = True,
    label: str = "",
) -> Pruned:
    """Prune trained networks, all modalities together, down to so many parameters, while they train on.

    Every unit has a mask, 1 at first, and gathers the gradient of the task's loss with respect to it. After
    the first step, every `every` steps and the last, the gradients are z-scored within each kind of unit and
    ranked over all layers and modalities; the units whose masks the loss would most like to shrink go, as
    many as the budget of this step demands (`budget_share`), and their masks become 1 minus the budget's
    share. At the end these are 0, and taking the units out changes nothing. One unit of each layer always
    stays.

    Three things differ from the released code. Its l1 penalty on the masks is left out: masks are at least 0,
    so that it adds one number to all gradients of a kind, and the z-score takes that away. It prunes
    dimensions that all heads of an attention share; here whole heads go. And its budget is the share of all
    units (a dimension of an attention counts 36), to which the nearest number goes; here it is the parameters
    of the network that is left, which must not exceed it, since a pruned network is compared with a student
    of so many. As there, the first ranking follows step 0, and z-scores divide by n - 1.

    The surgery is the lab's own: Torch-Pruning 1.6 leaves the number of a group norm's groups as it was, so
    that a network with four groups is broken when one channel goes.

    Args:
        replicas: R trained networks of one spec; they are left as they are.
        data: one dataset for all, or one per replica. The training split alone is read.
        recipe: length, optimiser, learning rate and batches of the search. The last weights are what is left:
            nothing is selected, so that the validation split is free for the training that follows.
        parameters: the most that each network may have left, for example those of a student.
        every: steps between two rankings; 50 in the paper.
        progress, label: show a progress bar of this name.

    Raises:
        LabError: networks whose units are not known (see `groups_of`), parameters out of `prunable_range`, a
            recipe with modality dropout or '16-mixed', or a loss that is no longer finite.
    """
    from tqdm.auto import tqdm

    of_type("replicas", replicas, Replicas, "Replicas", "See Replicas.build and Replicas.of.")
    of_type("recipe", recipe, Recipe, "a Recipe")
    whole("every", every)
    rate, given = recipe.modality_dropout, recipe.precision
    require(rate == 0, "recipe.modality_dropout", rate, "must be 0: the search sees whole samples")
    require(given != "16-mixed", "recipe.precision", given, "scales gradients", "Use 'bf16-mixed'.")
    sets = datasets(data, len(replicas))
    precision = resolve_precision(recipe, replicas.size, replicas.device)
    replicas = replicas.to(dtype=dtype_of(precision))
    search = Search(replicas, whole("parameters", parameters))
    resident = split_of(sets, replicas, recipe=recipe)
    fabric, total = make_fabric(replicas.device, precision), recipe.length(resident.samples)[1]
    flat, losses = Flat(list(search.weights.values())), []
    learning = [value for value in search.weights.values() if value.requires_grad]
    stepper = fabric.setup_optimizers(optimiser(flat.parameter, recipe))
    steps = enumerate(zip(rates(recipe, total=total), _slots(resident, recipe, replicas), strict=False))
    search.net.train()
    hidden = not watched(progress)
    with (
        deterministic(replicas.device),
        tqdm(total=total, desc=label or None, unit="step", leave=False, disable=hidden) as bar,
    ):
        for step, (rate, slots) in steps:
            x, target = resident.pick(slots)
            for group in stepper.param_groups:
                group["lr"] = rate
            flat.zero_grad()
            with fabric.autocast():
                logits = search.logits(x)
            loss = cross_entropy(full(logits), target, task=resident.task)
            fabric.backward(loss.sum())
            if recipe.clip is not None:
                clip_each([value.grad for value in learning if value.grad is not None], limit=recipe.clip)
            stepper.step()
            losses.append(loss.detach())
            if step % every == 0 or step + 1 == total:
                require_finite(loss, f"at step {step}", replicas.seeds, recipe)
                search.shrink(budget_share(step, total=total))
            bar.update()
    return _result(search, torch.stack(losses).cpu())


def _result(search: Search, loss: Tensor) -> Pruned:
    import pandas as pd

    nets, rows = [], []
    for r, seed in enumerate(search.replicas.seeds):
        nets.append(Replicas.of([search.small(r)], seeds=[seed], device=search.replicas.device))
        left = {name: int(kept.sum()) for name, kept in search.kept(r).items()}
        rows += [(r, seed, one.name, one.kind, one.size, left[one.name]) for one in search.groups]
    table = pd.DataFrame(rows, columns=["replica", "seed", "group", "kind", "units", "kept"])
    return Pruned(tuple(nets), table, tuple(net.size for net in nets), search.before, loss)


def _slots(resident: Resident, recipe: Recipe, replicas: Replicas) -> Iterator[Tensor]:
    """(R, B) slots of the training split, pass after pass without end."""
    order = Order(replicas.seeds, resident.samples)
    while True:
        epoch = order.epoch().to(replicas.device)
        yield from torch.split(epoch, recipe.batch_size or resident.samples, dim=1)
