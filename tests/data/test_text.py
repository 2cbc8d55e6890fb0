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
