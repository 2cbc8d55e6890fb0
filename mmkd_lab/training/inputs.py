"""From paired data to what goes into the networks: standardisation, and batches to train and evaluate on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from mmkd_lab.core.check import flat, of_type, one_of, require
from mmkd_lab.data.on_demand import widened
from mmkd_lab.data.paired import PairedData, Task, blank
from mmkd_lab.models.axes import scale_shape
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.models.removal import Removal, are_ids, removal_named
from mmkd_lab.models.spec import NetSpec
from mmkd_lab.models.views import View
from mmkd_lab.training.reading import Request, batches

#: Makes one tensor for all replicas of what it takes from each dataset.
Pile = Callable[[Callable[[PairedData], Tensor]], Tensor]
#: Rows that a removal sees at once, and numbers that are read at once while means and deviations are summed.
ROWS = 4096
_NUMBERS = 2**22
#: Bytes up to which the inputs of a split are held in the precision of the networks, not as they are stored.
_WIDE = 2**26


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
    values = widened(data.modalities[name].cpu(), torch.float64)
    unit = scale_shape(NetSpec(), name, data.shapes[name])
    mean, scale = _mean_and_scale(data, name, unit, torch.finfo(torch.float64))
    return (values - mean) * scale


def _mean_and_scale(
    data: PairedData, name: str, unit: tuple[int, ...], precision: torch.finfo
) -> tuple[Tensor, Tensor]:
    """What a modality is centred with and then multiplied by, each of shape `unit`, see `standardise`."""
    mean, deviation = data.once(name, ("moments", unit), lambda: _moments(data, name, unit))
    varies = deviation > precision.eps * mean.abs()
    return mean, torch.where(varies, 1 / deviation.clamp(min=precision.tiny), torch.ones_like(deviation))


def _for_task(spec: NetSpec, data: PairedData) -> NetSpec:
    reads, dense = spec.reads(data.shapes), data.task is Task.DENSE
    for name in reads:
        encoder, rule = spec.encoder_of(name), f"reads {name!r}, and the task is {data.task.value}"
        fine = encoder in ("auto", "unet") if dense else encoder != "unet"
        require(fine, "encoder", encoder, rule, "Use 'unet' for dense tasks, and for these alone.")
    if not dense or spec.encoder == "unet":
        return spec
    rule = "gives one answer a sample, and a dense task has one for every position"
    require(spec.fusion != "single_stream", "fusion", spec.fusion, rule, "Use 'late' or 'mid'.")
    return replace(spec, encoder="unet")


def _moments(data: PairedData, name: str, unit: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and deviation over the training samples, and over all axes on which `unit` has no length."""
    positions, each = data.positions("train"), prod(data.shapes[name])
    positions = positions[data.seen([name])[positions]]
    count = len(positions) * each // prod(unit)
    parts = torch.split(positions, max(1, min(ROWS, _NUMBERS // each)))

    def mean_of(change: Callable[[Tensor], Tensor]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for x in batches(data, [name], parts, dtype=torch.float64):
            values = change(x[name].cpu())
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
        if are_ids(values) and isinstance(values, Tensor):
            low, high = int(values.min()), int(values.max())
            require(low >= 0, f"data[{name!r}]", f"token ids from {low}", "must be 0, for padding, or more")
            known = data.vocabularies.get(name)
            sizes[name] = max(2, high + 1) if known is None else len(known)
    return sizes


def fill_vocabulary(spec: NetSpec, data: PairedData) -> NetSpec:
    """The spec with the vocabulary of every text in `data` that it reads, where it does not name it itself,
    and with U-Nets for a dense task.

    Raises `LabError` when it names too few ids, or takes a modality of numbers for text; for another encoder
    in a dense task, or a U-Net in another.
    """
    of_type("spec", spec, NetSpec, "a NetSpec")
    spec = _for_task(spec, data)
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

    What a sample lacks goes by the same removal. The removal sees blocks of `ROWS` samples, whatever the
    batches' size: which samples a permutation mixes must not depend on how many replicas share the memory.
    """
    rule, whole = "must say which modalities the removal keeps", not data.present
    require(
        removal is None or view is not None or not whole,
        "view",
        None,
        rule,
        "For example View.only('image').",
    )
    operator = removal if isinstance(removal, Removal) else removal_named(removal or "zeros", data)
    names = list(data.modalities) if modalities is None else list(modalities)
    if view is not None:
        of_type("view", view, View, "a View", "For example View.only('image').").missing(data.modalities)
        view = View(view.kept & frozenset(names))
    positions = torch.arange(len(data)) if split is None else data.positions(split)
    parts = torch.split(positions.to(data.target.device), size if view is None else ROWS)
    for part, batch in zip(parts, batches(data, names, parts, dtype=dtype), strict=True):
        x = {name: value.to(device) for name, value in batch.items()}
        if view is not None:
            x = operator.apply(x, view)
        if stays := data.stays(part, names):
            x = operator.apply_where(x, {name: there.to(device) for name, there in stays.items()})
        for start in range(0, len(part), size):
            yield {name: value[start : start + size] for name, value in x.items()}


class Resident:
    """A split on the device, once: batches are picked by slot, 0 .. N - 1, for R replicas at a time.

    There is one dataset for all replicas, or one per replica of the same shapes and split sizes. Floating
    values are kept as the data stores them unless they are few, and given as `dtype`. `names` are the
    modalities of the students; those of `also` are picked beside them.
    """

    def __init__(
        self,
        sets: Sequence[PairedData],
        modalities: Sequence[str] | None,
        *,
        device: torch.device,
        dtype: torch.dtype,
        split: str = "train",
        also: Sequence[str] = (),
    ) -> None:
        first = sets[0]
        self.each, self.dtype, self.task, self.classes = len(sets) > 1, dtype, first.task, first.num_classes
        for one in sets:
            for name in (*(modalities or ()), *also):
                one_of("modality", name, list(one.modalities))
            for what, mine, theirs in (
                ("task", one.task, first.task),
                ("classes", one.classes, first.classes),
                ("shapes", one.shapes, first.shapes),
            ):
                require(mine == theirs, "data", mine, f"every dataset must have the {what} {theirs}")
        names = list(first.modalities) if modalities is None else list(modalities)
        # A sample of which a network sees nothing teaches it nothing.
        rows = [at[one.seen(names)[at]] for one in sets for at in [one.positions(split)]]
        sizes = sorted({len(row) for row in rows})
        require(len(sizes) == 1, "data", sizes, f"every dataset must have as many samples in {split!r}")
        self.samples = sizes[0]

        def pile(of: Callable[[PairedData], Tensor]) -> Tensor:
            parts = [of(one)[row] for one, row in zip(sets, rows, strict=True)]
            return (torch.stack(parts) if self.each else parts[0]).to(device)

        self.names, self.rows = names, rows
        every = [*names, *(name for name in also if name not in names)]
        self.x = self._held(pile, every)
        #: {modality: where it is there, (N,) or (R, N)} of those that some samples lack.
        lacking = [name for name in every if any(name in one.present for one in sets)]
        self.present = {name: pile(lambda one, name=name: one.seen([name])) for name in lacking}  # type: ignore[misc]
        #: Shift and scale of a regression, (1 or R, 1, D); its target is kept without them. None otherwise.
        self.unit: tuple[Tensor, Tensor] | None = None
        if first.task is Task.REGRESSION:
            units = [one.unit for one in (sets if self.each else sets[:1]) if one.unit is not None]
            shift, scale = (torch.stack(part)[:, None].to(device, dtype) for part in zip(*units, strict=True))
            self.unit = shift, scale
        self.target = pile(bare_target)
        self.sample_index = pile(lambda one: one.sample_index)
        #: How much each label counts, (N,) or (R, N); None where no dataset says.
        self.counts: Tensor | None = None
        if any(one.weight is not None for one in sets):
            alike = torch.ones(())
            self.counts = pile(lambda one: (alike if one.weight is None else one.weight).expand(len(one)))

    def _held(self, pile: Pile, names: list[str]) -> dict[str, Tensor]:
        """What is kept of the modalities: as they are given where it is little, or widened every step."""
        held = {name: pile(lambda one, name=name: one.modalities[name]) for name in names}  # type: ignore[misc]
        size = sum(values.numel() for values in held.values()) * self.dtype.itemsize
        return {name: self._widen(values) for name, values in held.items()} if size <= _WIDE else held

    def of(self, r: int) -> Resident:
        """The data of replica `r` alone."""
        if not self.each:
            return self
        one = copy.copy(self)
        one.each, one.x = False, {name: values[r] for name, values in self.x.items()}
        one.present = {name: there[r] for name, there in self.present.items()}
        one.target, one.sample_index = self.target[r], self.sample_index[r]
        one.counts = None if self.counts is None else self.counts[r]
        if self.unit is not None:
            one.unit = self.unit[0][r : r + 1], self.unit[1][r : r + 1]
        return one

    def whole(self) -> tuple[dict[str, Tensor], Tensor]:
        """The whole split as one batch, without a leading axis unless each replica has its own data."""
        x = {name: self._widen(values) for name, values in self.x.items()}
        x |= {name: blank(x[name], there) for name, there in self.present.items() if name in x}
        return x, self._widen(self.target)

    def pick(self, slots: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Slots (R, B) -> ({modality: (R, B, ...)}, target (R, B, ...))."""
        return self._with_target(slots, self._picked(slots))

    def picked(self, asked: Iterable[Request]) -> Iterator[tuple[Tensor, dict[str, Tensor], Tensor]]:
        """Slots on the device, and what `pick` gives of them, of one request after the other."""
        for _, wanted in asked:
            slots = wanted.to(self.target.device)
            yield slots, *self.pick(slots)

    def _picked(self, slots: Tensor) -> dict[str, Tensor]:
        return {name: self._widen(self._take(values, slots)) for name, values in self.x.items()}

    def _with_target(self, slots: Tensor, x: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        x |= {name: blank(x[name], there) for name, there in self.stays(slots).items() if name in x}
        return x, self._widen(self._take(self.target, slots))

    def counted(self, slots: Tensor) -> Tensor | None:
        """How much the labels of slots (R, B) count, (R, B), or None."""
        return None if self.counts is None else self._take(self.counts, slots).to(self.dtype)

    def stays(self, slots: Tensor | None = None) -> dict[str, Tensor]:
        """{modality: where it is there} of those that some samples lack: at slots (R, B), or of the whole."""
        if slots is None:
            return self.present
        return {name: self._take(there, slots) for name, there in self.present.items()}

    def _take(self, values: Tensor, slots: Tensor) -> Tensor:
        if self.each:
            return rows_of(values, slots)
        return values.index_select(0, slots.reshape(-1)).view(*slots.shape, *values.shape[1:])

    def _widen(self, values: Tensor) -> Tensor:
        return widened(values, self.dtype)


def bare_target(data: PairedData) -> Tensor:
    """The target as networks are trained on it: of a regression in deviations from the training mean."""
    if data.unit is None:
        return data.target
    shift, scale = (part.to(data.target.device) for part in data.unit)
    return (data.target.double() - shift) / scale


def rows_of(values: Tensor, slots: Tensor) -> Tensor:
    """(R, N, ...) and slots (R, B) -> (R, B, ...)."""
    return values[torch.arange(len(slots), device=slots.device)[:, None], slots]
