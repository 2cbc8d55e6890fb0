"""The one container for every dataset: paired samples of named modalities with a target."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, of_type, one_of
from mmkd_lab.core.check import position as at
from mmkd_lab.core.fingerprint import canonical, digest_arrays
from mmkd_lab.data.identity import Identity
from mmkd_lab.data.on_demand import OnDemand, Values, fetch, widened
from mmkd_lab.data.task import SPLITS, Task
from mmkd_lab.data.text import Vocabulary
from mmkd_lab.data.validate import as_tensor, normalise, validate, validate_positions

__all__ = ["SPLITS", "PairedData", "Task"]

#: The fields of `PairedData` that hold tensors, by name and alone, and what the fingerprint calls them.
_MAPPINGS = {
    "modalities": "modality",
    "splits": "split",
    "sources": "source",
    "facts": "fact",
    "present": "present",
}
_ALONE = ("target", "index", "group", "weight")
_ORDER = ("modalities", "splits", "sources", *_ALONE, "facts", "present")


@dataclass(frozen=True, eq=False)
class PairedData:
    """N samples, each {modality name: tensor}, with a target, a sample index and splits.

    Tensors may be given as numpy arrays, whole numbers (labels, index, group) of any type; they become int64.
    Modalities may be larger than memory: mapped arrays (`np.load(..., mmap_mode="r")`) stay on disk, see
    `data.on_demand.MappedFile`, and what `data.from_dataset` gives stays in the Dataset.

    Args:
        name: the dataset's name, for tables and titles.
        modalities: name -> (N, ...) tensor; floating (float16 and float64 are kept), bytes of
            pictures (uint8, which networks are given as floating numbers from 0 to 1), or integer token ids.
        target: see `Task`.
        splits: 'train', 'val', 'test' -> positions (not sample indices), or a mask (N,); disjoint.
        classes: the K class names; whole numbers become text. Of a regression, the names of its outputs.
        task: what the target is.
        index: (N,) a unique whole number per sample that outlives any reordering; teacher outputs are cached
            under it. Default: 0..N-1.
        sources: name -> (N,) the number of the original item (image, recording) behind each row.
        group: (N,) the number of what must not stand on both sides of a split (a speaker), or None.
        recipe: the parameters that made this dataset, for provenance.
        vocabularies: name -> the words behind token ids, (N, L) int64, padded at the end with 0.
        captions: name -> N texts as they were written, for pictures; the vocabulary knows fewer words.
        facts: name -> (N,) whole numbers, what is known of each row and given to no network.
        weight: (N,) how much the label of each sample counts in training, at least 0, or None. Metrics and
            what a teacher says know no weights.
        present: name -> (N,) bool, where a modality is there; all of it, where it is not named. The other
            rows hold zeros, or anything finite, and nobody sees them.
        ids: N texts, what you call each sample: a table of outputs may go by them instead of the index.
        metrics: names of metrics told beside the task's own; see `training.metrics.register_metric`.

    Raises:
        LabError: unequal lengths, no modality, values that are not finite in single precision, labels out of
            range, a class absent from a split (single label), overlapping splits, a group on both sides of a
            split, token ids that the vocabulary lacks, a text without a word or with padding inside.
    """

    name: str
    modalities: Mapping[str, Values]
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
    ids: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    weight: Tensor | None = None
    present: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        self._set({**normalise(given), "_known": {}})
        validate(self)

    def _set(self, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            kept = MappingProxyType(value) if isinstance(value, dict) and name[0] != "_" else value
            object.__setattr__(self, name, kept)

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

    def seen(self, modalities: Sequence[str] | None = None, *, whole: bool = False) -> Tensor:
        """(N,) bool: where any of these modalities is there (None: of all), or with `whole` every one of
        them.

        `data.select(data.seen(whole=True).nonzero().flatten())` are the complete samples.
        """
        everywhere = torch.ones(len(self), dtype=torch.bool, device=self.target.device)
        names = self.modalities if modalities is None else modalities
        each = torch.stack([self.present.get(name, everywhere) for name in names])
        return each.all(0) if whole else each.any(0)

    def stays(self, positions: Tensor, modalities: Sequence[str]) -> dict[str, Tensor]:
        """{name: where it is there, bool, shaped as positions} of those modalities that some samples lack."""
        return {name: self.present[name][positions] for name in modalities if name in self.present}

    @property
    def unit(self) -> tuple[Tensor, Tensor] | None:
        """Of a regression the mean and deviation (D,) of its outputs on the training split, in double
        precision: training is in (target - mean) / deviation. None for other tasks."""
        if self.task is not Task.REGRESSION:
            return None
        known = self.target[self.positions("train")].cpu().double()
        return known.mean(0), known.std(0, correction=0)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one sample, by modality."""
        return {name: tuple(values.shape[1:]) for name, values in self.modalities.items()}

    @property
    def identity(self) -> Identity:
        """What outputs made from this data carry, to be used on nothing else."""
        return Identity(self.classes, tuple(self.modalities), self.fingerprint)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change when any value, label, split, group, index or name changes.

        Computed once, and anew after anything has changed a tensor in place.
        """
        now = self._sums()
        known: tuple[object, str] | None = self.__dict__.get("_fingerprint")
        if known is None or known[0] != now:
            known = (now, self._digest())
            self._set({"_fingerprint": known, "_arrays": None})  # joblib maps an array once
        return known[1]

    def _sums(self) -> tuple[int, ...]:
        """What tells whether a tensor was changed in place: torch's own count misses what numpy writes."""
        for values in self.modalities.values():
            if isinstance(values, OnDemand):
                values.reader.unchanged()
        held = (values for _, values in self._tensors() if isinstance(values, Tensor))
        return tuple(zlib.crc32(np.ascontiguousarray(_array(values)).data) for values in held)

    def _digest(self) -> str:
        held = sorted(self._tensors(), key=lambda item: (_ORDER.index(item[0][0]), item[0][1]))
        arrays = [(f"{_MAPPINGS[kind]}/{name}" if name else kind, t) for (kind, name), t in held]
        told: list[object] = [self.name, self.classes, self.task]
        if self.vocabularies:
            told.append({name: known.digest for name, known in self.vocabularies.items()})
        if self.ids:
            told.append(self.ids)
        head = np.frombuffer(canonical(told).encode(), dtype=np.uint8)
        return digest_arrays([("head", head), *((name, _array(t)) for name, t in arrays)])

    def _tensors(self) -> Iterator[tuple[tuple[str, str], Any]]:
        """((field, name), tensor or rows) of every one."""
        for kind in _MAPPINGS:
            for name, values in getattr(self, kind).items():
                yield (kind, name), values
        for kind in _ALONE:
            if (values := getattr(self, kind)) is not None:
                yield (kind, ""), values

    def _changed(self, change: Callable[[str, Any], Values]) -> dict[str, Any]:
        """The fields that hold tensors, each tensor changed; `change` is told the field."""
        return _fields({place: change(place[0], values) for place, values in self._tensors()})

    def __getstate__(self) -> dict[str, object]:
        """Tensors as arrays on their memory: the same arrays each time, so that joblib maps them once."""
        fingerprint, kept = self.fingerprint, self.__dict__.get("_arrays")
        if kept is None or any(values.device.type != "cpu" for _, values in self._tensors()):
            every = self._tensors()
            kept = {at: one if isinstance(one, OnDemand) else _array(one) for at, one in every}
            object.__setattr__(self, "_arrays", kept)
        rest = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _ORDER}
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in rest.items()}
        return {"plain": plain, "arrays": kept, "fingerprint": fingerprint, "known": self.__dict__["_known"]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays = state["arrays"].items()
        held = _fields({at: x if isinstance(x, OnDemand) else as_tensor("array", x) for at, x in arrays})
        self._set({**state["plain"], **held, "_known": state["known"]})
        self._set({"_arrays": state["arrays"], "_fingerprint": (self._sums(), state["fingerprint"])})

    def once(self, name: str, about: object, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - what is made
        """What `make` gives; of a modality that is read row by row it is made once, and remembered."""
        if isinstance(self.modalities[name], Tensor):  # which anybody may change in place
            return make()
        known: dict[object, Any] = self.__dict__["_known"]
        if (name, about) not in known:
            known[name, about] = make()
        return known[name, about]

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
        """{name: (*positions.shape, ...)}; floating values and bytes come as `dtype`.

        Raises `LabError` for an unknown modality, or positions that are no int64 tensor (their range is not
        looked at: this is the inner loop of training).
        """
        if not isinstance(positions, Tensor) or positions.dtype != torch.int64:
            raise LabError("positions", positions, "must be a torch tensor of int64 positions")
        for name in modalities or ():
            one_of("modality", name, list(self.modalities))
        names = self.modalities if modalities is None else modalities
        picked = fetch(self.modalities, names, positions)
        picked |= {name: blank(picked[name], at) for name, at in self.stays(positions, list(names)).items()}
        return {name: widened(values, dtype) for name, values in picked.items()}

    def to(self, device: torch.device | str) -> PairedData:
        """The same data with its tensors on a device. Raises `LabError` for one that torch does not know."""
        of_type("device", device, (str, torch.device), "a torch device such as 'cpu' or 'cuda:0'")
        try:
            where = torch.device(device)
        except RuntimeError as error:
            raise LabError("device", device, "must be a torch device such as 'cpu' or 'cuda:0'") from error
        return replace(self, **self._changed(lambda _, x: x.to(where)))

    def select(self, positions: Tensor) -> PairedData:
        """Only these samples, splits renumbered; sample indices stay. A split left empty is dropped."""
        validate_positions("positions", positions, len(self))
        slot = torch.full((len(self),), -1, dtype=torch.int64, device=self.target.device)
        slot[positions] = torch.arange(len(positions), device=slot.device)

        def some(kind: str, x: Any) -> Values:  # noqa: ANN401 - a tensor or rows
            if isinstance(x, OnDemand):
                return x.select(positions)
            return slot[x][slot[x] >= 0] if kind == "splits" else x[positions]

        found = self._changed(some)
        found["splits"] = {name: where for name, where in found["splits"].items() if len(where)}
        captions = {name: tuple(said[i] for i in positions) for name, said in self.captions.items()}
        ids = tuple(self.ids[i] for i in positions) if self.ids else ()
        return replace(self, **found, captions=captions, ids=ids)

    def only(self, *modalities: str) -> PairedData:
        """The same samples with these modalities alone. Raises `LabError` for one that is not there, or
        samples that have none of them."""
        for name in modalities:
            one_of("modality", name, list(self.modalities))
        kinds = ("modalities", "vocabularies", "captions", "present")
        every = ((kind, getattr(self, kind).items()) for kind in kinds)
        some: dict[str, Any] = {kind: {m: x for m, x in of if m in modalities} for kind, of in every}
        return replace(self, **some)

    def __repr__(self) -> str:
        sizes = {name: "×".join(map(str, shape)) or "1" for name, shape in self.shapes.items()}
        shapes = ", ".join(f"{name} {size}" for name, size in sizes.items())
        parts = ", ".join(f"{name} {len(where):,}" for name, where in self.splits.items())
        outputs = f"output{'s' * (self.num_classes > 1)}" if self.task is Task.REGRESSION else "classes"
        said = (
            f"{self.name}: {len(self):,} paired samples of {shapes}; {self.num_classes} {outputs} "
            f"({self.task.value}); {parts}; fingerprint {self.fingerprint}"
        )
        notes = self.recipe.get("notes", ())
        return "\n  ".join([said, *(notes if isinstance(notes, tuple) else ())])


def blank(values: Tensor, there: Tensor) -> Tensor:
    """The rows of a modality with zeros where it is not there."""
    return torch.where(there.reshape(*there.shape, *[1] * (values.ndim - there.ndim)), values, 0)


def _array(values: Values) -> npt.NDArray[np.generic]:
    """What a tensor holds, and of rows their digest."""
    if isinstance(values, OnDemand):
        return np.frombuffer(values.digest().encode(), dtype=np.uint8)
    found: npt.NDArray[np.generic] = values.detach().cpu().numpy()
    return found


def _fields(held: Mapping[tuple[str, str], Values]) -> dict[str, Any]:
    """{(field, name): tensor} as the fields that hold tensors."""
    found: dict[str, Any] = {"group": None, "weight": None, **{kind: {} for kind in _MAPPINGS}}
    for (kind, name), values in held.items():
        if name:
            found[kind][name] = values
        else:
            found[kind] = values
    return found
