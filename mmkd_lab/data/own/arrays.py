"""`data.from_arrays`: paired data in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmkd_lab.core.check import LabError, mapping, one_of, require, whole
from mmkd_lab.core.complaints import Complaints
from mmkd_lab.data.assemble import paired, words_of
from mmkd_lab.data.own.inputs import Input, input_of
from mmkd_lab.data.own.labels import labels_of
from mmkd_lab.data.own.rows import Array, as_long, column, rows_of, some
from mmkd_lab.data.own.splits import Divisible, Splits, splits_of
from mmkd_lab.data.paired import PairedData

_LONGEST = 256  # words of a text that are read


def from_arrays(
    modalities: Mapping[str, object],
    y: object,
    *,
    split: object = None,
    group: object = None,
    ids: object = None,
    seed: int = 0,
    name: str = "my_data",
    classes: object = None,
    tokens: Sequence[str] = (),
    channels_last: Sequence[str] | None = None,
    weight: object = None,
    min_count: int = 2,
) -> PairedData:
    """Paired data of your own: numbers, pictures and texts, one row per sample in all of them.

    The repr tells what was decided: the sizes of splits that were made, axes that were moved, samples that
    lack a modality.

    Args:
        modalities: {name: (N, ...) numpy array, torch tensor, list or pandas column}. Numbers of any kind;
            bytes of the shape of pictures go from 0 to 1, and colours before height and width; N texts become
            word ids of a vocabulary fitted on the training split, 256 words at most. A row of nothing but
            None, NaN or empty text is a sample without this modality.
        y: (N,) whole numbers, text or truth values; several labels per sample as lists, or (N, K) 0 and 1;
            for a regression (N,) or (N, D) numbers with fractions.
        split: None for 60 / 20 / 20 %, every class in its share, groups whole; three shares; N names 'train',
            'val', 'test'; or {name: mask, positions or ids}. Without 'val' a fifth of 'train' becomes it.
        group: (N,) what must not stand on both sides of a split, such as the speaker: text or numbers.
        ids: N distinct texts or whole numbers: what you call the samples. Splits then do not depend on the
            order of the rows.
        seed: of splits that are made.
        name: for tables and titles.
        classes: names, in the order of the logits; see `labels_of`. By default the sorted labels.
        tokens: modalities of whole numbers (N, L) that are token ids of a network of yours.
        channels_last: the modalities (N, height, width, channels); None looks at the shapes.
        weight: (N,) numbers from 0, what each sample counts in training.
        min_count: how often a word must occur in the training split to be known.

    Raises one `LabError` that names everything that is wrong.
    """
    wrong, labels, known, groups = Complaints(), None, None, None
    for argument, number, least in (("seed", seed, 0), ("min_count", min_count, 1)):
        with wrong:
            whole(argument, number, at_least=least)
    with wrong:
        labels = labels_of(called("y", y), y, classes)
    inputs, notes = _inputs(modalities, tokens, channels_last, wrong)
    n = len(labels.target) if labels else len(next(iter(inputs.values()), ()))
    for one, rows in inputs.items():
        with wrong:
            as_long(f"modalities[{one!r}]", rows.values, n)
    with wrong:
        known = None if ids is None else _distinct(called("ids", ids), ids, n)
    with wrong:
        groups = None if group is None else column(called("group", group), group, n, "groups")
    if labels is None:
        wrong.tell()
        raise AssertionError
    splits: Splits = {}
    with wrong:
        splits, note = splits_of(split, Divisible(labels, known, groups), seed, wrong)
        notes = [note, *filter(None, [labels.note]), *notes]
    held: dict[str, Any] = {"vocabularies": {}, "captions": {}}
    sound: dict[str, Any] = {}
    for one, given in inputs.items():
        if isinstance(given.values, tuple) and len(given) == n and splits:
            with wrong:
                found = _words(one, given, splits["train"], min_count)
                sound[one] = found.pop("ids")
                held = {kind: {**held[kind], **more} for kind, more in found.items()}
        elif len(given) == n and not isinstance(given.values, tuple):
            sound[one] = given.values
    held["present"] = {one: inputs[one].present for one in sound if inputs[one].present is not None}
    with wrong:
        held["weight"] = None if weight is None else _weights(called("weight", weight), weight, n)
    numbered = known is not None and known.dtype.kind == "i"
    torn = any(one.argument == "group" for one in wrong.found)
    with wrong:
        if splits and sound:
            held |= {"index": known if numbered else None, "recipe": {"seed": seed, "notes": tuple(notes)}}
            held["ids"] = () if known is None or numbered else tuple(known.tolist())
            held["group"] = None if groups is None or torn else np.unique(groups, return_inverse=True)[1]
            held |= {"splits": splits, "classes": labels.classes, "task": labels.task}
            data = paired(name, modalities=sound, target=labels.target, **held)
    wrong.tell()
    return data


def called(argument: str, value: object) -> str:
    """What a message calls an argument: with the name of the column that was given."""
    name = getattr(value, "name", None)
    return f"{argument} (column {name!r})" if isinstance(name, str) else argument


def _inputs(
    modalities: object, tokens: Sequence[str], channels_last: Sequence[str] | None, wrong: Complaints
) -> tuple[dict[str, Input], list[str]]:
    """{modality: what it is} of those that are sound, and what was decided."""
    found: dict[str, Input] = {}
    notes: list[str] = []
    with wrong:
        named = mapping("modalities", modalities, "a mapping of names to rows, such as {'sensors': x}")
        require(len(named) > 0, "modalities", {}, "must hold at least one modality")
        for one in (*tokens, *(channels_last or ())):
            with wrong:
                one_of("tokens" if one in tokens else "channels_last", one, list(named))
        for name, value in named.items():
            last = None if channels_last is None else name in channels_last
            with wrong:
                require(isinstance(name, str) and name != "", "modalities", name, "must be named by text")
                found[name] = input_of(f"modalities[{name!r}]", value, tokens=name in tokens, last=last)
                notes += found[name].notes
    return found, notes


def _distinct(argument: str, value: object, n: int) -> Array:
    """(N,) ids: int64, or objects that are text."""
    found = column(argument, value, n, "ids")
    values, counts = np.unique(found, return_counts=True)
    shown, rule = f"{some(values[counts > 1].tolist())} more than once", "must be distinct, one a sample"
    require(counts.max() == 1, argument, shown, rule, "Leave repeated rows out.")
    return found


def _weights(argument: str, value: object, n: int) -> Array:
    """(N,) float64."""
    rows = rows_of(argument, value)
    rule = "must be one number per sample"
    require(rows.dtype.kind in "iuf" and rows.ndim == 1, argument, f"{rows.dtype} {tuple(rows.shape)}", rule)
    as_long(argument, rows, n)
    return rows.astype(np.float64)


def _words(name: str, given: Input, train: Array, min_count: int) -> dict[str, Any]:
    """As `words_of`, the vocabulary from the texts that are there."""
    said: Any = given.values
    there = train if given.present is None else train[given.present[train]]
    try:
        found = words_of(said, there, min_count=min_count, modality=name, longest=_LONGEST)
    except LabError as error:
        way_out = "Give min_count=1." if min_count > 1 else "These texts hold no word."
        raise LabError(f"modalities[{name!r}]", error.value, error.rule, way_out) from error
    if given.present is not None:
        shown = zip(said, given.present, strict=True)
        found["captions"][name] = tuple(text if known else "" for text, known in shown)
    return found
