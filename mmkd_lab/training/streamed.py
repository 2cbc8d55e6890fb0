"""A split that is larger than memory, or changes as it is looked at: read batch by batch, as it is needed."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mmkd_lab.core.ahead import ahead
from mmkd_lab.core.check import require
from mmkd_lab.data.on_demand import OnDemand
from mmkd_lab.data.paired import PairedData
from mmkd_lab.training.inputs import Pile, Resident
from mmkd_lab.training.reading import Augment, Reading, Request
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas

#: Bytes of a split that is read row by row up to which it is held, as any other, while it is trained on.
HELD = 2**28


class Streamed(Resident):
    """The same as `Resident`, with inputs that are read when a batch asks for them: ahead of it, in worker
    processes and into pinned memory where there is a GPU, if the modalities say so. Targets are held."""

    def __init__(
        self,
        sets: Sequence[PairedData],
        modalities: Sequence[str] | None,
        *,
        device: torch.device,
        dtype: torch.dtype,
        split: str = "train",
        also: Sequence[str] = (),
        augment: Augment | None = None,
        seeds: Sequence[int] = (),
    ) -> None:
        self._sets, self._augment, self._seeds = sets, augment, tuple(seeds)
        super().__init__(sets, modalities, device=device, dtype=dtype, split=split, also=also)

    def _held(self, pile: Pile, names: list[str]) -> dict[str, Tensor]:
        rows = [own.cpu() for own in self.rows]
        index = [one.sample_index.cpu()[own] for one, own in zip(self._sets, rows, strict=True)]
        values = [one.modalities for one in self._sets]
        self._read = Reading(values, rows, index, tuple(names), self._augment, self._seeds)
        return {}

    def of(self, r: int) -> Streamed:
        """The data of replica `r` alone."""
        one = super().of(r) if self.each else copy.copy(self)
        assert isinstance(one, Streamed)
        read, mine = self._read, slice(r, r + 1) if self.each else slice(None)
        several = {name: getattr(read, name)[mine] for name in ("sets", "rows", "index")}
        one._read = replace(read, **several, seeds=read.seeds[r : r + 1])
        return one

    def picked(self, asked: Iterable[Request]) -> Iterator[tuple[Tensor, dict[str, Tensor], Tensor]]:
        """See `Resident`; what is asked for next is read while the last is used."""
        under_way = deque[Tensor]()

        def noted() -> Iterator[Request]:
            for epoch, slots in asked:
                under_way.append(slots)
                yield epoch, slots

        pin = self.target.device.type == "cuda"
        for x in ahead(self._read, noted(), workers=self._read.workers, pin=pin):
            slots = under_way.popleft().to(self.target.device)
            yield slots, *self._with_target(slots, self._given(x))

    def _picked(self, slots: Tensor) -> dict[str, Tensor]:
        return self._given(self._read((0, slots.cpu())))

    def _given(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Bytes travel as bytes, and are floating on the device."""
        return {
            name: self._widen(value.to(self.target.device, non_blocking=True)) for name, value in x.items()
        }


def split_of(
    sets: Sequence[PairedData],
    replicas: Replicas,
    *,
    split: str = "train",
    also: Sequence[str] = (),
    augment: Augment | None = None,
    recipe: Recipe | None = None,
) -> Resident:
    """A split for these replicas: held on their device, or streamed where it is augmented, or read row by row
    and more than `HELD` bytes.

    Raises `LabError` for what `Resident` refuses, and for a recipe of full batches that would be streamed.
    """
    first, names = sets[0], replicas.modalities
    read = [
        first.modalities[name] for name in {*(names or first.modalities), *also} if name in first.modalities
    ]
    size = (
        sum(one.row_bytes for one in read if isinstance(one, OnDemand))
        * len(first.positions(split))
        * len(sets)
    )
    how = {"device": replicas.device, "dtype": replicas.dtype, "split": split, "also": also}
    if size > HELD and recipe is not None:
        rule = f"must be given: {size / 2**30:.1f} GiB of {first.name} are read row by row, and never held"
        require(recipe.batch_size is not None, "recipe.batch_size", None, rule, "For example 64.")
    if size <= HELD and augment is None:
        return Resident(sets, names, **how)  # type: ignore[arg-type]
    return Streamed(sets, names, **how, augment=augment, seeds=replicas.seeds)  # type: ignore[arg-type]
