"""A table of what somebody answered is a teacher: real files in every format, complete or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.task import Task
from mmkd_lab.distill import TeacherOutputs, read_answers, simulate_answers, soft_label_logits
from mmkd_lab.distill.answer_table import by_name
from tests.distill.pairs import pairs
from tests.distill.samples import draw

DATA = pairs()
LOGITS = draw(len(DATA), 3, count=1)[0]
NAMED = replace(DATA, ids=tuple(f"0{i}" for i in range(len(DATA))))


def table(values=LOGITS, data=DATA, **more):
    columns = dict(zip(reversed(data.classes), values.numpy().T[::-1], strict=True))
    ids = data.ids or data.sample_index.numpy()
    return pd.DataFrame({"id": ids, **columns, **more}).sample(frac=1.0, random_state=0)


def labels(*rows, **more):
    """Sample n of the data, and its label."""
    columns = {"id": [int(DATA.sample_index[n]) for n, _ in rows], "label": [label for _, label in rows]}
    return pd.DataFrame({**columns, **more})


def write(frame, file):
    if file.suffix == ".csv":
        frame.to_csv(file, index=False)
    elif file.suffix == ".parquet":
        frame.to_parquet(file)
    elif file.suffix == ".npz":
        np.savez(file, **{name: np.asarray(frame[name].tolist()) for name in frame})
    else:
        frame.to_json(file, orient="records", lines=file.suffix == ".jsonl", double_precision=15)
    return file


def laws(answers, data=DATA):
    """Probabilities by position in the data."""
    return answers.outputs.rows(data.sample_index).logits[0].double().softmax(-1)


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz", "jsonl", "json"])
@pytest.mark.parametrize("data", [DATA, NAMED], ids=["index", "ids"])
def test_logits_go_by_sample_and_class_name_in_every_format(tmp_path, kind, data):
    found = read_answers(write(table(data=data), tmp_path / f"said.{kind}"), data).outputs
    assert found.identity == data.identity
    torch.testing.assert_close(found.rows(data.sample_index).logits[0], LOGITS.float())


def test_a_complete_table_is_bit_for_bit_the_outputs_of_the_formula():
    p = LOGITS.softmax(-1)
    formula = soft_label_logits(p, floor=1e-3).float()[None]
    found, wanted = (
        read_answers(table(p), DATA, floor=1e-3).outputs,
        TeacherOutputs(DATA.sample_index, formula),
    )
    assert not found.partial
    assert found.digest() == replace(wanted, identity=DATA.identity).digest()


def test_probabilities_are_told_by_their_sums_and_several_are_averaged():
    p = LOGITS.softmax(-1)
    twice = pd.concat([table(p), table(p.roll(1, dims=1))])
    mean = (p + p.roll(1, dims=1)) / 2
    torch.testing.assert_close(laws(read_answers(twice, DATA)), mean, atol=1e-4, rtol=0)
    taken = read_answers(table(p), DATA, values="logits").outputs.rows(DATA.sample_index).logits[0]
    torch.testing.assert_close(taken, p.float())
    rounded = read_answers(table((p * 100).round() / 100), DATA, values="probabilities")
    torch.testing.assert_close(laws(rounded), p, atol=0.02, rtol=0)


def test_labels_are_votes_and_a_majority_is_one():
    several = [(n, DATA.classes[k]) for n, y in enumerate(DATA.target.tolist()) for k in (y, y, (y + 1) % 3)]
    one, other = torch.eye(3).double()[DATA.target], torch.eye(3).double()[(DATA.target + 1) % 3]
    found = laws(read_answers(labels(*several), DATA))
    torch.testing.assert_close(found, (2 * one + other) / 3, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        laws(read_answers(labels(*several), DATA, several="majority")), one, atol=1e-4, rtol=0
    )
    tie = labels((0, "class 0"), (0, "class 1"), (1, "class 2"))
    found = (
        read_answers(tie, DATA, several="majority").outputs.rows(DATA.sample_index[:2]).logits[0].softmax(-1)
    )
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5, 0], [0, 0, 1]]), atol=1e-4, rtol=0)


def test_a_label_with_its_probability_leaves_the_rest_to_the_others():
    rows = labels((0, "class 1"), (1, "class 0"), (1, "class 2"), probability=[0.7, 0.1, 0.3])
    found = read_answers(rows, DATA).outputs.rows(DATA.sample_index[:2]).logits[0].softmax(-1)
    torch.testing.assert_close(found, torch.tensor([[0.15, 0.7, 0.15], [0.1, 0.6, 0.3]]), atol=1e-4, rtol=0)


def test_labels_by_columns():
    data = pairs(task=Task.MULTI_LABEL)
    found = read_answers(table(data.target, data), data)
    said = found.outputs.rows(data.sample_index).logits[0].sigmoid()
    torch.testing.assert_close(said, data.target, atol=1e-4, rtol=0)
    assert found.agreement is None
    assert found.table["ece"].max() < 0.1
    assert "right" not in repr(found)


def test_names_are_matched_kindly_and_safely():
    names = ("Cat", "dog", "DOG", "None", "1")
    said = ["Cat", ' "cat". ', "dog", "DOG", "Dog", "none", "1", "cats", ""]
    assert by_name(said, names) == [0, 0, 1, 2, None, 3, 4, None, None]


def test_words_of_a_model_are_counted_and_taken_for_no_answer(tmp_path):
    rows = labels((0, "Class 1."), (1, "I don't know"), (2, ""), (3, "class  2"), (4, "I don't know"))
    found = read_answers(write(rows, tmp_path / "said.csv"), DATA, unknown="no answer")
    assert len(found.outputs.index) == 2
    assert found.notes == (
        '2 of 5 answers name no class and are taken for none: ["I don\'t know (2)"].',
        "1 of 5 answers are empty.",
    )
    assert found.outputs.coverage(DATA) == {
        "train": (2, 24),
        "meta": (0, 12),
        "val": (0, 12),
        "test": (0, 12),
    }
    assert "2 of 24 train" in repr(found)
    assert found.temperature is None


def test_a_class_called_none_and_an_id_with_zeros_come_as_they_are(tmp_path):
    data = replace(NAMED, classes=("None", "NA", "1"))
    rows = pd.DataFrame({"ID": ["00", "01", "010"], "Answer": ["None", "na", "1"]})
    found = read_answers(write(rows, tmp_path / "said.csv"), data).outputs
    assert found.rows(data.sample_index[[0, 1, 10]]).logits[0].argmax(-1).tolist() == [0, 1, 2]
    lists = write(rows.assign(Answer=[["None"], ["NA", "1"], ["1"]]), tmp_path / "said.jsonl")
    counts = read_answers(lists, data).counts[torch.argsort(torch.argsort(data.sample_index[[0, 1, 10]]))]
    assert counts.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def _spoilt(**changes):
    frame = table().sort_values("id", ignore_index=True)
    for column, value in changes.items():
        frame[column.replace("_", " ")] = frame[column.replace("_", " ")].astype(object)
        frame.loc[0, column.replace("_", " ")] = value
    return frame


SURE = LOGITS.softmax(-1)
WRONG = {
    "no file": (lambda: "nowhere.csv", ["nowhere.csv", "a file that exists"]),
    "no ids": (
        lambda: table().drop(columns="id"),
        ["the table", "column of samples", "'sample_index'", "class 0"],
    ),
    "a class lacks": (lambda: table().drop(columns="class 1"), ["the table", "lacks ['class 1']"]),
    "other classes": (lambda: table().rename(columns={"class 1": "owl"}), ["lacks ['class 1']", "'owl'"]),
    "a column too many": (lambda: table(weather=1.0), ["['weather'], which are no classes of pairs"]),
    "a class twice": (lambda: table().assign(**{"CLASS 1": 0.0}), ["['CLASS 1'], which are no classes"]),
    "empty": (lambda: table()[:0], ["at least one row"]),
    "fractions for ids": (lambda: table().astype({"id": float}), ["the table['id']", "whole numbers"]),
    "no number": (
        lambda: _spoilt(class_1="high"),
        ["the table['class 1'] = 'high'", "finite numbers", "row 1"],
    ),
    "NaN": (lambda: _spoilt(class_1=np.nan), ["the table['class 1'] = nan", "row 1"]),
    "beyond any number": (lambda: _spoilt(class_1=10**400), ["the table['class 1']", "finite numbers"]),
    "infinite": (lambda: _spoilt(class_1=np.inf), ["the table['class 1'] = inf"]),
    "unknown id": (lambda: _spoilt(id=7), ["the table['id'] = ['7']", "no sample of pairs (1 such rows)"]),
    "no id": (lambda: _spoilt(id=None), ["the table['id'] = ['None']"]),
    "test only": (
        lambda: table(data=DATA.select(DATA.positions("test")), values=LOGITS[:12]),
        ["split 'train'"],
    ),
    "negative": (lambda: table(SURE - torch.tensor([0.9, -0.9, 0])), ["no probabilities", "sums of 1"]),
    "percent": (lambda: table(100 * SURE), ["0.", "no probabilities", "values='logits'"]),
    "rounded": (lambda: table((SURE * 10).round() / 10), ["no probabilities", "sums of 0.9"]),
    "a strange label": (
        lambda: labels((0, "cat"), (1, "cat"), (2, "class 1")),
        ["the table['label'] = ['cat']", "one of the classes", "2 of 3", "cat (2)", "unknown='no answer'"],
    ),
    "a class by number": (lambda: labels((0, 1.0)), ["['1']", "one of the classes"]),
    "labels alone": (lambda: labels((0, None), (1, " ")), ["no answer", "must name a class"]),
    "twice sure": (
        lambda: labels((0, "class 1"), (0, "class 1"), score=[0.5, 0.5]),
        ["must not give a class of a sample twice"],
    ),
    "over 1": (lambda: labels((0, "class 1"), (0, "class 2"), score=[0.7, 0.7]), ["sum to 1", "[500"[:1]]),
    "under 1": (lambda: labels(*((0, c) for c in DATA.classes), score=[0.1] * 3), ["sum to 1"]),
    "a score of 7": (lambda: labels((0, "class 1"), score=[7]), ["the table['score']", "between 0 and 1"]),
}


@pytest.mark.parametrize(("give", "words"), WRONG.values(), ids=WRONG)
def test_wrong_tables_are_named(give, words):
    with pytest.raises(LabError) as raised:
        read_answers(give(), DATA)
    assert [word for word in words if word not in str(raised.value)] == []


OPTIONS = {
    "duplicate ids": (
        table(SURE),
        {"several": None},
        ["must not answer for a sample twice", "several='mean'"],
    ),
    "negative by word": (table(), {"values": "probabilities"}, ["no probability below 0"]),
    "no label": (table(), {"values": "labels"}, ["a column called 'label'"]),
    "a kind that is none": (table(), {"values": "votes"}, ["values = 'votes'", "'logits'"]),
    "a way that is none": (table(SURE), {"several": "median"}, ["several = 'median'", "'majority'"]),
    "a majority of logits": (table(), {"several": "majority"}, ["several = 'majority'", "None or 'mean'"]),
    "unknown": (table(), {"unknown": "drop"}, ["unknown = 'drop'", "'no answer'"]),
}


@pytest.mark.parametrize(("frame", "options", "words"), OPTIONS.values(), ids=OPTIONS)
def test_wrong_options_are_named(frame, options, words):
    doubled = pd.concat([frame, frame]) if "several" in options else frame
    with pytest.raises(LabError) as raised:
        read_answers(doubled, DATA, **options)
    assert [word for word in words if word not in str(raised.value)] == []


def test_files_that_are_none_and_a_map(tmp_path):
    bad, latin = tmp_path / "said.npz", tmp_path / "latin.csv"
    bad.write_bytes(b"nothing")
    latin.write_bytes("id;Käfer\n1;0.5".encode("latin-1"))
    with pytest.raises(DamagedFile, match=r"said\.npz = .*must be a complete .npz file"):
        read_answers(bad, DATA)
    with pytest.raises(DamagedFile, match=r"latin\.csv = .*text in UTF-8"):
        read_answers(latin, DATA)
    with pytest.raises(LabError, match=r"source = 'said.txt': must be one of .csv"):
        read_answers(write(table(), tmp_path / "said.csv").rename(tmp_path / "said.txt"), DATA)
    with pytest.raises(LabError, match="no map"):
        read_answers(table(), pairs(task=Task.DENSE))
    with pytest.raises(LabError, match="labels are for a single label"):
        read_answers(labels((0, "class 1")), pairs(task=Task.MULTI_LABEL))
    with pytest.raises(LabError, match="no sample of pairs"):
        read_answers(table(data=NAMED).assign(id=DATA.sample_index.numpy()), NAMED)


def test_simulated_answers_are_as_true_as_they_are_said_to_be():
    data = pairs(splits={"train": 3000, "val": 600, "test": 300}, classes=4)
    said = simulate_answers(data, right=0.7, coverage=0.5, votes=3, seed=1)
    found = read_answers(said, data)
    assert found.outputs.coverage(data) == {"train": (1500, 3000), "val": (300, 600), "test": (150, 300)}
    true = {int(i): data.classes[y] for i, y in zip(data.sample_index, data.target, strict=True)}
    right = np.mean([true[one.id] == one.label for one in said.itertuples()])
    assert abs(right - 0.7) < 4 * np.sqrt(0.7 * 0.3 / len(said))
    # Two answers agree where both are right, or both wrong in the same way; by chance in one of four.
    alike = 0.7**2 + 0.3**2 / 3
    assert found.agreement.low < (alike - 0.25) / 0.75 < found.agreement.high
    again = simulate_answers(data, right=0.7, coverage=0.5, votes=3, seed=1)
    pd.testing.assert_frame_equal(said, again)
    with pytest.raises(LabError, match="right"):
        simulate_answers(data, right=1.2)
