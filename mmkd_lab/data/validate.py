"""The checks of `PairedData`: each refusal names the argument, its value, the rule and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, listing, of_type, one_of, require
from mmkd_lab.data.task import SPLITS, Task
from mmkd_lab.data.text import PAD, Vocabulary

if TYPE_CHECKING:
    from mmkd_lab.data.paired import PairedData

_FLOATS = (torch.float16, torch.float32, torch.float64)  # the kinds that numpy, and so a file, can hold
_ROWS = 4096  # rows checked at a time, so that a check never doubles the memory


def validate(data: PairedData) -> None:
    """Raise `LabError` unless everything fits together; see `PairedData` for the rules."""
    _validate_kinds(data)
    n = len(data.target)
    require(len(data.modalities) > 0, "modalities", dict(data.modalities), "must hold at least one modality")
    require(n > 0, "target", tuple(data.target.shape), "must hold at least one sample")
    for name, values in data.modalities.items():
        _validate_modality(name, values, n)
    _validate_target(data)
    _validate_index(data, n)
    _validate_splits(data, n)
    if data.group is not None:
        _validate_numbers("group", data.group, n)
        _validate_group(data.group, data.splits)
    for name, numbers in data.sources.items():
        _validate_numbers(f"sources[{name!r}]", numbers, n)
    for name, numbers in data.facts.items():
        _validate_numbers(f"facts[{name!r}]", numbers, n)
    for name, known in data.vocabularies.items():
        one_of("vocabularies", name, list(data.modalities))
        of_type(f"vocabularies[{name!r}]", known, Vocabulary, "a Vocabulary")
        _validate_text(f"modalities[{name!r}]", data.modalities[name], len(known))
    for name, said in data.captions.items():
        _validate_captions(name, said, data)


def _validate_kinds(data: PairedData) -> None:
    target, k = data.target, len(data.classes)
    require(isinstance(data.name, str) and data.name != "", "name", data.name, "must be text")
    for name in data.modalities:
        named = isinstance(name, str) and name != ""
        require(named, "modalities", name, "must have text for the name of every modality")
    require(
        isinstance(data.task, Task), "task", data.task, f"must be one of {listing([str(t) for t in Task])}"
    )
    require(target.ndim >= 1, "target", tuple(target.shape), "must hold one row per sample")
    require(k >= 2, "classes", data.classes, "must name at least two classes")
    require(len(set(data.classes)) == k, "classes", data.classes, "must not name a class twice")


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
    require(values.numel() > 0, argument, tuple(values.shape), "must not be empty")
    plain = values.dtype != torch.bool and not values.is_complex()
    require(plain, argument, values.dtype, "must be floating point, or integer token ids")
    if values.is_floating_point():
        way_out = "Convert it with .half() or .float()."
        require(
            values.dtype in _FLOATS, argument, values.dtype, "must be float16, float32 or float64", way_out
        )
    require(values.layout == torch.strided, argument, values.layout, "must be dense", "Use .to_dense().")
    if values.is_floating_point():
        parts = [values[start : start + _ROWS] for start in range(0, n, _ROWS)]
        bad = torch.cat([~torch.isfinite(part.reshape(len(part), -1)).all(dim=1) for part in parts])
        if bool(bad.any()):
            where = int(bad.nonzero()[0])
            raise LabError(
                argument,
                f"{int(bad.sum())} rows with NaN or infinite values, first row {where}",
                "must be finite",
                "Drop or repair these samples before building the dataset.",
            )


def _validate_text(argument: str, ids: Tensor, size: int) -> None:
    kind = f"{ids.dtype} {tuple(ids.shape)}"
    rule = "must be int64 (N, L), the ids of its words, as it has a vocabulary"
    require(ids.dtype == torch.int64 and ids.ndim == 2, argument, kind, rule, "See Vocabulary.encode.")
    low, high = int(ids.min()), int(ids.max())
    rule = f"must lie between 0 and {size - 1}, the ids of its vocabulary"
    require(low >= 0 and high < size, argument, f"ids from {low} to {high}", rule)
    said = ids != PAD
    empty = int((~said[:, 0]).sum())
    rule = f"every text must begin with a word; {PAD} is padding, at the end"
    require(empty == 0, argument, f"{empty} texts that begin with padding", rule, "See Vocabulary.encode.")
    holes = int((said[:, 1:] & ~said[:, :-1]).any(dim=1).sum())
    require(holes == 0, argument, f"{holes} texts with padding inside", f"{PAD} may stand only at the end")


def _validate_captions(name: str, said: object, data: PairedData) -> None:
    argument = f"captions[{name!r}]"
    one_of("captions", name, list(data.modalities))
    require(isinstance(said, tuple), argument, type(said).__name__, "must be a tuple of texts")
    assert isinstance(said, tuple)
    texts = sum(isinstance(text, str) for text in said)
    rule = f"must be one text per sample ({len(data.target)} by the target)"
    require(len(said) == texts == len(data.target), argument, f"{texts} texts of {len(said)}", rule)


def _validate_target(data: PairedData) -> None:
    target, k = data.target, len(data.classes)
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
    _validate_numbers("index", index, n)
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
        validate_positions(argument, where, n)
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


def validate_positions(argument: str, where: Tensor, n: int) -> None:
    """Raise `LabError` unless `where` is a non-empty int64 list of positions below `n`."""
    require(isinstance(where, Tensor), argument, type(where).__name__, "must be a torch tensor of positions")
    shape = tuple(where.shape)
    require(where.ndim == 1 and len(where) > 0, argument, shape, "must be a non-empty list of positions")
    require(where.dtype == torch.int64, argument, where.dtype, "must be int64 positions")
    low, high = int(where.min()), int(where.max())
    require(low >= 0 and high < n, argument, f"positions {low} to {high}", f"must lie between 0 and {n - 1}")


def _validate_numbers(argument: str, numbers: Tensor, n: int) -> None:
    require(isinstance(numbers, Tensor), argument, type(numbers).__name__, "must be a torch tensor")
    require(numbers.shape == (n,), argument, tuple(numbers.shape), f"must be ({n},), one number per sample")
    require(numbers.dtype == torch.int64, argument, numbers.dtype, "must be int64")


def _validate_group(group: Tensor, splits: Mapping[str, Tensor]) -> None:
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
