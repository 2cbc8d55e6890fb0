"""The one container for every dataset: paired samples of named modalities with a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.base.check import one_of
from mmkd_lab.base.fingerprint import canonical, digest_arrays
from mmkd_lab.data.task import SPLITS, Task
from mmkd_lab.data.validate import validate, validate_positions

__all__ = ["SPLITS", "PairedData", "Task"]


@dataclass(frozen=True, eq=False)
class PairedData:
    """N samples, each {modality name: tensor}, with a target, a sample index and splits.

    Args:
        name: the dataset's name, for tables and titles.
        modalities: name -> (N, ...) tensor; floating (float16 is kept and widened batch by batch) or integer
            token ids.
        target: see `Task`.
        splits: 'train', 'val', 'test' -> positions (not sample indices) of the samples, disjoint.
        classes: the K class names.
        task: what the target is.
        index: (N,) int64, a unique number per sample that outlives any reordering; teacher outputs are
            cached under it. Default: 0..N-1.
        sources: name -> (N,) int64, the original item (image, recording) behind each row: the pair index.
        group: (N,) int64, what must not stand on both sides of a split (a speaker); None when there is none.
        recipe: the parameters that made this dataset, for provenance.

    Raises:
        LabError: unequal lengths, fewer than one modality, NaN or infinite values, labels out of range, a
            class absent from a split, overlapping splits, a group on both sides of a split.
    """

    name: str
    modalities: Mapping[str, Tensor]
    target: Tensor
    splits: Mapping[str, Tensor]
    classes: tuple[str, ...]
    task: Task = Task.SINGLE_LABEL
    index: Tensor | None = None
    group: Tensor | None = None
    sources: Mapping[str, Tensor] = field(default_factory=dict)
    recipe: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", MappingProxyType(dict(self.modalities)))
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))
        object.__setattr__(self, "sources", MappingProxyType(dict(self.sources)))
        object.__setattr__(self, "recipe", MappingProxyType(dict(self.recipe)))
        object.__setattr__(self, "classes", tuple(self.classes))
        if self.index is None:
            object.__setattr__(self, "index", torch.arange(len(self.target)))
        validate(self)

    def __len__(self) -> int:
        return len(self.target)

    @property
    def sample_index(self) -> Tensor:
        """(N,) int64, never None."""
        assert self.index is not None
        return self.index

    @property
    def num_classes(self) -> int:
        """K, the number of logits a network needs."""
        return len(self.classes)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one sample, by modality."""
        return {name: tuple(values.shape[1:]) for name, values in self.modalities.items()}

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change when any value, label, split, group, index or name changes."""
        arrays = [(f"modality/{name}", values) for name, values in sorted(self.modalities.items())]
        arrays += [(f"split/{name}", values) for name, values in sorted(self.splits.items())]
        arrays += [(f"source/{name}", values) for name, values in sorted(self.sources.items())]
        arrays += [("target", self.target), ("index", self.sample_index)]
        if self.group is not None:
            arrays.append(("group", self.group))
        head = np.frombuffer(canonical([self.name, self.classes, self.task]).encode(), dtype=np.uint8)
        return digest_arrays([("head", head), *((name, t.detach().cpu().numpy()) for name, t in arrays)])

    def positions(self, split: str) -> Tensor:
        """The positions of a split's samples. Raises `LabError` for an unknown split."""
        one_of("split", split, list(self.splits))
        return self.splits[split]

    def batch(self, positions: Tensor, modalities: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{name: (*positions.shape, ...)}; floating values come as float32, whatever they are stored as."""
        names = list(self.modalities) if modalities is None else list(modalities)
        for name in names:
            one_of("modality", name, list(self.modalities))
        picked = {name: self.modalities[name][positions] for name in names}
        return {name: x.float() if x.is_floating_point() else x for name, x in picked.items()}

    def to(self, device: torch.device | str) -> PairedData:
        """The same data with its tensors on a device."""
        return replace(
            self,
            modalities={name: x.to(device) for name, x in self.modalities.items()},
            target=self.target.to(device),
            splits={name: x.to(device) for name, x in self.splits.items()},
            index=self.sample_index.to(device),
            group=None if self.group is None else self.group.to(device),
            sources={name: x.to(device) for name, x in self.sources.items()},
        )

    def select(self, positions: Tensor) -> PairedData:
        """Only these samples, splits renumbered; sample indices stay. A split left empty is dropped."""
        validate_positions("positions", positions, len(self))
        slot = torch.full((len(self),), -1, dtype=torch.int64, device=self.target.device)
        slot[positions] = torch.arange(len(positions), device=slot.device)
        kept = {name: slot[where][slot[where] >= 0] for name, where in self.splits.items()}
        return replace(
            self,
            modalities={name: x[positions] for name, x in self.modalities.items()},
            target=self.target[positions],
            splits={name: where for name, where in kept.items() if len(where)},
            index=self.sample_index[positions],
            group=None if self.group is None else self.group[positions],
            sources={name: x[positions] for name, x in self.sources.items()},
        )

    def __repr__(self) -> str:
        sizes = {name: "×".join(map(str, shape)) or "1" for name, shape in self.shapes.items()}
        shapes = ", ".join(f"{name} {size}" for name, size in sizes.items())
        parts = ", ".join(f"{name} {len(where):,}" for name, where in self.splits.items())
        return (
            f"{self.name}: {len(self):,} paired samples of {shapes}; {self.num_classes} classes "
            f"({self.task.value}); {parts}; fingerprint {self.fingerprint}"
        )
