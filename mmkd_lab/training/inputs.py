"""From paired data to what goes into the networks: standardisation, and batches to train and evaluate on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, of_type, one_of, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.models.removal import Removal, are_ids, removal_named
from mmkd_lab.models.spec import NetSpec
from mmkd_lab.models.views import View

#: Rows read at once while means and deviations are summed, so that 60,000 spectrograms fit in memory.
ROWS = 4096


def standardise(nets: Sequence[MultimodalNet], data: PairedData) -> None:
    """Give every network the training mean and deviation of each modality it reads, from `data`'s training
    split; text is left alone.

    One number for maps; one per entry for vectors, where an entry that never varies is left unscaled.
    """
    positions = data.positions("train")
    for name in nets[0].modalities:
        if name in nets[0].spec.token_counts:
            continue
        mean, deviation = _moments(data, name, positions, per_entry=len(data.shapes[name]) == 1)
        scale = torch.where(deviation > 0, 1 / deviation.clamp(min=1e-12), torch.ones_like(deviation))
        for net in nets:
            net.set_scale(name, mean, scale)


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
    found, given = vocabulary(data), spec.token_counts
    reads = spec.reads(data.shapes)
    for name, size in given.items():
        argument = f"vocabulary[{name!r}]"
        rule = "is no text: its values are no token ids"
        require(name in found, argument, size, rule, "Token ids are (N, L) int64; see data.text.Vocabulary.")
        require(size >= found[name], argument, size, f"must be at least {found[name]}, the ids in the data")
    missing = {name: size for name, size in found.items() if name in reads and name not in given}
    return spec.with_vocabulary({**given, **missing}) if missing else spec


def datasets(data: object, replicas: int) -> list[PairedData]:
    """One dataset for all replicas or one per replica, as a list. Raises `LabError` for another number."""
    listed = [data] if isinstance(data, PairedData) else flat("data", data, "a PairedData or a list of them")
    sets = [of_type("data", one, PairedData, "a PairedData or a list of them") for one in listed]
    rule = f"must be 1 for all, or {replicas}, one per replica"
    require(len(sets) in (1, replicas), "data", f"{len(sets)} datasets", rule)
    return sets


def eval_inputs(
    data: PairedData,
    modalities: Sequence[str] | None,
    split: str | None,
    view: View | None,
    removal: Removal | str | None,
    *,
    size: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Iterator[dict[str, Tensor]]:
    """Batches {modality: (B, ...)} in the order of the split, with the view's removal applied.

    The removal sees blocks of `ROWS` samples, whatever the batches' size: which samples a permutation mixes
    must not depend on how many replicas share the memory.
    """
    if removal is not None and view is None:
        raise LabError(
            "view", None, "must say which modalities the removal keeps", "For example View.only('image')."
        )
    operator = removal_named(removal or "zeros", data) if not isinstance(removal, Removal) else removal
    names = list(data.modalities) if modalities is None else list(modalities)
    for name in names:
        one_of("modality", name, list(data.modalities))
    if view is not None:
        of_type("view", view, View, "a View", "For example View.only('image').")
        view.missing(data.modalities)
        keep = View(view.kept & frozenset(names))
    positions = torch.arange(len(data)) if split is None else data.positions(split)
    positions = positions.to(data.target.device)
    for part in torch.split(positions, size if view is None else ROWS):
        x = {name: value.to(device) for name, value in data.batch(part, names, dtype=dtype).items()}
        if view is not None:
            x = operator.apply(x, keep)
        for start in range(0, len(part), size):
            yield {name: value[start : start + size] for name, value in x.items()}


class TrainingSplit:
    """The training split on the device, once: batches are picked by slot, 0 .. N - 1, for R replicas at a
    time.

    Args:
        sets: one dataset for all replicas, or one per replica (all of the same shapes and split sizes).
        modalities: those the networks read; None for all.
        device: where it stays.
        dtype: of the floating values that it gives; they are kept as the data stores them.
    """

    def __init__(
        self,
        sets: Sequence[PairedData],
        modalities: Sequence[str] | None,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        first = sets[0]
        self.each, self.dtype = len(sets) > 1, dtype
        self.task, self.classes = first.task, first.num_classes
        names = list(first.modalities) if modalities is None else list(modalities)
        for name in names:
            one_of("modality", name, list(first.modalities))
        for one in sets[1:]:
            same = (one.task, one.classes) == (first.task, first.classes)
            require(same, "data", one.classes, f"every dataset must have the classes {first.classes}")
            rule = f"every dataset must have shapes {first.shapes}"
            require(one.shapes == first.shapes, "data", one.shapes, rule)
        rows = [one.positions("train") for one in sets]
        sizes = {len(row) for row in rows}
        require(len(sizes) == 1, "data", sorted(sizes), "every dataset must have as many training samples")
        self.samples = sizes.pop()

        def pile(of: Callable[[PairedData], Tensor]) -> Tensor:
            parts = [of(one)[row] for one, row in zip(sets, rows, strict=True)]
            return (torch.stack(parts) if self.each else parts[0]).to(device)

        self.x = {name: pile(lambda one, name=name: one.modalities[name]) for name in names}  # type: ignore[misc]
        self.target = pile(lambda one: one.target)
        self.sample_index = pile(lambda one: one.sample_index)

    def of(self, r: int) -> TrainingSplit:
        """The data of replica `r` alone."""
        if not self.each:
            return self
        one = copy.copy(self)
        one.each = False
        one.x = {name: values[r] for name, values in self.x.items()}
        one.target, one.sample_index = self.target[r], self.sample_index[r]
        return one

    def whole(self) -> tuple[dict[str, Tensor], Tensor]:
        """The whole split as one batch, without a leading axis unless each replica has its own data."""
        return {name: self._widen(values) for name, values in self.x.items()}, self.target

    def pick(self, slots: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Slots (R, B) -> ({modality: (R, B, ...)}, target (R, B, ...))."""
        x = {name: self._widen(self.take(values, slots)) for name, values in self.x.items()}
        return x, self.take(self.target, slots)

    def take(self, values: Tensor, slots: Tensor) -> Tensor:
        """Rows of (N, ...), or of (R, N, ...) when each replica has its own data: (R, B, ...)."""
        if self.each:
            return rows_of(values, slots)
        return values.index_select(0, slots.reshape(-1)).view(*slots.shape, *values.shape[1:])

    def _widen(self, values: Tensor) -> Tensor:
        return values.to(self.dtype) if values.is_floating_point() else values


def rows_of(values: Tensor, slots: Tensor) -> Tensor:
    """(R, N, ...) and slots (R, B) -> (R, B, ...)."""
    return values[torch.arange(len(slots), device=slots.device)[:, None], slots]


def _moments(data: PairedData, name: str, positions: Tensor, *, per_entry: bool) -> tuple[Tensor, Tensor]:
    total = squares = torch.zeros((), dtype=torch.float64)
    count = 0
    for twice in (False, True):
        for part in torch.split(positions, ROWS):
            values = data.batch(part, [name])[name].double().cpu()
            if not twice:
                total = total + (values.sum(0) if per_entry else values.sum())
                count += len(values) if per_entry else values.numel()
            else:
                away = (values - total / count).square()
                squares = squares + (away.sum(0) if per_entry else away.sum())
    return total / count, (squares / count).sqrt()
