"""Text as whole numbers: words, a vocabulary fitted on training text, and the way back to words.

A text modality is (N, L) int64: the ids of its words, then 0 to the end. Imports no torch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import LabError, flat, of_type, require, whole
from mmkd_lab.core.fingerprint import digest

Ids = npt.NDArray[np.int64]

#: Id 0 fills a text up to the common length; id 1 stands for every word that the vocabulary lacks.
PAD, UNKNOWN = 0, 1
SPECIAL = ("<pad>", "<unk>")

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def words(text: str) -> list[str]:
    """The words of a text, in lower case: letters and digits, with an apostrophe inside a word kept.

    Raises `LabError` when it is no text.
    """
    return _WORD.findall(of_type("text", text, str, "text").lower().replace("’", "'"))


@dataclass(frozen=True)
class Vocabulary:
    """The word of every id, '<pad>' and '<unk>' first. Raises `LabError` otherwise, or for a word twice."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        listed = flat("words", self.words, "a list of words", "See Vocabulary.of.")
        found = tuple(of_type("words", word, str, "a list of words") for word in listed)
        require(found[:2] == SPECIAL, "words", found[:2], f"must begin with {SPECIAL}", "See Vocabulary.of.")
        twice = [word for word, count in Counter(found).items() if count > 1]
        require(not twice, "words", twice, "must not name a word twice")
        object.__setattr__(self, "words", found)

    @classmethod
    def of(cls, known: Iterable[str]) -> Vocabulary:
        """The vocabulary of these words, in this order, after the two special ones."""
        return cls((*SPECIAL, *known))

    @classmethod
    def fit(cls, texts: Iterable[str], *, min_count: int = 1, at_most: int | None = None) -> Vocabulary:
        """The words of training texts, the most frequent first, equally frequent ones by the alphabet.

        Give texts of the training split alone, so that a word of the test stays unknown. Words that occur
        fewer than `min_count` times are left out (with 1, no training text holds '<unk>', and what a network
        makes of it is never trained), and all beyond `at_most`. Raises `LabError` when none is left.
        """
        least = whole("min_count", min_count)
        most = None if at_most is None else whole("at_most", at_most)
        counts = Counter(word for text in texts for word in words(text))
        kept = sorted((word for word, n in counts.items() if n >= least), key=lambda w: (-counts[w], w))
        require(len(kept) > 0, "texts", f"{len(counts)} words", f"none occurs {least} times or more")
        return cls.of(kept[:most])

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    @cached_property
    def digest(self) -> str:
        """16 hex digits that change with any word or id."""
        return digest(self.words)

    def id_of(self, word: str) -> int:
        """The id of a word, 1 for an unknown one. '<pad>' and '<unk>' are words of no text."""
        return UNKNOWN if word in SPECIAL else self._ids.get(word, UNKNOWN)

    def encode(self, texts: Sequence[str], *, length: int | None = None) -> Ids:
        """(N, L) ids, padded at the end; a longer text is cut. A text without any word is one '<unk>'.

        `length` is L, by default that of the longest text here. Raises `LabError` where there is no text.
        """
        listed = flat("texts", texts, "a list of texts", "Put a lone text into a list.")
        require(len(listed) > 0, "texts", listed, "must hold at least one text")
        split = [words(of_type("texts", text, str, "a list of texts")) for text in listed]
        width = max(1, *map(len, split)) if length is None else whole("length", length)
        ids = np.full((len(split), width), PAD, dtype=np.int64)
        for row, found in zip(ids, split, strict=True):
            known = [self.id_of(word) for word in found[:width]] or [UNKNOWN]
            row[: len(known)] = known
        return ids

    def decode(self, ids: object) -> str:
        """One text from its (L,) ids, without the padding. Raises `LabError` for an id that has no word."""
        row = np.asarray(ids)
        fine = row.ndim == 1 and row.dtype.kind in "iu"
        require(fine, "ids", ids, "must be one text: whole numbers, (L,)")
        low, high = int(row.min(initial=0)), int(row.max(initial=0))
        rule = f"must lie between 0 and {len(self) - 1}, the ids of this vocabulary"
        require(low >= 0 and high < len(self), "ids", f"{low} to {high}", rule)
        return " ".join(self.words[i] for i in row.tolist() if i != PAD)

    def unknown_share(self, ids: Ids) -> float:
        """Share of the words, padding left out, that are '<unk>'. Raises `LabError` when there is no word."""
        said = np.asarray(ids) != PAD
        if not said.any():
            raise LabError("ids", tuple(np.shape(ids)), "must hold at least one word")
        return float((np.asarray(ids)[said] == UNKNOWN).mean())
