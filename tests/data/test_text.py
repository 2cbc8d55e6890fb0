"""Words, vocabularies and the way from text to ids and back; what PairedData asks of a text modality."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.text import PAD, UNKNOWN, Vocabulary, words

SMALL = Vocabulary.of(["red", "box", "a"])


def paired(**changes: object) -> PairedData:
    """Four captions of at most three words with a label each."""
    given: dict[str, object] = {
        "name": "toy",
        "modalities": {
            "text": torch.from_numpy(SMALL.encode(["a red box", "a box", "red", "a blue box"])),
            "a": torch.zeros(4, 2),
        },
        "target": torch.tensor([0, 1, 0, 1]),
        "splits": {"train": torch.arange(4)},
        "classes": ("no", "yes"),
        "vocabularies": {"text": SMALL},
        "facts": {"kind": torch.arange(4)},
    }
    return PairedData(**{**given, **changes})  # type: ignore[arg-type]


def ids(*rows: list[int], dtype: torch.dtype = torch.int64) -> dict[str, torch.Tensor]:
    return {"text": torch.tensor(rows, dtype=dtype)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There is a Tower, with 2 blocks.", ["there", "is", "a", "tower", "with", "2", "blocks"]),
        ("Twelve o’clock o'clock", ["twelve", "o'clock", "o'clock"]),
        ("blue-square_x", ["blue", "square", "x"]),
        ("no\xa0speaking 'quoted'", ["no", "speaking", "quoted"]),
        (":-) <pad>", ["pad"]),
        ("Été", ["été"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_fit_orders_by_frequency_then_alphabet() -> None:
    texts = ["b a c", "b a", "b d"]
    assert Vocabulary.fit(texts).words == ("<pad>", "<unk>", "b", "a", "c", "d")
    assert Vocabulary.fit(texts, min_count=2).words == ("<pad>", "<unk>", "b", "a")
    assert Vocabulary.fit(texts, at_most=1).words == ("<pad>", "<unk>", "b")
    assert Vocabulary.fit(reversed(texts)).digest == Vocabulary.fit(texts).digest
    assert Vocabulary.fit(texts, at_most=1).digest != Vocabulary.fit(texts).digest


def test_encode_pads_cuts_and_decodes_back() -> None:
    found = SMALL.encode(["A red box!", "blue", "", "a a a a"], length=3)
    assert found.tolist() == [[4, 2, 3], [UNKNOWN, PAD, PAD], [UNKNOWN, PAD, PAD], [4, 4, 4]]
    assert found.dtype == np.int64
    assert [SMALL.decode(row) for row in found] == ["a red box", "<unk>", "<unk>", "a a a"]
    assert SMALL.encode(["red", "a red red box"]).shape == (2, 4)
    assert SMALL.id_of("<pad>") == UNKNOWN
    assert SMALL.unknown_share(found) == 2 / 8


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: words(3), r"text = 3: must be text"),
        (lambda: Vocabulary(("a", "b")), r"words = \('a', 'b'\): must begin with"),
        (lambda: Vocabulary.of(["a", "b", "a"]), r"words = \['a'\]: must not name a word twice"),
        (lambda: Vocabulary.of([1]), r"words = 1: must be a list of words"),
        (lambda: Vocabulary.fit(["a b"], min_count=2), r"texts = '2 words': none occurs 2 times"),
        (lambda: Vocabulary.fit(["a"], min_count=0), r"min_count = 0"),
        (lambda: Vocabulary.fit(["a"], at_most=0), r"at_most = 0"),
        (lambda: SMALL.encode("red"), r"texts = 'red': must be a list of texts.*lone text"),
        (lambda: SMALL.encode([]), r"texts = \[\]: must hold at least one"),
        (lambda: SMALL.encode(["red", None]), r"texts = None: must be a list of texts"),
        (lambda: SMALL.encode(["red"], length=0), r"length = 0"),
        (lambda: SMALL.decode([0, 5]), r"ids = '0 to 5': must lie between 0 and 4"),
        (lambda: SMALL.decode([-1]), r"ids = '-1 to 0'"),
        (lambda: SMALL.decode([1.0]), r"ids = \[1.0\]: must be one text"),
        (lambda: SMALL.decode([[1]]), r"ids = \[\[1\]\]: must be one text"),
        (lambda: SMALL.unknown_share(np.zeros((2, 3), np.int64)), r"ids = \(2, 3\): must hold at least one"),
    ],
)
def test_wrong_text_is_refused(call: object, expected: str) -> None:
    with pytest.raises(LabError, match=expected):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"modalities": ids([2], [3], [4], [5])}, r"modalities\['text'\] = 'ids from 2 to 5'.*0 and 4"),
        ({"modalities": ids([2], [3], [4], [-1])}, r"ids from -1 to 4"),
        ({"modalities": ids([2, 3], [0, 0], [2, 0], [2, 2])}, r"'1 texts that begin with padding'"),
        ({"modalities": ids([2, 0, 3], [2, 0, 0], [2, 2, 2], [3, 0, 2])}, r"'2 texts with padding inside'"),
        (
            {"modalities": ids([2], [2], [2], [2], dtype=torch.int32)},
            r"'torch.int32 \(4, 1\)': must be int64",
        ),
        ({"modalities": {"text": torch.ones(4, 2)}}, r"'torch.float32 \(4, 2\)': must be int64"),
        ({"modalities": {"text": torch.ones(4, 2, 2, dtype=torch.int64)}}, r"must be int64 \(N, L\)"),
        ({"vocabularies": {"words": SMALL}}, r"vocabularies = 'words': must be one of 'text' or 'a'"),
        ({"vocabularies": {"text": ["a"]}}, r"vocabularies\['text'\] = \['a'\]: must be a Vocabulary"),
        ({"captions": {"text": ("a", "b")}}, r"captions\['text'\] = '2 texts of 2': must be one text per"),
        ({"captions": {"text": ("a", "b", "c", 4)}}, r"captions\['text'\] = '3 texts of 4'"),
        ({"captions": {"text": ["a"] * 4}}, r"captions\['text'\] = 'list': must be a tuple"),
        ({"captions": {"said": ("a",) * 4}}, r"captions = 'said': must be one of"),
        ({"facts": {"kind": torch.arange(3)}}, r"facts\['kind'\] = \(3,\): must be \(4,\)"),
        ({"facts": {"kind": torch.zeros(4)}}, r"facts\['kind'\] = torch.float32: must be int64"),
        ({"facts": 3}, r"facts = 3: must be a mapping"),
    ],
)
def test_paired_data_refuses_wrong_text_and_facts(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(LabError, match=expected):
        paired(**changes)


def test_captions_facts_and_vocabulary_go_along() -> None:
    said = ("A red box.", "A box!", "Red", "A blue box")
    data = paired(captions={"text": said})
    assert [data.caption("text", i) for i in (0, 3)] == ["A red box.", "A blue box"]
    assert [paired().caption("text", i) for i in (0, 3)] == ["a red box", "a <unk> box"]
    part = data.select(torch.tensor([3, 0]))
    assert part.captions["text"] == ("A blue box", "A red box.")
    assert part.facts["kind"].tolist() == [3, 0]
    assert part.vocabularies["text"] is SMALL
    assert data.to("cpu").fingerprint == data.fingerprint
    assert data.batch(torch.tensor([1]))["text"].dtype == torch.int64
    with pytest.raises(LabError, match=r"modality = 'a': must be one of 'text'"):
        data.caption("a", 0)
    with pytest.raises(LabError, match=r"position = 4: must be the position of a sample, 0 to 3"):
        data.caption("text", 4)


def test_the_fingerprint_sees_vocabulary_and_facts() -> None:
    other = Vocabulary.of(["red", "crate", "a"])
    prints = {
        paired().fingerprint,
        paired(vocabularies={"text": other}).fingerprint,
        paired(vocabularies={}).fingerprint,
        paired(facts={}).fingerprint,
        paired(facts={"kind": torch.tensor([0, 1, 2, 4])}).fingerprint,
    }
    assert len(prints) == 5
