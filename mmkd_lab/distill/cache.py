"""Teacher outputs by sample index, so that no order of batches can pair them wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, of_type, position, require
from mmkd_lab.data.paired import PairedData


@dataclass(frozen=True, eq=False)
class TeacherCache:
    """The logits of R teachers for N samples.

    Args:
        index: (N,) int64, the sample indices (`PairedData.sample_index`), in any order.
        logits: (R, N, K), for a dense task (R, N, K, H, W); row n belongs to index[n].

    Raises:
        LabError: an index that is not int64 or names a sample twice, lengths that differ, NaN or infinite
            logits.
    """

    index: Tensor
    logits: Tensor

    def __post_init__(self) -> None:
        _validate(self.index, self.logits)
        order = torch.argsort(self.index)
        object.__setattr__(self, "index", self.index[order])
        object.__setattr__(self, "logits", self.logits.detach()[:, order])

    @property
    def num_classes(self) -> int:
        """K, the teachers' classes."""
        return int(self.logits.shape[2])

    def __len__(self) -> int:
        return int(self.logits.shape[0])

    def __getitem__(self, r: int) -> TeacherCache:
        """The cache of teacher `r` alone (R = 1)."""
        r = position("r", r, len(self), of="a teacher of this cache")
        return TeacherCache(self.index, self.logits[r : r + 1])

    def __iter__(self) -> Iterator[TeacherCache]:
        return (self[r] for r in range(len(self)))

    def rows(self, sample_index: Tensor) -> Tensor:
        """The logits of these samples, (R, B, K): sample_index is (B,) for all teachers, or (R, B) one each.

        Raises `LabError` for a sample the teachers have never seen, or the wrong number of rows.
        """
        slot = self.slots(sample_index)
        if slot.ndim == 1:
            return self.logits[:, slot]
        return self.logits[torch.arange(len(self), device=slot.device)[:, None], slot]

    def slots(self, sample_index: Tensor) -> Tensor:
        """Where these samples stand in `index`, of sample_index's shape; errors as those of `rows`."""
        of_type("sample_index", sample_index, Tensor, "a torch tensor of sample indices")
        fits = sample_index.ndim == 1 or (sample_index.ndim == 2 and len(sample_index) == len(self))
        require(
            fits and sample_index.dtype == torch.int64,
            "sample_index",
            f"{sample_index.dtype} {tuple(sample_index.shape)}",
            f"must be int64, (B,) or ({len(self)}, B)",
        )
        wanted = sample_index.to(self.index.device).contiguous()
        slot = torch.searchsorted(self.index, wanted).clamp(max=len(self.index) - 1)
        unknown = wanted[self.index[slot] != wanted]
        if len(unknown):
            raise LabError(
                "sample_index",
                f"{len(unknown)} unknown, first {int(unknown[0])}",
                "must name samples the teacher's outputs were cached for",
                "Cache the teacher on the very dataset the student is trained on.",
            )
        return slot

    def to(self, device: torch.device | str) -> TeacherCache:
        """The same cache with its tensors on a device."""
        return TeacherCache(self.index.to(device), self.logits.to(device))

    def require_fits(self, data: PairedData, *, split: str = "train") -> None:
        """Raise `LabError` unless K is the data's and every sample of the split is cached."""
        of_type("data", data, PairedData, "a PairedData")
        require(
            self.num_classes == data.num_classes,
            "teacher",
            f"{self.num_classes} classes",
            f"must have the {data.num_classes} classes of {data.name}",
            "Train the teacher on the classes the student has.",
        )
        wanted = data.sample_index[data.positions(split)].to(self.index.device)
        missing = wanted[~torch.isin(wanted, self.index)]
        if len(missing):
            raise LabError(
                "teacher",
                f"{len(missing)} samples of {split!r} not cached, first {int(missing[0])}",
                f"must hold the outputs for every sample of {data.name} in {split!r}",
                "Cache the teacher on the very dataset the student is trained on.",
            )

    @classmethod
    def stack(cls, caches: Sequence[TeacherCache]) -> TeacherCache:
        """One cache of all teachers, in the order given.

        Raises `LabError` unless samples and classes agree.
        """
        rule = "a list of at least one TeacherCache"
        several = [of_type("caches", cache, cls, rule) for cache in flat("caches", caches, rule)]
        require(len(several) > 0, "caches", caches, f"must be {rule}")
        first = several[0]
        for cache in several[1:]:
            require(
                torch.equal(cache.index, first.index),
                "caches",
                f"{len(cache.index)} and {len(first.index)} samples",
                "must hold the same samples",
            )
            require(
                cache.logits.shape[1:] == first.logits.shape[1:],
                "caches",
                f"logits {tuple(cache.logits.shape)} and {tuple(first.logits.shape)}",
                "must have the same classes",
            )
        return cls(first.index, torch.cat([cache.logits for cache in several]))


def _validate(index: Tensor, logits: Tensor) -> None:
    of_type("index", index, Tensor, "a torch tensor of sample indices")
    of_type("logits", logits, Tensor, "a torch tensor")
    require(
        index.ndim == 1 and index.dtype == torch.int64 and len(index) > 0,
        "index",
        f"{index.dtype} {tuple(index.shape)}",
        "must be (N,) int64 with at least one sample",
    )
    require(
        logits.ndim >= 3 and logits.is_floating_point(),
        "logits",
        f"{logits.dtype} {tuple(logits.shape)}",
        "must be floating (R, N, K)",
    )
    n = len(index)
    require(
        logits.shape[1] == n,
        "logits",
        tuple(logits.shape),
        f"must hold one row per sample ({n} by the index)",
    )
    distinct = len(torch.unique(index))
    require(
        distinct == n, "index", f"{distinct} distinct numbers for {n} rows", "must not name a sample twice"
    )
    require(bool(torch.isfinite(logits).all()), "logits", "NaN or infinite values", "must be finite")
