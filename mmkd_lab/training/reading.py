"""What reads the samples of a batch, in this process or another, and changes them for the student's eyes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmkd_lab.core.ahead import ahead
from mmkd_lab.core.check import LabError, require
from mmkd_lab.core.fingerprint import digest, source_text
from mmkd_lab.core.seed import derive
from mmkd_lab.data.on_demand import OnDemand, Values, fetch, widened
from mmkd_lab.data.paired import PairedData

#: (epoch, slots (R, B)), as a loop asks for a batch.
Request = tuple[int, Tensor]


@dataclass(frozen=True, eq=False)
class Augment:
    """What students see of a sample instead of what is stored, anew in every epoch.

    Args:
        function: called with one sample, {modality: tensor} as it is stored (bytes as bytes), and a generator
            from which all that is random must be drawn, of a seed, a sample and an epoch: it gives the same
            wherever and in whatever order samples are read. It returns the sample, of the same shapes.
        modalities: those that it is called with; None for all that student and teacher read.
    """

    function: Callable[[dict[str, Tensor], torch.Generator], Mapping[str, Tensor]]
    modalities: tuple[str, ...] | None = None

    def describe(self) -> dict[str, object]:
        """Plain values for a key."""
        return {"source": digest(source_text(self.function)), "modalities": self.modalities}

    def __call__(self, x: dict[str, Tensor], generator: torch.Generator, index: int) -> dict[str, Tensor]:
        """One sample. Raises `LabError` for one that comes back otherwise, naming it."""
        before = {name: (tuple(value.shape), value.dtype) for name, value in x.items()}
        where = f"sample {index}"
        try:
            found = self.function(x, generator)
        except Exception as error:
            rule = f"failed on {where} with {type(error).__name__}: {error}"
            raise LabError("augment", getattr(self.function, "__name__", "function"), rule) from error
        named = isinstance(found, Mapping) and set(found) == set(x)
        shown = sorted(found) if isinstance(found, Mapping) else type(found).__name__
        require(named, "augment", shown, f"must return {sorted(x)}, as it was given, for {where}")
        for name, (shape, dtype) in before.items():
            value = found[name]
            told = (
                f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            )
            fits = isinstance(value, Tensor) and tuple(value.shape) == shape
            fits = fits and (value.dtype == dtype or value.is_floating_point())
            require(
                fits, "augment", told, f"must return {name!r} as {dtype} {shape}, or floating, for {where}"
            )
        return dict(found)


@dataclass(frozen=True, eq=False)
class Reading:
    """What reads a split's samples, in this process or in a worker.

    Args:
        sets: one dataset for all replicas, or one each: {modality: tensor or rows}.
        rows: their positions in the split, (N,) each.
        index: the sample indices behind these.
        names: the modalities.
        augment: what students see instead.
        seeds: of the replicas, for it.
    """

    sets: Sequence[Mapping[str, Values]]
    rows: Sequence[Tensor]
    index: Sequence[Tensor]
    names: tuple[str, ...]
    augment: Augment | None = None
    seeds: tuple[int, ...] = ()

    @property
    def workers(self) -> int:
        """How many processes may read at a time: none where a tensor lies on a GPU."""
        every = [one[name] for one in self.sets for name in self.names]
        if any(one.device.type != "cpu" for one in every):
            return 0
        return max((one.reader.workers for one in every if isinstance(one, OnDemand)), default=0)

    def __call__(self, request: Request) -> dict[str, Tensor]:
        """{modality: (R, B, ...)}, as it is stored."""
        epoch, slots = request
        if len(self.sets) == 1:
            x = fetch(self.sets[0], self.names, self.rows[0][slots])
        else:
            each = [
                fetch(one, self.names, rows[own])
                for one, rows, own in zip(self.sets, self.rows, slots, strict=True)
            ]
            x = {name: torch.stack([one[name] for one in each]) for name in self.names}
        return x if self.augment is None else self._augmented(x, epoch, slots)

    def _augmented(self, x: dict[str, Tensor], epoch: int, slots: Tensor) -> dict[str, Tensor]:
        assert self.augment is not None
        names = self.augment.modalities or self.names
        generator, found = torch.Generator(), {name: list[Tensor]() for name in names}
        seen = {name: x[name].cpu() for name in names}
        for r, own in enumerate(slots.tolist()):
            index = self.index[r if len(self.index) > 1 else 0]
            for b, slot in enumerate(own):
                i = int(index[slot])
                generator.manual_seed(derive(self.seeds[r], "augment", str(epoch), str(i)))
                one = self.augment({name: value[r, b] for name, value in seen.items()}, generator, i)
                for name, value in one.items():
                    found[name].append(value)
        stacked = {name: torch.stack(some) for name, some in found.items()}
        return x | {name: value.view(*slots.shape, *value.shape[1:]) for name, value in stacked.items()}


def in_place(parts: Iterable[Tensor], total: int) -> Tensor:
    """Parts (R, B, ...) as one tensor (R, total, ...), each put into its place when it comes: small tensors
    kept between large ones that go would leave memory full of holes, which grows with the samples."""
    found, at = torch.empty(0), 0
    for part in parts:
        if at == 0:
            found = part.new_empty((len(part), total, *part.shape[2:]))
        found[:, at : at + part.shape[1]] = part
        at += part.shape[1]
    return found


def batches(
    data: PairedData, names: Sequence[str], parts: Sequence[Tensor], *, dtype: torch.dtype
) -> Iterator[dict[str, Tensor]]:
    """`data.batch` of one part of the positions after the other."""
    rows = [data.modalities[name] for name in names]
    workers = max((one.reader.workers for one in rows if isinstance(one, OnDemand)), default=0)
    read = _Part({name: data.modalities[name] for name in names})
    for x in ahead(read, parts, workers=workers if len(parts) > 2 * workers else 0):
        yield {name: widened(value, dtype) for name, value in x.items()}


@dataclass(frozen=True, eq=False)
class _Part:
    values: Mapping[str, Values]

    def __call__(self, positions: Tensor) -> dict[str, Tensor]:
        return fetch(self.values, list(self.values), positions)
