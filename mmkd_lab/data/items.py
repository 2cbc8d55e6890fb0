"""Samples that a torch Dataset holds: read through its own `__getitem__`, all of them looked at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.core.ahead import ahead
from mmkd_lab.core.check import LabError, listing, require
from mmkd_lab.data.on_demand import Scan, as_picture, is_kept, turned

Array = npt.NDArray[Any]
Key = str | int

_AT_ONCE = 32
_SHAPE = "must be as in sample 0, {}, in every sample"
_MAKE_ALIKE = "Resize, cut or pad it in the Dataset."


class Wanted(NamedTuple):
    """What is read of an item: {modality: key}, those of token ids, and {what for: key} of anything else."""

    modalities: dict[str, Key]
    tokens: frozenset[str] = frozenset()
    beside: Mapping[str, Key] = {}


@dataclass(frozen=True, eq=False)
class Items:
    """A `data.on_demand.Reader` of what a Dataset gives: {modality: key in its items}."""

    dataset: Any
    keys: Mapping[str, Key]
    forms: Mapping[str, tuple[tuple[int, ...], torch.dtype]]
    digests: Mapping[str, str]
    workers: int = 0

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, names: Sequence[str], positions: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """Rows in the order asked for. Raises `LabError` for an item that fails, or is not as it was."""
        found: dict[str, list[Array]] = {name: [] for name in names}
        for i, item in items_of(self.dataset, positions.tolist()):
            for name in names:
                value = numbers_of(item, self.keys[name], i)
                shape, dtype = self.forms[name]
                kept = torch.from_numpy(value).dtype if not isinstance(value, str) else None
                shown = f"{name} {getattr(value, 'shape', 'text')} {kept} in sample {i}"
                rule = _SHAPE.format(f"{shape} {dtype}")
                require(kept == dtype and value.shape == shape, "dataset", shown, rule, _MAKE_ALIKE)  # type: ignore[union-attr]
                found[name].append(value)  # type: ignore[arg-type]
        none = {name: torch.empty((0, *self.forms[name][0]), dtype=self.forms[name][1]) for name in names}
        return {n: torch.from_numpy(np.stack(some)) if some else none[n] for n, some in found.items()}

    def digest(self, name: str) -> str:
        """Of all samples, as they were when they were looked at."""
        return self.digests[name]

    def unchanged(self) -> None:
        """Nothing tells whether a Dataset is what it was."""


@dataclass(eq=False)
class Seen:
    """What all samples of a Dataset hold: forms and digests of what stays there, and everything else."""

    forms: dict[str, tuple[tuple[int, ...], torch.dtype]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    texts: dict[str, list[Any]] = field(default_factory=dict)
    beside: dict[str, list[Any]] = field(default_factory=dict)


def look(dataset: Any, wanted: Wanted, *, workers: int = 0) -> Seen:  # noqa: ANN401 - any Dataset
    """Read every sample once. Raises `LabError` for one that cannot be used, or not be read twice alike."""
    first, again = (_block(dataset, wanted, [0]) for _ in range(2))
    for name, (one, other) in {n: (first[n][0], again[n][0]) for n in wanted.modalities}.items():
        same = one == other if isinstance(one, str) else np.array_equal(one, other)
        way_out = "Leave what is random out of the Dataset, and give it as `augment` to a study or to fit."
        require(same, "dataset", f"{name!r} of sample 0", "is another each time it is read", way_out)
    found, scans = Seen(beside={one: [] for one in wanted.beside}), dict[str, Scan]()
    held = {n for n in wanted.modalities if isinstance(first[n][0], str) or n in wanted.tokens}
    for name in wanted.modalities:
        if name in held:
            found.texts[name] = []
        else:
            example = torch.from_numpy(first[name][0])
            found.forms[name], scans[name] = (tuple(example.shape), example.dtype), Scan(f"modality {name!r}")
    parts = [range(i, min(i + _AT_ONCE, len(dataset))) for i in range(0, len(dataset), _AT_ONCE)]
    for part, block in zip(
        parts, ahead(partial(_block, dataset, wanted), parts, workers=workers), strict=True
    ):
        for name in wanted.beside:
            found.beside[name] += block[name]
        for name in wanted.modalities:
            _alike(name, first[name][0], block[name], part, length=name not in held)
            if name in held:
                found.texts[name] += block[name]
            else:
                scans[name].see(np.stack(block[name]))
    found.digests = {name: scan.digest() for name, scan in scans.items()}
    return found


def _alike(name: str, first: Any, values: Sequence[Any], part: range, *, length: bool) -> None:  # noqa: ANN401
    def form(value: Any) -> str:  # noqa: ANN401 - text or an array
        return "text" if isinstance(value, str) else f"{value.dtype} {value.shape if length else ''}".strip()

    for i, value in zip(part, values, strict=True):
        rule = _SHAPE.format(form(first))
        require(
            form(value) == form(first), "dataset", f"{name} {form(value)} in sample {i}", rule, _MAKE_ALIKE
        )


def _block(dataset: Any, wanted: Wanted, part: Sequence[int]) -> dict[str, list[Any]]:  # noqa: ANN401
    """{modality or what for: values} of some samples."""
    found: dict[str, list[Any]] = {name: [] for name in (*wanted.modalities, *wanted.beside)}
    for i, item in items_of(dataset, part):
        for name, key in wanted.modalities.items():
            value = numbers_of(item, key, i, tokens=name in wanted.tokens)
            found[name].append(value)
        for name, key in wanted.beside.items():
            found[name].append(_plain(_at(item, key, i)))
    return found


def items_of(dataset: Any, positions: Sequence[int]) -> Iterator[tuple[int, dict[Key, Any]]]:  # noqa: ANN401
    """(i, item by key or place). Raises `LabError` naming the sample that fails, or is no dict or tuple."""
    for i in positions:
        try:
            item = dataset[i]
        except Exception as error:
            rule = f"cannot be read: {type(error).__name__}: {error}"
            raise LabError("dataset", f"sample {i}", rule, "See the Dataset's own __getitem__.") from error
        if hasattr(item, "_asdict"):
            item = item._asdict()
        pair = isinstance(item, (Mapping, tuple, list))
        rule = "must be a dict, or a tuple"
        require(
            pair,
            "dataset",
            f"{type(item).__name__} in sample {i}",
            rule,
            "Return {'image': ..., 'label': ...}.",
        )
        yield i, dict(item) if isinstance(item, Mapping) else dict(enumerate(item))


def _at(item: Mapping[Key, Any], key: Key, i: int) -> Any:  # noqa: ANN401 - whatever lies there
    require(key in item, "dataset", f"sample {i} with {list(item)}", f"must have {key!r}")
    return item[key]


def numbers_of(item: Mapping[Key, Any], key: Key, i: int, *, tokens: bool = False) -> Array | str:
    """One value as an array that is kept, or text: pictures have their colours first."""
    value = _at(item, key, i)
    if isinstance(value, str):
        return value
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.float() if value.dtype == torch.bfloat16 else value
    if hasattr(value, "getbands") and value.mode not in ("L", "RGB", "RGBA"):  # Pillow's
        value = value.convert("RGB")
    try:
        found = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        found = np.empty(0, dtype=object)
    shown = f"{type(value).__name__} under {key!r} in sample {i}"
    require(
        found.dtype.kind in "iuf" and found.size > 0, "dataset", shown, "must be numbers, a picture or text"
    )
    if isinstance(value, (list, tuple, float)) and found.dtype.kind == "f":
        found = found.astype(np.float32)
    if tokens:
        require(found.dtype.kind in "iu" and found.ndim == 1, "dataset", shown, "must be token ids, (L,)")
        return found.astype(np.int64)
    found = found if is_kept(found.dtype) else found.astype(np.float64)
    pictures: Array = as_picture(found[None], turned(found.shape, found.dtype))
    return np.asarray(pictures[0])


def _plain(value: Any) -> Any:  # noqa: ANN401 - a label, a group, an id
    value = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
    return value.item() if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0 else value


def length_of(dataset: Any) -> int:  # noqa: ANN401 - anything
    """Its samples. Raises `LabError` for what is no map-style Dataset, or holds nothing."""
    kind, rule = type(dataset).__name__, "must be a map-style Dataset, with __getitem__ and __len__"
    way_out = "Samples are read in any order, and several times: list them first, or write them to files."
    lacks = [name for name in ("__getitem__", "__len__") if not hasattr(type(dataset), name)]
    shown = f"{kind} without {listing(lacks)}" if lacks else kind
    mapped = not lacks and not isinstance(dataset, torch.utils.data.IterableDataset)
    require(mapped, "dataset", shown, rule, way_out)
    try:
        n = len(dataset)
    except TypeError as error:
        raise LabError("dataset", kind, f"{rule}; its length: {error}", way_out) from error
    require(n > 0, "dataset", f"{kind} of length {n}", "must hold at least one sample")
    return n
