"""A table of answers as people and large models write it: which sample, which class, in whose words."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.core import check
from mmkd_lab.core.check import LabError, listing, one_of, require
from mmkd_lab.data.archives import read_npz
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task

if TYPE_CHECKING:
    import pandas as pd

Values = Literal["logits", "probabilities", "labels"]
Unknown = Literal["refuse", "no answer"]

#: What the columns of samples, of labels and of a label's probability may be called.
IDS = ("id", "index", "sample_index", "sample")
LABELS = ("label", "answer", "prediction")
SURENESS = ("probability", "confidence", "score")
_FORMATS = (".csv", ".parquet", ".npz", ".jsonl", ".json")
#: How far a sum of probabilities may be from 1.
_NEAR = 1e-3


@dataclass(frozen=True, eq=False)
class AnswerRows:
    """V answers: sample index (V,), what is said (V, K), of which kind, and what was left out."""

    index: Tensor
    said: Tensor
    kind: Values
    notes: tuple[str, ...] = ()


def read_rows(source: object, data: PairedData, *, values: Values | None, unknown: Unknown) -> AnswerRows:
    """The answers of a table, see `read_answers`."""
    one_of("values", values, [None, *get_args(Values)])
    one_of("unknown", unknown, get_args(Unknown))
    fits = data.task in (Task.SINGLE_LABEL, Task.MULTI_LABEL)
    require(fits, "data", data.task.value, "a table has one row of classes for each sample, no map")
    name, table = _table(source)
    column, said = _column(table, IDS, data), _column(table, LABELS, data)
    rule = f"must have a column of samples, called {listing(IDS)}, and has {_few(table.columns)}"
    require(column is not None, "source", name, rule)
    require(len(table) > 0, "source", name, "must have at least one row")
    if said is None or values in ("logits", "probabilities"):
        require(values != "labels", "source", name, f"must have a column called {listing(LABELS)}")
        numbers = _wide(table, name, data)
        kind = values or _guessed(numbers, name, data)
        if values == "probabilities" and data.task is Task.SINGLE_LABEL:
            numbers = _whole(numbers, name)
        return AnswerRows(_index(table[column], f"{name}[{column!r}]", data), numbers, kind)
    at = f"{name}[{said!r}]"
    require(data.task is Task.SINGLE_LABEL, at, data.task.value, "labels are for a single label")
    table = table.explode(said, ignore_index=True)
    index, sure = _index(table[column], f"{name}[{column!r}]", data), _column(table, SURENESS, data)
    known, notes = _classes(table[said], at, data, unknown)
    there = known >= 0
    require(bool(there.any()), at, "no answer", "must name a class at least once")
    if sure is None or values == "labels":
        return AnswerRows(index[there], torch.eye(data.num_classes).double()[known[there]], "labels", notes)
    at = f"{name}[{sure!r}]"
    law = _long(index[there], known[there], _number(table[sure], at)[there], at, data)
    return AnswerRows(*law, "probabilities", notes)


def by_name(texts: Iterable[str], names: Sequence[str]) -> list[int | None]:
    """The place among `names` of each text: as it is written, else without regard to case, white space, and
    quotes and stops at its ends, where just one name is so called; None for no place."""
    many, exact = Counter(map(_plain, names)), {one: i for i, one in enumerate(names)}
    near = {_plain(one): i for one, i in exact.items() if many[_plain(one)] == 1}
    return [exact.get(one, near.get(_plain(one))) for one in texts]


def _plain(text: str) -> str:
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(" .!\"'`*") or folded


def _table(source: object) -> tuple[str, pd.DataFrame]:
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return "the table", source.rename(columns=str)
    file = check.path("source", source)
    kind = file.suffix.lower()
    require(file.is_file(), "source", str(file), "must be a file that exists")
    require(kind in _FORMATS, "source", file.name, f"must be one of {', '.join(_FORMATS)}")
    # As it is written: '007' is no 7, and a class may be called None or NA.
    text: dict[str, Any] = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
    with check.reading(file, "must be a table that can be read, its text in UTF-8"):
        if kind == ".npz":
            table = pd.DataFrame(read_npz(file))
        elif kind in (".json", ".jsonl"):
            said = file.read_text(encoding="utf-8-sig")
            lines = [one for one in said.split("\n") if one.strip()] if kind == ".jsonl" else []
            table = pd.DataFrame([json.loads(one) for one in lines] or json.loads(said))
        else:
            table = pd.read_csv(file, **text) if kind == ".csv" else pd.read_parquet(file)
        return file.name, table.rename(columns=lambda one: str(one).strip())


def _column(table: pd.DataFrame, names: Sequence[str], data: PairedData) -> str | None:
    """The column that bears one of the names, in small letters or not, and is no class."""
    there = {str(one).casefold(): str(one) for one in table.columns if one not in data.classes}
    return next((there[one] for one in names if one in there), None)


def _index(ids: pd.Series[Any], at: str, data: PairedData) -> Tensor:
    """(V,) the sample index of each row: by the data's ids where it has them, else the index itself."""
    index = data.sample_index.tolist()
    known = dict(zip(map(str, data.ids or index), index, strict=True))
    texts = [one if one in known else one.strip() for one in map(str, ids)]
    strange = [one for one in texts if one not in known]
    called = f"{'ids' if data.ids else 'sample indices, whole numbers,'} are {_few(known)}"
    rule = f"is no sample of {data.name} ({len(strange)} such rows), whose {called}"
    require(not strange, at, strange[:1], rule, "Leave these rows out.")
    return torch.tensor([known[one] for one in texts], dtype=torch.int64)


def _classes(
    said: pd.Series[Any], at: str, data: PairedData, unknown: Unknown
) -> tuple[Tensor, tuple[str, ...]]:
    """(V,) the class of each row, -1 where there is none, and what is to be told of these."""
    # pandas makes 1.0 of the class 1 where a row lacks one.
    whole = [str(int(one)) if isinstance(one, float) and one.is_integer() else str(one) for one in said]
    texts = ["" if missing else one for one, missing in zip(whole, said.isna(), strict=True)]
    places = by_name(texts, data.classes)
    strange = Counter(one for one, i in zip(texts, places, strict=True) if i is None and one.strip())
    counts, total = _few(f"{one} ({n})" for one, n in strange.most_common()), strange.total()
    rule = f"must be one of the classes {_few(data.classes)}; {total} of {len(texts)} are not: {counts}"
    way_out = "read_answers(..., unknown='no answer') takes them for none."
    require(unknown == "no answer" or not total, at, list(strange)[:1], rule, way_out)
    empty = places.count(None) - total
    notes = [f"{total} of {len(texts)} answers name no class and are taken for none: {counts}."] * (total > 0)
    notes += [f"{empty} of {len(texts)} answers are empty."] * (empty > 0)
    return torch.tensor([-1 if one is None else one for one in places]), tuple(notes)


def _long(index: Tensor, known: Tensor, p: Tensor, at: str, data: PairedData) -> tuple[Tensor, Tensor]:
    """Rows of one class and its probability as one law a sample: what is left goes to the other classes."""
    inside = bool(((p >= 0) & (p <= 1)).all())
    require(inside, at, f"{float(p.min()):g} to {float(p.max()):g}", "must lie between 0 and 1")
    samples, slot = torch.unique(index, return_inverse=True)
    law = torch.full((len(samples), data.num_classes), torch.nan, dtype=torch.float64)
    law[slot, known] = p
    twice, rule = int(law.isfinite().sum()) < len(p), "must not give a class of a sample twice"
    require(not twice, at, f"{len(p)} rows", rule, "For several answers to a sample leave this column out.")
    left, free = 1 - law.nansum(1, keepdim=True), law.isnan().sum(1, keepdim=True)
    wrong = ((left < -_NEAR) | ((free == 0) & (left > _NEAR)))[:, 0]
    shown = [int(one) for one in samples[wrong][:1]]
    require(not shown, at, shown, "must sum to 1 over the classes of a sample, or to less over some")
    return samples, _whole(torch.where(law.isnan(), left.clamp(min=0) / free.clamp(min=1), law), at)


def _wide(table: pd.DataFrame, name: str, data: PairedData) -> Tensor:
    """(V, K) of a column a class."""
    columns = [str(one) for one in table.columns if one not in (_column(table, IDS, data), *LABELS)]
    places = by_name(columns, data.classes)
    missing = [one for i, one in enumerate(data.classes) if i not in places]
    rule = f"must have a column for each class, and lacks {_few(missing)}; it has {_few(table.columns)}"
    require(not missing, "source", name, rule)
    strange = [one for i, one in enumerate(columns) if places[i] is None or places[i] in places[:i]]
    require(
        not strange, "source", name, f"has the columns {_few(strange)}, which are no classes of {data.name}"
    )
    at = {places[i]: one for i, one in enumerate(columns)}
    each = [_number(table[at[i]], f"{name}[{at[i]!r}]") for i in range(data.num_classes)]
    return torch.stack(each, dim=1)


def _whole(numbers: Tensor, at: str) -> Tensor:
    """Probabilities that were rounded, divided by their sums."""
    sums, low = numbers.sum(1, keepdim=True), float(numbers.min())
    require(low >= 0 and float(sums.min()) > 0, at, low, "must hold no probability below 0, nor rows of 0")
    return numbers / sums if float((sums - 1).abs().max()) > _NEAR else numbers


def _guessed(numbers: Tensor, name: str, data: PairedData) -> Values:
    """What numbers are where nobody says: refused where it could be one or the other."""
    if data.task is Task.REGRESSION:
        return "logits"
    low, sums = float(numbers.min()), numbers.sum(1)
    whole = data.task is Task.MULTI_LABEL or bool(((sums - 1).abs() <= _NEAR).all())
    if low >= 0 and float(numbers.max()) <= 1 and whole:
        return "probabilities"
    logits = low < 0 and (data.task is Task.MULTI_LABEL or not whole)
    shown = f"{low:g} to {float(numbers.max()):g}, sums of {float(sums.min()):g} to {float(sums.max()):g}"
    rule = "are no probabilities (0 to 1, sums of 1), nor clearly logits (some below 0, other sums)"
    require(logits, name, shown, rule, "Say values='logits', or 'probabilities', which become sums of 1.")
    return "logits"


def _number(column: pd.Series[Any], at: str) -> Tensor:
    import pandas as pd

    try:
        found = pd.to_numeric(column, errors="coerce")
    except OverflowError as error:  # a whole number of hundreds of digits
        raise LabError(at, "a number too large", "must hold finite numbers") from error
    # The columns of a frame may lie backwards in memory, which torch does not take.
    numbers = found.to_numpy(dtype=np.float64, copy=True)
    for row in np.flatnonzero(~np.isfinite(numbers))[:1]:
        raise LabError(at, column.iloc[row], f"must hold finite numbers, and does not in row {row + 1}")
    return torch.from_numpy(numbers)


def _few(names: Iterable[object]) -> str:
    listed = [str(one) for one in names]
    return f"{listed[:5]}{f' and {len(listed) - 5} more' if len(listed) > 5 else ''}"
