"""A table of what somebody said, by sample id, is a teacher: real files in every format."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.task import Task
from mmkd_lab.distill import read_outputs
from mmkd_lab.distill.teacher_outputs import identity_of
from tests.distill.pairs import pairs
from tests.distill.samples import draw

DATA = pairs()
LOGITS = draw(len(DATA), 3, count=1)[0]


def table(values=LOGITS, data=DATA, **more):
    columns = dict(zip(reversed(data.classes), values.numpy().T[::-1], strict=True))
    return pd.DataFrame({"id": data.sample_index.numpy(), **columns, **more}).sample(frac=1.0, random_state=0)


def write(frame, file):
    if file.suffix == ".csv":
        frame.to_csv(file, index=False)
    elif file.suffix == ".parquet":
        frame.to_parquet(file)
    elif file.suffix == ".npz":
        np.savez(file, **{name: frame[name].to_numpy() for name in frame})
    else:
        frame.to_json(file, orient="records", lines=file.suffix == ".jsonl", double_precision=15)
    return file


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz", "jsonl", "json"])
def test_logits_go_by_sample_and_class_name_in_every_format(tmp_path, kind):
    found = read_outputs(write(table(), tmp_path / f"said.{kind}"), DATA)
    assert found.identity == identity_of(DATA)
    torch.testing.assert_close(found.rows(DATA.sample_index).logits[0], LOGITS.float())


def test_probabilities_are_told_by_their_sums_and_votes_are_averaged():
    p = LOGITS.softmax(-1)
    found = read_outputs(table(p), DATA, floor=1e-3).rows(DATA.sample_index).logits[0]
    torch.testing.assert_close(found.softmax(-1).double(), 0.999 * p + 1e-3 / 3, atol=1e-6, rtol=0)
    twice = pd.concat([table(p), table(p.roll(1, dims=1))])
    mean = (p + p.roll(1, dims=1)) / 2
    found = read_outputs(twice, DATA).rows(DATA.sample_index).logits[0].softmax(-1)
    torch.testing.assert_close(found.double(), mean, atol=1e-4, rtol=0)
    taken = read_outputs(table(p), DATA, values="logits").rows(DATA.sample_index).logits[0]
    torch.testing.assert_close(taken, p.float())


def test_labels_are_votes():
    votes = pd.DataFrame(
        {
            "sample_index": np.repeat(DATA.sample_index.numpy(), 2),
            "label": [DATA.classes[k] for y in DATA.target.tolist() for k in (y, (y + 1) % 3)],
        }
    )
    found = read_outputs(votes, DATA).rows(DATA.sample_index).logits[0].softmax(-1)
    other = (DATA.target + 1) % 3
    torch.testing.assert_close(
        found, (torch.eye(3)[DATA.target] + torch.eye(3)[other]) / 2, atol=1e-4, rtol=0
    )


def test_labels_by_columns():
    data = pairs(task=Task.MULTI_LABEL)
    found = read_outputs(table(data.target, data), data).rows(data.sample_index).logits[0].sigmoid()
    torch.testing.assert_close(found, data.target, atol=1e-4, rtol=0)


def _spoilt(**changes):
    frame = table().sort_values("id", ignore_index=True)
    for column, value in changes.items():
        frame.loc[0, column.replace("_", " ")] = value
    return frame


@pytest.mark.parametrize(
    ("give", "words"),
    [
        (lambda: "nowhere.csv", ["nowhere.csv", "a file that exists"]),
        (lambda: table().drop(columns="id"), ["the table", "column of sample indices", "'sample_index'"]),
        (lambda: table().drop(columns="class 1"), ["the table", "lacks ['class 1']"]),
        (lambda: table(weather=1.0), ["the table", "['weather'], which are no classes of pairs"]),
        (lambda: table()[:0], ["at least one row"]),
        (lambda: table().astype({"id": float}), ["the table['id']", "whole numbers"]),
        (lambda: table().astype({"class 1": str}), ["the table['class 1']", "must hold numbers"]),
        (lambda: _spoilt(class_1=np.nan), ["the table['class 1'] = nan", "sample 500"]),
        (lambda: _spoilt(id=7), ["the table['id'] = [7]", "no sample of pairs (1 such rows)"]),
        (lambda: table().query("id > 520"), ["samples missing", "in 'train'"]),
        (
            lambda: pd.DataFrame({"id": [500], "label": ["cat"]}),
            ["the table['label'] = ['cat']", "one of the classes"],
        ),
    ],
)
def test_bad_tables_are_named(give, words):
    with pytest.raises(LabError) as raised:
        read_outputs(give(), DATA)
    for word in words:
        assert word in str(raised.value)


def test_a_file_that_is_none_and_a_map(tmp_path):
    bad = tmp_path / "said.npz"
    bad.write_bytes(b"nothing")
    with pytest.raises(DamagedFile, match=r"said\.npz = .*must be a complete .npz file"):
        read_outputs(bad, DATA)
    with pytest.raises(LabError, match=r"source = 'said.txt': must be one of .csv"):
        read_outputs(write(table(), tmp_path / "said.csv").rename(tmp_path / "said.txt"), DATA)
    with pytest.raises(LabError, match="no map"):
        read_outputs(table(), pairs(task=Task.DENSE))
