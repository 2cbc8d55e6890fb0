"""The checks of `PairedData`: each refusal names the argument, its value, the rule and the way out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, listing, mapping, of_type, one_of, require
from mmkd_lab.core.complaints import Complaints
from mmkd_lab.data.on_demand import MappedFile, OnDemand, Values
from mmkd_lab.data.task import SPLITS, Task
from mmkd_lab.data.text import PAD, Vocabulary

if TYPE_CHECKING:
    from mmkd_lab.data.paired import PairedData

_FLOATS = (torch.float16, torch.float32, torch.float64)  # the kinds that numpy, and so a file, can hold
_ROWS = 4096  # rows checked at a time, so that a check never doubles the memory


def normalise(given: Mapping[str, object]) -> dict[str, object]:
    """The fields of `PairedData` in the types it keeps: tensors, whole numbers as int64, positions."""
    found: dict[str, Any] = dict(given)
    for name in ("modalities", "splits", "sources", "recipe", "vocabularies", "captions", "facts", "present"):
        found[name] = dict(mapping(name, given[name], "a mapping of names"))
    found["classes"] = tuple(map(_class_name, flat("classes", given["classes"], "a list of class names")))
    found["metrics"] = tuple(map(str, flat("metrics", given["metrics"], "a list of names")))
    found["ids"] = tuple(map(str, flat("ids", given["ids"], "a list of texts")))
    found["target"] = target = _target(given["target"], given["task"])
    kinds: dict[str, Callable[[str, object], Values]]
    kinds = {"modalities": _values, "splits": partial(_positions, n=len(target))}
    for kind in ("modalities", "splits", "sources", "facts"):
        convert = kinds.get(kind, _numbers)
        found[kind] = {name: convert(f"{kind}[{name!r}]", x) for name, x in found[kind].items()}
    there = {name: as_tensor(f"present[{name!r}]", x) for name, x in found["present"].items()}
    whole = {
        n for n, x in there.items() if x.dtype == torch.bool and x.shape == (len(target),) and bool(x.all())
    }
    found["present"] = {name: x for name, x in there.items() if name not in whole & set(found["modalities"])}
    index = torch.arange(len(target), device=target.device) if given["index"] is None else given["index"]
    found["index"] = _numbers("index", index)
    found["group"] = None if given["group"] is None else _numbers("group", given["group"])
    found["weight"] = None if given["weight"] is None else as_tensor("weight", given["weight"]).double()
    return found


def _values(argument: str, value: object) -> Values:
    """Rows as they are, also those of a mapped file; a tensor of anything else, see `as_tensor`."""
    if (file := MappedFile.of(value)) is not None:
        return OnDemand(file, file.name)
    return value if isinstance(value, OnDemand) else as_tensor(argument, value)


def as_tensor(argument: str, value: object) -> Tensor:
    """A tensor as it is, a numpy array as a tensor on its memory. Raises `LabError` for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        with warnings.catch_warnings():  # nothing here writes into an array that may only be read
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            forward = min(value.strides, default=0) >= 0  # torch has no negative strides
            return torch.from_numpy(value if forward else np.ascontiguousarray(value))
    if not isinstance(value, Tensor):
        rule, way_out = "must be a torch tensor or a numpy array", "Convert it with torch.as_tensor."
        raise LabError(argument, type(value).__name__, rule, way_out)
    return value


def validate(data: PairedData) -> None:
    """Raise `LabError` unless everything fits together; see `PairedData` for the rules."""
    _validate_names(data)
    n = len(data.target)
    require(n > 0, "target", tuple(data.target.shape), "must hold at least one sample")
    for name, values in data.modalities.items():
        validate_modality(f"modalities[{name!r}]", values, n)
    _validate_present(data)
    _validate_target(data)
    rows = {"index": data.sample_index} | ({} if data.group is None else {"group": data.group})
    for kind in ("sources", "facts"):
        rows |= {f"{kind}[{name!r}]": numbers for name, numbers in getattr(data, kind).items()}
    for argument, numbers in rows.items():
        rule = f"must be ({n},), one whole number per sample"
        require(numbers.shape == (n,), argument, tuple(numbers.shape), rule)
    distinct = len(torch.unique(data.sample_index))
    shown = f"{distinct} distinct numbers for {n} samples"
    require(distinct == n, "index", shown, "must be unique per sample")
    shown = f"{len(set(data.ids))} distinct texts, {len(data.ids)} in all"
    fits = not data.ids or len(data.ids) == len(set(data.ids)) == n
    require(fits, "ids", shown, f"must be one text per sample ({n} in all), no two alike")
    _validate_splits(data)
    if data.weight is not None:
        shape, rule = tuple(data.weight.shape), f"must be ({n},), one number per sample"
        require(shape == (n,), "weight", shape, rule)
        fine = bool((data.weight.isfinite() & (data.weight >= 0)).all())
        require(fine, "weight", "negative or infinite numbers, or NaN", "must be at least 0")
        total = float(data.weight[data.splits["train"]].sum()) if "train" in data.splits else 1.0
        require(total > 0, "weight", "0 for all training samples", "must leave something to learn from")
    for name, known in data.vocabularies.items():
        one_of("vocabularies", name, list(data.modalities))
        of_type(f"vocabularies[{name!r}]", known, Vocabulary, "a Vocabulary")
        there = data.present.get(name)
        ids = data.modalities[name]
        _validate_text(f"modalities[{name!r}]", ids if there is None else ids[there], len(known))
    for name, said in data.captions.items():
        one_of("captions", name, list(data.modalities))
        of_type(f"captions[{name!r}]", said, tuple, "a tuple of texts")
        texts, rule = sum(isinstance(text, str) for text in said), f"must be one text per sample ({n} in all)"
        require(len(said) == texts == n, f"captions[{name!r}]", f"{texts} texts of {len(said)}", rule)


def validate_positions(argument: str, where: Tensor, n: int) -> None:
    """Raise `LabError` unless `where` is a non-empty int64 list of positions below `n`."""
    require(isinstance(where, Tensor), argument, type(where).__name__, "must be a torch tensor of positions")
    shape = tuple(where.shape)
    require(where.ndim == 1 and len(where) > 0, argument, shape, "must be a non-empty list of positions")
    require(where.dtype == torch.int64, argument, where.dtype, "must be int64 positions")
    _within(argument, where, "positions", 0, n - 1)


def _within(argument: str, values: Tensor, what: str, lowest: int, highest: int) -> None:
    low, high = int(values.min()), int(values.max())
    rule = f"must lie between {lowest} and {highest}"
    require(low >= lowest and high <= highest, argument, f"{what} from {low} to {high}", rule)


def _class_name(value: object) -> str:
    named = isinstance(value, (str, Integral)) and not isinstance(value, bool)
    require(named, "classes", value, "must be a list of text or whole numbers")
    return str(value)


def _target(value: object, task: object) -> Tensor:
    target = as_tensor("target", value)
    require(target.ndim >= 1, "target", tuple(target.shape), "must hold one row per sample")
    if task is Task.REGRESSION:
        wide = target if target.is_floating_point() else target.to(torch.float64)
        return wide[:, None] if wide.ndim == 1 else wide
    if target.is_floating_point() or target.is_complex():
        return target
    if task is Task.MULTI_LABEL:
        return target.to(torch.float32)
    return target if target.dtype == torch.bool else target.to(torch.int64)


def _numbers(argument: str, value: object) -> Tensor:
    found = as_tensor(argument, value)
    plain = not (found.is_floating_point() or found.is_complex() or found.dtype == torch.bool)
    require(plain, argument, found.dtype, "must be whole numbers")
    return found.to(torch.int64)


def _positions(argument: str, value: object, n: int) -> Tensor:
    """Positions as they are, and of a mask the positions where it holds."""
    found = as_tensor(argument, np.asarray(value) if isinstance(value, (list, tuple, range)) else value)
    if found.dtype != torch.bool:
        return _numbers(argument, found)
    require(found.shape == (n,), argument, tuple(found.shape), f"must be ({n},), as it is a mask")
    return found.nonzero().flatten()


def _validate_names(data: PairedData) -> None:
    require(isinstance(data.name, str) and data.name != "", "name", data.name, "must be text")
    require(len(data.modalities) > 0, "modalities", dict(data.modalities), "must hold at least one modality")
    for name in data.modalities:
        named = isinstance(name, str) and name != ""
        require(named, "modalities", name, "must have text for the name of every modality")
    of_type("task", data.task, Task, f"one of {listing([str(task) for task in Task])}")
    k = len(data.classes)
    least, what = (1, "one output") if data.task is Task.REGRESSION else (2, "two classes")
    require(k >= least, "classes", data.classes, f"must name at least {what}")
    require(len(set(data.classes)) == k, "classes", data.classes, "must not name a class twice")


def validate_modality(argument: str, values: Values, n: int) -> None:
    """Raise `LabError` unless `values` are n rows that a network can read."""
    shape = tuple(values.shape)
    rule, way_out = (
        f"must hold one row per sample ({n} by the target)",
        "Row i must be the same sample in all.",
    )
    require(values.ndim >= 1 and len(values) == n, argument, shape, rule, way_out)
    require(values.numel() > 0, argument, shape, "must not be empty")
    if isinstance(values, OnDemand):
        values.digest()  # reads all of it, once, and refuses what is not finite
        return
    plain = values.dtype != torch.bool and not values.is_complex()
    require(plain, argument, values.dtype, "must be floating point, or integer token ids")
    require(values.layout == torch.strided, argument, values.layout, "must be dense", "Use .to_dense().")
    if not values.is_floating_point():
        return
    way_out = "Convert it with .half() or .float()."
    require(values.dtype in _FLOATS, argument, values.dtype, "must be float16, float32 or float64", way_out)
    parts = (part.float().reshape(len(part), -1) for part in torch.split(values, _ROWS))
    bad = torch.cat([~part.isfinite().all(dim=1) for part in parts])
    if bool(bad.any()):
        shown = f"{int(bad.sum())} rows with NaN or infinite values, first row {int(bad.nonzero()[0])}"
        rule = "must be finite, in single precision too"
        raise LabError(argument, shown, rule, "Drop, repair or rescale these samples first.")


def _validate_present(data: PairedData) -> None:
    n = len(data.target)
    for name, there in data.present.items():
        one_of("present", name, list(data.modalities))
        at, shown = f"present[{name!r}]", f"{there.dtype} {tuple(there.shape)}"
        require(there.dtype == torch.bool and there.shape == (n,), at, shown, f"must be a mask, bool ({n},)")
        known = bool(there[data.splits["train"]].any()) if "train" in data.splits else bool(there.any())
        require(known, at, "no training sample", "must be there for one at least", "Leave the modality out.")
    empty = (~data.seen()).nonzero().flatten().tolist() if data.present else []
    shown, way_out = f"{len(empty)} samples without any, first {empty[:1]}", "Drop these samples."
    require(not empty, "present", shown, "must leave every sample a modality", way_out)


def _validate_target(data: PairedData) -> None:
    target, k = data.target, len(data.classes)
    shown = f"{target.dtype} {tuple(target.shape)}"
    if data.task is Task.REGRESSION:
        fine = target.ndim == 2 and target.shape[1] == k and target.dtype in _FLOATS
        way_out = "classes are the names of the outputs."
        require(fine, "target", shown, f"must be numbers (N,) or (N, {k}) for a regression", way_out)
        bad = (~target.isfinite().all(dim=1)).nonzero().flatten().tolist()
        shown = f"{len(bad)} rows with NaN or infinite values, first row {bad[0]}" if bad else ""
        require(not bad, "target", shown, "must be finite", "Drop or repair these samples first.")
        return
    if data.task is Task.MULTI_LABEL:
        fine = target.ndim == 2 and target.shape[1] == k and target.is_floating_point()
        require(fine, "target", shown, f"must be numbers (N, {k}) for a multi-label task")
        inside = bool(((target >= 0) & (target <= 1)).all())  # NaN is not inside
        require(inside, "target", "NaN or values outside [0, 1]", "must lie in [0, 1] for a multi-label task")
        return
    dims, lowest = (1, 0) if data.task is Task.SINGLE_LABEL else (3, -1)
    rule = f"must be whole numbers with {dims} dimension{'s'[: dims > 1]} for a {data.task.value} task"
    require(target.ndim == dims and target.dtype == torch.int64, "target", shown, rule)
    _within("target", target, "labels", lowest, k - 1)


def _validate_splits(data: PairedData) -> None:
    n, sides, wrong = len(data.target), dict[int, str](), Complaints()
    require(len(data.splits) > 0, "splits", dict(data.splits), "must hold at least one split")
    for name, where in data.splits.items():
        one_of("splits", name, SPLITS)
        validate_positions(f"splits[{name!r}]", where, n)
        if data.task is Task.SINGLE_LABEL:
            counts = torch.bincount(data.target[where], minlength=len(data.classes)).tolist()
            absent = [label for label, count in zip(data.classes, counts, strict=True) if count == 0]
            rule, way_out = (
                "every class must occur in every split",
                "Use more samples, or stratify the split.",
            )
            with wrong:
                require(not absent, f"splits[{name!r}]", f"no sample of {listing(absent)}", rule, way_out)
        if data.task is Task.REGRESSION:
            low, high = data.target[where].aminmax(dim=0)
            flat = [label for label, alone in zip(data.classes, low == high, strict=True) if alone]
            rule = f"{listing(flat)} must vary in every split, or nothing of it can be explained"
            with wrong:
                require(not flat, f"splits[{name!r}]", f"{len(where)} samples", rule)
        for member in [] if data.group is None else torch.unique(data.group[where]).tolist():
            first = sides.setdefault(member, name)
            rule = f"must stand on one side of a split; this one is in both {first!r} and {name!r}"
            way_out = "Split by group (speaker, actor), or pass group=None if the groups do not matter."
            require(first == name, "group", member, rule, way_out)
    used = torch.cat(list(data.splits.values()))
    twice = len(used) - len(torch.unique(used))
    with wrong:
        require(twice == 0, "splits", f"{twice} samples used more than once", "splits must not share samples")
    wrong.tell()


def _validate_text(argument: str, ids: Values, size: int) -> None:
    kind = f"{ids.dtype} {tuple(ids.shape)}"
    rule, way_out = (
        "must be int64 (N, L), the ids of its words, as it has a vocabulary",
        "See Vocabulary.encode.",
    )
    if not isinstance(ids, Tensor) or ids.dtype != torch.int64 or ids.ndim != 2:
        raise LabError(argument, kind, rule, way_out)
    _within(argument, ids, "ids of its vocabulary", 0, size - 1)
    said = ids != PAD
    empty = int((~said[:, 0]).sum())
    rule = f"every text must begin with a word; {PAD} is padding, at the end"
    require(empty == 0, argument, f"{empty} texts that begin with padding", rule, way_out)
    holes = int((said[:, 1:] & ~said[:, :-1]).any(dim=1).sum())
    require(holes == 0, argument, f"{holes} texts with padding inside", f"{PAD} may stand only at the end")
