"""The one container for every dataset: paired samples of named modalities with a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, mapping, of_type, one_of
from mmkd_lab.core.check import position as at
from mmkd_lab.core.fingerprint import canonical, digest_arrays
from mmkd_lab.data.task import SPLITS, Task
from mmkd_lab.data.text import Vocabulary
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
        vocabularies: name -> the words behind a modality of token ids, which is then (N, L) int64, every text
            padded at its end with id 0.
        captions: name -> N texts as they were written, for pictures; the vocabulary knows fewer words.
        facts: name -> (N,) int64, what is known of each row and given to no network.

    Raises:
        LabError: unequal lengths, fewer than one modality, NaN or infinite values, labels out of range, a
            class absent from a split (single label), overlapping splits, a group on both sides of a split,
            token ids that the vocabulary lacks, a text without a word or with padding inside.
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
    vocabularies: Mapping[str, Vocabulary] = field(default_factory=dict)
    captions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("modalities", "splits", "sources", "recipe", "vocabularies", "captions", "facts"):
            given = mapping(name, getattr(self, name), "a mapping of names")
            object.__setattr__(self, name, MappingProxyType(dict(given)))
        listed = flat("classes", self.classes, "a list of class names")
        object.__setattr__(
            self, "classes", tuple(of_type("classes", c, str, "a list of text") for c in listed)
        )
        of_type("target", self.target, Tensor, "a torch tensor")
        if self.index is None and self.target.ndim:
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
        arrays += [(f"fact/{name}", values) for name, values in sorted(self.facts.items())]
        told: list[object] = [self.name, self.classes, self.task]
        if self.vocabularies:
            told.append({name: known.digest for name, known in self.vocabularies.items()})
        head = np.frombuffer(canonical(told).encode(), dtype=np.uint8)
        return digest_arrays([("head", head), *((name, t.detach().cpu().numpy()) for name, t in arrays)])

    def caption(self, modality: str, position: int) -> str:
        """One text of a modality: as it was written where that is known, else its words from the ids.

        Raises `LabError` for a modality without text or a position out of range.
        """
        one_of("modality", modality, sorted({*self.vocabularies, *self.captions}))
        i = at("position", position, len(self), of="the position of a sample")
        if modality in self.captions:
            return self.captions[modality][i]
        return self.vocabularies[modality].decode(self.modalities[modality][i].cpu().numpy())

    def positions(self, split: str) -> Tensor:
        """The positions of a split's samples. Raises `LabError` for an unknown split."""
        one_of("split", split, list(self.splits))
        return self.splits[split]

    def batch(
        self,
        positions: Tensor,
        modalities: Sequence[str] | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, Tensor]:
        """{name: (*positions.shape, ...)}; floating values come as `dtype`, whatever they are stored as.

        Raises `LabError` for an unknown modality, or positions that are no int64 tensor (their range is not
        looked at: this is the inner loop of training).
        """
        whole = isinstance(positions, Tensor) and positions.dtype == torch.int64
        if not whole:
            raise LabError("positions", positions, "must be a torch tensor of int64 positions")
        known = list(self.modalities)
        names = known if modalities is None else flat("modalities", modalities, "a list of modalities")
        for name in names:
            one_of("modality", name, known)
        picked = {str(name): self.modalities[str(name)][positions] for name in names}
        return {name: x.to(dtype) if x.is_floating_point() else x for name, x in picked.items()}

    def to(self, device: torch.device | str) -> PairedData:
        """The same data with its tensors on a device. Raises `LabError` for one that torch does not know."""
        of_type("device", device, (str, torch.device), "a torch device such as 'cpu' or 'cuda:0'")
        try:
            device = torch.device(device)
        except RuntimeError as error:
            raise LabError("device", device, "must be a torch device such as 'cpu' or 'cuda:0'") from error
        return replace(
            self,
            modalities={name: x.to(device) for name, x in self.modalities.items()},
            target=self.target.to(device),
            splits={name: x.to(device) for name, x in self.splits.items()},
            index=self.sample_index.to(device),
            group=None if self.group is None else self.group.to(device),
            sources={name: x.to(device) for name, x in self.sources.items()},
            facts={name: x.to(device) for name, x in self.facts.items()},
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
            captions={
                name: tuple(said[i] for i in positions.tolist()) for name, said in self.captions.items()
            },
            facts={name: x[positions] for name, x in self.facts.items()},
        )

    def __repr__(self) -> str:
        sizes = {name: "×".join(map(str, shape)) or "1" for name, shape in self.shapes.items()}
        shapes = ", ".join(f"{name} {size}" for name, size in sizes.items())
        parts = ", ".join(f"{name} {len(where):,}" for name, where in self.splits.items())
        return (
            f"{self.name}: {len(self):,} paired samples of {shapes}; {self.num_classes} classes "
            f"({self.task.value}); {parts}; fingerprint {self.fingerprint}"
        )
