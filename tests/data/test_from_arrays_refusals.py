"""What data of somebody's own is refused for: one message that names every fault."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.core.complaints import Complaints
from tests.data.own import NAN, N, changed, labels, sensors, texts


def with_value(value):
    x = sensors()
    x[7, 2] = value
    return x


def ids(*changes):
    found = [f"s{i}" for i in range(N)]
    for row, value in changes:
        found[row] = value
    return found


HALVES = {"train": range(45), "test": range(45, N)}
X, Y = {"x": sensors()}, labels()

#: What is wrong: modalities, labels, keywords, what the message says.
ARRAYS = {
    "no mapping": (sensors(), Y, {}, r"modalities = array.*must be a mapping of names to rows"),
    "no modality": ({}, Y, {}, r"modalities = {}: must hold at least one modality"),
    "no name": ({3: sensors()}, Y, {}, r"modalities = 3: must be named by text"),
    "one row short": (
        {"x": sensors(N - 1)},
        Y,
        {},
        r"modalities\['x'\] = \(89, 5\): must hold one row.*\(90 lab",
    ),
    "a text short": ({"t": texts(N - 1)}, Y, {}, r"modalities\['t'\] = \(89,\): must hold one row"),
    "nothing": ({"x": None}, Y, {}, r"modalities\['x'\] = None: must hold one row per sample"),
    "a lone text": ({"x": "abc"}, Y, {}, r"modalities\['x'\] = 'abc': must hold one row per sample"),
    "no row": ({"x": np.zeros((0, 3))}, Y, {}, r"modalities\['x'\] = array.*must hold one row"),
    "no column": ({"x": np.zeros((N, 0))}, Y, {}, r"modalities\['x'\] = \(90, 0\): must not be empty"),
    "a number": ({"x": 3}, Y, {}, r"modalities\['x'\] = 3: must hold one row"),
    "NaN": ({"x": with_value(NAN)}, Y, {}, r"modalities\['x'\] = '1 rows with NaN.*first row 7"),
    "infinite": (
        {"x": with_value(-np.inf)},
        Y,
        {},
        r"modalities\['x'\] = '1 rows with NaN or inf.*first row 7",
    ),
    "too large": ({"x": with_value(1e39)}, Y, {}, r"must be finite, in single precision"),
    "complex": ({"x": sensors() * 1j}, Y, {}, r"modalities\['x'\] = 'complex128 \(90, 5\)': must be numbers"),
    "dates": (
        {"x": pd.Series(pd.date_range("2024", periods=N))},
        Y,
        {},
        r"modalities\['x'\] = .*must be numbers",
    ),
    "masked": ({"x": np.ma.masked_less(sensors(), 0)}, Y, {}, r"modalities\['x'\] = '\d+ masked values'"),
    "shapes": (
        {"x": changed([np.zeros(3)] * N, 5, np.zeros(4))},
        Y,
        {},
        r"'\(4,\) in row 5': must have one shape.*\(3,\)",
    ),
    "things": ({"x": [object()] * N}, Y, {}, r"modalities\['x'\] = .*in row 0': must hold numbers"),
    "a gap among arrays": (
        {"x": changed([np.zeros(3)] * N, 5, None)},
        Y,
        {},
        r"present = '1 samples without any, first \[5\]'",
    ),
    "a text missing": (
        {"t": changed(texts(), 4, None)},
        Y,
        {},
        r"present = '1 samples without any, first \[4\]': must leave every sample a modality",
    ),
    "an empty text": (
        {"t": changed(texts(), 4, " ")},
        Y,
        {},
        r"present = '1 samples without any, first \[4\]'",
    ),
    "a number among texts": (
        {"t": changed(texts(), 4, 4.5)},
        Y,
        {},
        r"4.5 in row 4.*must hold a text in every row",
    ),
    "words too rare": (
        {"t": [f"w{i}" for i in range(N)]},
        Y,
        {},
        r"modalities\['t'\] = .*2 times.*min_count=1",
    ),
    "texts without words": ({"t": ["!?"] * N}, Y, {"min_count": 1}, r"modalities\['t'\].*hold no word"),
    "tokens of numbers": (
        X,
        Y,
        {"tokens": ["x"]},
        r"modalities\['x'\] = 'float64 \(90, 5\)': must be whole numbers",
    ),
    "tokens of nobody": (X, Y, {"tokens": ["y"]}, r"tokens = 'y': must be one of 'x'"),
    "channels last of a table": (
        X,
        Y,
        {"channels_last": ["x"]},
        r"\(90, 5\): must be \(N, height, width, channels",
    ),
    "y missing": (X, None, {}, r"y = None: must hold one row per sample"),
    "a label missing": (
        X,
        changed(Y, 3, None),
        {},
        r"y = '1 of 90 missing, first in row 3': every sample must have a",
    ),
    "labels NaN": (
        X,
        np.where(np.arange(N) > 79, NAN, np.arange(N) % 2),
        {},
        r"y = '10 of 90 missing, first in row 80",
    ),
    "an empty label": (X, changed(Y, 3, ""), {}, r"y = '1 of 90 missing, first in row 3'"),
    "a label NA": (
        X,
        pd.array([1, 2, None] * (N // 3), dtype="Int64"),
        {},
        r"y = '30 of 90 missing, first in row 2",
    ),
    "labels of two kinds": (
        X,
        changed(Y, 3, 7),
        {},
        r"y = 'int and str': must be classes: all text, or all whole",
    ),
    "amounts without an end": (
        X,
        np.where(np.arange(N) > 79, np.inf, 0.5),
        {},
        r"y = .*must be finite numbers",
    ),
    "amounts and two names": (
        X,
        np.arange(N) / 7,
        {"classes": ["a", "b"]},
        r"classes = .*name the outputs of y",
    ),
    "a modality of gaps": ({**X, "z": np.full(N, NAN)}, Y, {}, r"modalities\['z'\] = 'gaps alone'"),
    "weights too few": (X, Y, {"weight": np.ones(N - 1)}, r"weight = \(89,\): must hold one row"),
    "weights below 0": (X, Y, {"weight": np.full(N, -1.0)}, r"weight = .*must be at least 0"),
    "weights of text": (X, Y, {"weight": ["a"] * N}, r"weight = .*must be one number per sample"),
    "labels infinite": (X, np.where(np.arange(N) > 79, np.inf, 1), {}, r"y = 'inf.*must be classes"),
    "labels of bytes": (X, [b"a", b"b"] * 45, {}, r"y = 'bytes': must be classes"),
    "one class": (X, ["a"] * N, {}, r"y = \"only 'a'\": must have at least two classes"),
    "labels of two numbers": (X, np.full((N, 2), 2), {}, r"y = \[2\]: must be \(N, K\) of 0 and 1"),
    "labels in three dimensions": (
        X,
        np.zeros((N, 2, 2)),
        {},
        r"y = \(90, 2, 2\): must be \(N,\), or \(N, K\)",
    ),
    "an empty column": (
        X,
        np.array([[1, 1, 0], [0, 1, 0]] * 45),
        {},
        r"y = \"no sample of '2'\": every label must occ",
    ),
    "a list missing": (
        X,
        changed([["a"], ["b"]] * 45, 3, None),
        {},
        r"must be a list of labels in every row",
    ),
    "a class of two": (
        X,
        changed(changed(Y, 0, "x"), 1, "x"),
        {},
        r"split = \"too few samples of 'x'\".*at least 3",
    ),
    "a class in two groups": (
        X,
        np.where(np.arange(N) < 20, "a", "b"),
        {"group": np.arange(N) // 10},
        r"too few groups of 'a'",
    ),
    "two groups": (X, Y, {"group": np.arange(N) % 2}, r"split = \"too few groups"),
    "classes of other labels": (X, Y, {"classes": ["cat", "dog", "cow"]}, r"classes = .*see 'owl', 'cow'"),
    "too few classes": (X, Y, {"classes": ["cat", "dog"]}, r"classes = \('cat', 'dog'\).*see 'owl'"),
    "a class twice": (
        X,
        Y,
        {"classes": ["cat", "dog", "owl", "cat"]},
        r"classes = .*must name every label of y, and",
    ),
    "a text of classes": (X, Y, {"classes": "cdo"}, r"classes = 'cdo': must be a list of class names"),
    "unknown split": (X, Y, {"split": ["train"] * 89 + ["tset"]}, r"split = 'tset'.*Did you mean 'test'"),
    "split missing": (
        X,
        Y,
        {"split": ["train"] * 89 + [None]},
        r"split = '1 of 90 missing, first in row 89'",
    ),
    "split of numbers": (X, Y, {"split": [0, 1] * 45}, r"split = .*must be one name per sample"),
    "split too short": (X, Y, {"split": ["train", "test"]}, r"split = \(2,\): must hold one row per sample"),
    "no test split": (
        X,
        Y,
        {"split": {"train": range(45), "val": range(45, N)}},
        r"must hold 'train' and 'test'.*call",
    ),
    "shares": (X, Y, {"split": (0.6, 0.6, 0.2)}, r"split = \(0.6, 0.6, 0.2\): must be the shares"),
    "a split twice": (
        X,
        Y,
        {"split": {**HALVES, "dev": [0], "val": [1]}},
        r"split = 'val': is 'val', which is there",
    ),
    "overlap": (
        X,
        Y,
        {"split": {"train": range(60), "test": range(50, N)}},
        r"splits = '10 samples used more than once",
    ),
    "a row twice": (
        X,
        Y,
        {"split": {"train": [*range(45), 3], "test": range(45, N)}},
        r"splits = '1 samples used more",
    ),
    "position too high": (
        X,
        Y,
        {"split": {**HALVES, "test": [N]}},
        r"split\['test'\] = 'positions from 90 to 90'",
    ),
    "mask too short": (
        X,
        Y,
        {"split": {**HALVES, "test": [True]}},
        r"split\['test'\] = \(1,\): must be \(90,\)",
    ),
    "mask of nothing": (X, Y, {"split": {**HALVES, "test": [False] * N}}, r"split\['test'\] = 'all False'"),
    "an empty split": (X, Y, {"split": {**HALVES, "test": []}}, r"split\['test'\] = \[\]: must hold one row"),
    "class absent": (
        X,
        Y,
        {"split": {**HALVES, "test": [45, 48]}},
        r"splits\['test'\] = .*no sample of 'dog' or 'owl'",
    ),
    "ids unknown": (
        X,
        Y,
        {"split": {**HALVES, "test": ["s1"]}},
        r"split\['test'\] = \"'s1'\": are ids, and `ids` holds",
    ),
    "ids of nobody": (
        X,
        Y,
        {"ids": ids(), "split": {**HALVES, "test": ["s1", "q"]}},
        r"\"'q'\": must be among `ids`",
    ),
    "duplicate ids": (X, Y, {"ids": ids((5, "s6"), (8, "s9"))}, r"ids = \"'s6', 's9' more than once\""),
    "an id missing": (X, Y, {"ids": ids((5, None))}, r"ids = '1 of 90 missing, first in row 5'"),
    "ids of two kinds": (X, Y, {"ids": ids((5, 5))}, r"ids = 'int and str': must be ids"),
    "ids of fractions": (X, Y, {"ids": np.arange(N) / 2}, r"ids = '0.5"),
    "ids too short": (X, Y, {"ids": ids()[:-1]}, r"ids = \(89,\): must hold one row per sample"),
    "a group missing": (
        X,
        Y,
        {"group": changed(ids(), 2, NAN)},
        r"group = '1 of 90 missing, first in row 2'",
    ),
    "group too short": (X, Y, {"group": [1]}, r"group = \(1,\): must hold one row per sample"),
    "a group on both sides": (
        X,
        Y,
        {"split": HALVES, "group": np.array(["x", "y"])[np.arange(N) // 50]},
        r"group = \"'x' in 'train' or 'test'\": must stand on one side",
    ),
    "seed": (X, Y, {"seed": -1}, r"seed = -1: must be a whole number of at least 0"),
    "name": (X, Y, {"name": ""}, r"name = ''"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_are_refused(case):
    modalities, y, keywords, expected = ARRAYS[case]
    with pytest.raises(LabError, match=expected):
        data.from_arrays(modalities, y, **keywords)


def test_one_error_names_everything():
    with pytest.raises(LabError) as caught:
        data.from_arrays(
            {"x": with_value(NAN), "t": texts(N - 1), "z": torch.zeros(N, 2)},
            Y,
            ids=["a"] * N,
            split={"train": range(60), "test": range(50, N)},
            group=np.arange(N) // 50,
            seed=0.5,
        )
    told = [line.split(" = ")[0].removeprefix("Also: ") for line in str(caught.value).splitlines()]
    assert told == ["seed", "modalities['x']", "modalities['t']", "ids", "group", "splits"]
    assert caught.value.argument == "seed"


def test_complaints_are_told_together_and_keep_their_kind():
    wrong = Complaints()
    wrong.tell()
    for i in range(12):
        with wrong:
            raise DamagedFile(f"f{i}", "missing", "must be there")
    with pytest.raises(DamagedFile, match=r"(?s)f0 = 'missing'.*Also: f8 = .*And 3 more\.$") as caught:
        wrong.tell()
    assert caught.value.argument == "f0"
    with pytest.raises(KeyError), wrong:
        raise KeyError
    with wrong:
        raise LabError("x", 1, "no")
    with pytest.raises(LabError) as mixed:
        wrong.tell()
    assert type(mixed.value) is LabError
