"""Progressive pruning: the rival way to a small network, by taking units away from the large one.

Source: Shi et al. 2023, "UPop: unified and progressive pruning for compressing vision-language transformers".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import pi, sin
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmkd_lab.core.check import of_type, real, require, whole
from mmkd_lab.core.progress import watched
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.losses.ce import cross_entropy
from mmkd_lab.training.device import deterministic
from mmkd_lab.training.engine import clip_each
from mmkd_lab.training.fabric import make_fabric, optimiser
from mmkd_lab.training.flat import Flat
from mmkd_lab.training.inputs import TrainingSplit, datasets
from mmkd_lab.training.order import Order
from mmkd_lab.training.outputs import full
from mmkd_lab.training.pruning.search import Search
from mmkd_lab.training.recipe import Recipe, dtype_of, resolve_precision
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.schedule import rates

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

    It rises from near 0 and is exactly 1 after the last step, total - 1. Raises `LabError` for a step outside
    the range.
    """
    whole("total", total)
    whole("step", step, at_least=0)
    real("step", step, at_most=total - 1)
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
    dimensions that all heads of an attention share; here whole heads go. And the budget is counted in
    parameters of the network that is left, since a pruned network is compared with a student of so many
    parameters. As there, the first ranking follows step 0, and z-scores divide by n - 1.

    The surgery is the lab's own: Torch-Pruning 1.6 leaves the number of a group norm's groups as it was, so
    that a network with four groups is broken when one channel goes.

    Args:
        replicas: R trained networks of one spec; they are left as they are.
        data: one dataset for all, or one per replica. The training split alone is read.
        recipe: length, optimiser, learning rate and batches of the search. The last weights are what is left:
            nothing is selected, so that the validation split is free for the training that follows.
        parameters: the most that each network may have left, for example those of a student.
        every: steps between two rankings; 50 in the paper.
        progress: show a progress bar.
        label: what the bar is called.

    Raises:
        LabError: networks whose units are not known (see `groups_of`), more parameters than there are or
            fewer than one unit a layer has, a recipe with modality dropout or '16-mixed', or a loss that is
            no longer finite.
    """
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
    resident = TrainingSplit(sets, replicas.modalities, device=replicas.device, dtype=replicas.dtype)
    fabric = make_fabric(replicas.device, precision)
    with deterministic(replicas.device):
        losses = _run(search, resident, recipe, fabric, every=every, label=label, shown=progress)
    return _result(search, losses)


def _run(
    search: Search,
    resident: TrainingSplit,
    recipe: Recipe,
    fabric: Any,  # noqa: ANN401 - Fabric, which is imported late
    *,
    every: int,
    label: str,
    shown: bool,
) -> Tensor:
    from tqdm.auto import tqdm

    replicas = search.replicas
    learning = [value for value in search.weights.values() if value.requires_grad]
    flat = Flat(learning)
    stepper = fabric.setup_optimizers(optimiser(flat.parameter, recipe))
    total = recipe.length(resident.samples)[1]
    losses = []
    slots = _slots(resident, recipe, replicas.seeds, replicas.device)
    search.net.train()
    with tqdm(total=total, desc=label or None, unit="step", leave=False, disable=not watched(shown)) as bar:
        for step, (rate, rows) in enumerate(zip(rates(recipe, total=total), slots, strict=False)):
            x, target = resident.pick(rows)
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
                _still_finite(losses[-1], recipe, step)
                search.shrink(budget_share(step, total=total))
            bar.update()
    return torch.stack(losses).cpu()


def _result(search: Search, loss: Tensor) -> Pruned:
    import pandas as pd

    nets, counts, rows = [], [], []
    for r, seed in enumerate(search.replicas.seeds):
        small, kept = search.small(r), search.kept(r)
        nets.append(Replicas.of([small], seeds=[seed], device=search.replicas.device))
        counts.append(sum(value.numel() for value in small.parameters()))
        rows += [
            (r, seed, group.name, group.kind, group.size, int(kept[group.name].sum()))
            for group in search.groups
        ]
    table = pd.DataFrame(rows, columns=["replica", "seed", "group", "kind", "units", "kept"])
    return Pruned(tuple(nets), table, tuple(counts), search.before, loss)


def _slots(
    resident: TrainingSplit, recipe: Recipe, seeds: Sequence[int], device: torch.device
) -> Iterator[Tensor]:
    """(R, B) slots of the training split, pass after pass without end."""
    order = Order(seeds, resident.samples)
    while True:
        yield from torch.split(order.epoch().to(device), recipe.batch_size or resident.samples, dim=1)


def _still_finite(loss: Tensor, recipe: Recipe, step: int) -> None:
    bad = (~torch.isfinite(loss)).nonzero().flatten().tolist()
    rule = f"the loss of replica {bad[0] if bad else 0} is no longer finite at step {step}"
    require(not bad, "recipe.lr", recipe.lr, rule, "Lower it, or clip the gradient.")
