"""The one container for every dataset: paired samples of named modalities with a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.base.check import LabError, listing, one_of, require
from mmkd_lab.base.fingerprint import canonical, digest_arrays

SPLITS = ("train", "val", "test")


class Task(Enum):
    """What a target is.

    SINGLE_LABEL: (N,) int64 class numbers. MULTI_LABEL: (N, K) float in [0, 1].
    DENSE: (N, H, W) int64 class numbers, -1 where there is none.
    """

    SINGLE_LABEL = "single label"
    MULTI_LABEL = "multi-label"
    DENSE = "dense"


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
        sources: modality -> (N,) int64, which original item (image, recording) a row was made from; the pair index.
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
        _validate(self)

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


def _validate(data: PairedData) -> None:
    n = len(data.target)
    require(len(data.modalities) > 0, "modalities", dict(data.modalities), "must hold at least one modality")
    require(n > 0, "target", tuple(data.target.shape), "must hold at least one sample")
    for name, values in data.modalities.items():
        _validate_modality(name, values, n)
    _validate_target(data)
    _validate_index(data, n)
    _validate_splits(data, n)
    if data.group is not None:
        _validate_group(data.group, data.splits, n)


def _validate_modality(name: str, values: Tensor, n: int) -> None:
    argument = f"modalities[{name!r}]"
    require(isinstance(values, Tensor), argument, type(values).__name__, "must be a torch tensor")
    require(
        values.ndim >= 1 and len(values) == n,
        argument,
        tuple(values.shape),
        f"must hold one row per sample ({n} by the target)",
        "Pair the modalities first: row i of every modality must be the same sample.",
    )
    if values.is_floating_point():
        bad = ~torch.isfinite(values.reshape(n, -1)).all(dim=1)
        if bool(bad.any()):
            where = int(bad.nonzero()[0])
            raise LabError(
                argument,
                f"{int(bad.sum())} rows with NaN or infinite values, first row {where}",
                "must be finite",
                "Drop or repair these samples before building the dataset.",
            )


def _validate_target(data: PairedData) -> None:
    target, k = data.target, len(data.classes)
    require(k >= 2, "classes", data.classes, "must name at least two classes")
    if data.task is Task.MULTI_LABEL:
        require(
            target.ndim == 2 and target.shape[1] == k and target.is_floating_point(),
            "target",
            f"{target.dtype} {tuple(target.shape)}",
            f"must be floating (N, {k}) for a multi-label task",
        )
        inside = bool(((target >= 0) & (target <= 1)).all())
        require(inside, "target", "values outside [0, 1]", "must lie in [0, 1] for a multi-label task")
        return
    dims, lowest = (1, 0) if data.task is Task.SINGLE_LABEL else (3, -1)
    require(
        target.ndim == dims and target.dtype == torch.int64,
        "target",
        f"{target.dtype} {tuple(target.shape)}",
        f"must be int64 with {dims} dimension{'s' if dims > 1 else ''} for a {data.task.value} task",
    )
    low, high = int(target.min()), int(target.max())
    require(
        low >= lowest and high < k,
        "target",
        f"labels from {low} to {high}",
        f"must lie between {lowest} and {k - 1} ({k} classes)",
    )


def _validate_index(data: PairedData, n: int) -> None:
    index = data.sample_index
    require(index.shape == (n,), "index", tuple(index.shape), f"must be ({n},), one number per sample")
    require(index.dtype == torch.int64, "index", index.dtype, "must be int64")
    distinct = len(torch.unique(index))
    require(
        distinct == n, "index", f"{distinct} distinct numbers for {n} samples", "must be unique per sample"
    )


def _validate_splits(data: PairedData, n: int) -> None:
    require(len(data.splits) > 0, "splits", dict(data.splits), "must hold at least one split")
    seen = torch.zeros(n, dtype=torch.int64, device=data.target.device)
    for name, where in data.splits.items():
        one_of("splits", name, SPLITS)
        argument = f"splits[{name!r}]"
        require(
            where.ndim == 1 and len(where) > 0,
            argument,
            tuple(where.shape),
            "must be a non-empty list of positions",
        )
        require(where.dtype == torch.int64, argument, where.dtype, "must be int64 positions")
        require(
            int(where.min()) >= 0 and int(where.max()) < n,
            argument,
            f"positions {int(where.min())} to {int(where.max())}",
            f"must lie between 0 and {n - 1}",
        )
        seen.index_add_(0, where, torch.ones_like(where))
        if data.task is Task.SINGLE_LABEL:
            _validate_classes(name, data.target[where], data.classes)
    twice = int((seen > 1).sum())
    require(twice == 0, "splits", f"{twice} samples used more than once", "splits must not share samples")


def _validate_classes(split: str, labels: Tensor, classes: tuple[str, ...]) -> None:
    counts = torch.bincount(labels, minlength=len(classes))
    absent = [classes[i] for i in torch.nonzero(counts == 0).flatten().tolist()]
    if absent:
        raise LabError(
            f"splits[{split!r}]",
            f"no sample of {listing(absent)}",
            "every class must occur in every split",
            "Use more samples, stratify the split, or drop the class everywhere.",
        )


def _validate_group(group: Tensor, splits: Mapping[str, Tensor], n: int) -> None:
    require(group.shape == (n,), "group", tuple(group.shape), f"must be ({n},), one group per sample")
    sides: dict[int, str] = {}
    for name, where in splits.items():
        for member in torch.unique(group[where]).tolist():
            first = sides.setdefault(member, name)
            if first != name:
                raise LabError(
                    "group",
                    member,
                    f"a group must stand on one side of a split; this one is in both {first!r} and {name!r}",
                    "Split by group (speaker, actor), or pass group=None if the groups do not matter.",
                )
