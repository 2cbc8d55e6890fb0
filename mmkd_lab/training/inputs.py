"""From paired data to what goes into the networks: standardisation, and batches to train and evaluate on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from math import prod

import torch
from torch import Tensor

from mmkd_lab.core.check import flat, of_type, one_of, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models.axes import scale_shape
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.models.removal import Removal, are_ids, removal_named
from mmkd_lab.models.spec import NetSpec
from mmkd_lab.models.views import View

#: Rows read at once while means and deviations are summed, so that 60,000 spectrograms fit in memory.
ROWS = 4096


def standardise(nets: Sequence[MultimodalNet], data: PairedData) -> None:
    """Give every network the mean and deviation of each modality it reads on the training split of `data`;
    text is left alone.

    How many numbers they are, `models.axes.scale_shape` says. What varies by no more than rounding, in the
    networks' precision, is left unscaled.
    """
    first = nets[0]
    precision = torch.finfo(first.head.weight.dtype)
    for name, shape in first.shapes.items():
        if name in first.spec.token_counts:
            continue
        mean, scale = _mean_and_scale(data, name, scale_shape(first.spec, name, shape), precision)
        for net in nets:
            net.set_scale(name, mean, scale)


def standardised(data: PairedData, name: str) -> Tensor:
    """A modality's values of all samples, (N, ...) in double precision, as networks are given them."""
    values = data.modalities[name].cpu().double()
    unit = scale_shape(NetSpec(), name, data.shapes[name])
    mean, scale = _mean_and_scale(data, name, unit, torch.finfo(torch.float64))
    return (values - mean) * scale


def _mean_and_scale(
    data: PairedData, name: str, unit: tuple[int, ...], precision: torch.finfo
) -> tuple[Tensor, Tensor]:
    """What a modality is centred with and then multiplied by, each of shape `unit`, see `standardise`."""
    mean, deviation = _moments(data, name, unit)
    varies = deviation > precision.eps * mean.abs()
    return mean, torch.where(varies, 1 / deviation.clamp(min=precision.tiny), torch.ones_like(deviation))


def _moments(data: PairedData, name: str, unit: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and deviation over the training samples, and over all axes on which `unit` has no length."""
    positions = data.positions("train")
    count = len(positions) * data.modalities[name][0].numel() // prod(unit)

    def mean_of(change: Callable[[Tensor], Tensor]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for part in torch.split(positions, ROWS):
            values = change(data.batch(part, [name], dtype=torch.float64)[name].cpu())
            total = total + (values.sum(0).sum_to_size(unit) if unit else values.sum())
        return total / count

    mean = mean_of(lambda values: values)
    return mean, mean_of(lambda values: (values - mean).square()).sqrt()


def vocabulary(data: PairedData) -> dict[str, int]:
    """{modality: number of token ids} of every text in `data`.

    As many as its vocabulary has words; without one, the largest id of all splits plus one. Raises `LabError`
    for ids below 0.
    """
    sizes = {}
    for name, values in data.modalities.items():
        if are_ids(values):
            low, high = int(values.min()), int(values.max())
            require(low >= 0, f"data[{name!r}]", f"token ids from {low}", "must be 0, for padding, or more")
            known = data.vocabularies.get(name)
            sizes[name] = max(2, high + 1) if known is None else len(known)
    return sizes


def fill_vocabulary(spec: NetSpec, data: PairedData) -> NetSpec:
    """The spec with the vocabulary of every text in `data` that it reads, where it does not name it itself.

    Raises `LabError` when it names too few ids, or takes a modality of numbers for text.
    """
    of_type("spec", spec, NetSpec, "a NetSpec")
    found, given, reads = vocabulary(data), spec.token_counts, spec.reads(data.shapes)
    for name, size in given.items():
        argument, rule = f"vocabulary[{name!r}]", "is no text: its values are no token ids"
        require(name in found, argument, size, rule, "Token ids are (N, L) int64; see data.text.Vocabulary.")
        require(size >= found[name], argument, size, f"must be at least {found[name]}, the ids in the data")
    missing = {name: size for name, size in found.items() if name in reads and name not in given}
    return spec.with_vocabulary({**given, **missing}) if missing else spec


def datasets(data: object, replicas: int) -> list[PairedData]:
    """One dataset for all replicas or one per replica, as a list. Raises `LabError` for another number."""
    what = "a PairedData or a list of them"
    listed = [data] if isinstance(data, PairedData) else flat("data", data, what)
    sets = [of_type("data", one, PairedData, what) for one in listed]
    rule = f"must be 1 for all, or {replicas}, one per replica"
    require(len(sets) in (1, replicas), "data", f"{len(sets)} datasets", rule)
    return sets


def eval_inputs(
    data: PairedData,
    modalities: Sequence[str] | None,
    split: str | None,
    view: View | None = None,
    removal: Removal | str | None = None,
    *,
    size: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Iterator[dict[str, Tensor]]:
    """Batches {modality: (B, ...)} in the order of the split, with the view's removal applied.

    The removal sees blocks of `ROWS` samples, whatever the batches' size: which samples a permutation mixes
    must not depend on how many replicas share the memory.
    """
    rule = "must say which modalities the removal keeps"
    require(removal is None or view is not None, "view", None, rule, "For example View.only('image').")
    operator = removal if isinstance(removal, Removal) else removal_named(removal or "zeros", data)
    names = list(data.modalities) if modalities is None else list(modalities)
    if view is not None:
        of_type("view", view, View, "a View", "For example View.only('image').").missing(data.modalities)
        view = View(view.kept & frozenset(names))
    positions = torch.arange(len(data)) if split is None else data.positions(split)
    for part in torch.split(positions.to(data.target.device), size if view is None else ROWS):
        x = {name: value.to(device) for name, value in data.batch(part, names, dtype=dtype).items()}
        if view is not None:
            x = operator.apply(x, view)
        for start in range(0, len(part), size):
            yield {name: value[start : start + size] for name, value in x.items()}


class Resident:
    """A split on the device, once: batches are picked by slot, 0 .. N - 1, for R replicas at a time.

    There is one dataset for all replicas, or one per replica of the same shapes and split sizes. Floating
    values are kept as the data stores them, and given as `dtype`.
    """

    def __init__(
        self,
        sets: Sequence[PairedData],
        modalities: Sequence[str] | None,
        *,
        device: torch.device,
        dtype: torch.dtype,
        split: str = "train",
    ) -> None:
        first = sets[0]
        self.each, self.dtype, self.task, self.classes = len(sets) > 1, dtype, first.task, first.num_classes
        for one in sets:
            for name in modalities or ():
                one_of("modality", name, list(one.modalities))
            for what, mine, theirs in (
                ("task", one.task, first.task),
                ("classes", one.classes, first.classes),
                ("shapes", one.shapes, first.shapes),
            ):
                require(mine == theirs, "data", mine, f"every dataset must have the {what} {theirs}")
        rows = [one.positions(split) for one in sets]
        sizes = sorted({len(row) for row in rows})
        require(len(sizes) == 1, "data", sizes, f"every dataset must have as many samples in {split!r}")
        self.samples = sizes[0]

        def pile(of: Callable[[PairedData], Tensor]) -> Tensor:
            parts = [of(one)[row] for one, row in zip(sets, rows, strict=True)]
            return (torch.stack(parts) if self.each else parts[0]).to(device)

        names = list(first.modalities) if modalities is None else list(modalities)
        self.x = {name: pile(lambda one, name=name: one.modalities[name]) for name in names}  # type: ignore[misc]
        self.target = pile(lambda one: one.target)
        self.sample_index = pile(lambda one: one.sample_index)

    def of(self, r: int) -> Resident:
        """The data of replica `r` alone."""
        if not self.each:
            return self
        one = copy.copy(self)
        one.each, one.x = False, {name: values[r] for name, values in self.x.items()}
        one.target, one.sample_index = self.target[r], self.sample_index[r]
        return one

    def whole(self) -> tuple[dict[str, Tensor], Tensor]:
        """The whole split as one batch, without a leading axis unless each replica has its own data."""
        return {name: self._widen(values) for name, values in self.x.items()}, self.target

    def pick(self, slots: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Slots (R, B) -> ({modality: (R, B, ...)}, target (R, B, ...))."""
        x = {name: self._widen(self._take(values, slots)) for name, values in self.x.items()}
        return x, self._take(self.target, slots)

    def _take(self, values: Tensor, slots: Tensor) -> Tensor:
        if self.each:
            return rows_of(values, slots)
        return values.index_select(0, slots.reshape(-1)).view(*slots.shape, *values.shape[1:])

    def _widen(self, values: Tensor) -> Tensor:
        return values.to(self.dtype) if values.is_floating_point() else values


def rows_of(values: Tensor, slots: Tensor) -> Tensor:
    """(R, N, ...) and slots (R, B) -> (R, B, ...)."""
    return values[torch.arange(len(slots), device=slots.device)[:, None], slots]
