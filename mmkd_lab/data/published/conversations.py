"""Features of conversations as authors of models for them pass them on: one pickled tuple of dictionaries by
dialogue, each of a list by utterance.

MELD and IEMOCAP circulate so, with more or fewer members; which is which is known by their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.check import DamagedFile, listing, reading
from mmkd_lab.data.published.pickles import PickledRow, held
from mmkd_lab.data.published.sheet import Array, Column

#: Members that are lists by utterance, next to the features.
_LISTS = ("ids", "labels", "sentences")


@dataclass(frozen=True)
class Utterance:
    """One utterance of a pickled conversation: where it is, what it is called, and what is said of it."""

    dialogue: Any
    number: int
    name: str
    label: int
    sentence: str
    side: str


@dataclass(frozen=True)
class MeanOfLayers:
    """Reads one item of several members of a pickled tuple: (path, their places, steps ...) -> their mean."""

    def __call__(self, key: tuple[Any, ...]) -> Array:
        """Read it. Raises `DamagedFile`."""
        path, places, *steps = key
        layers = [PickledRow()((path, at, *steps)) for at in places]
        if len({one.shape for one in layers}) > 1:
            shown = str([one.shape for one in layers])
            raise DamagedFile(f"{path}: {steps}", shown, "must be layers of one shape")
        return np.asarray(np.mean(layers, axis=0), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Conversations:
    """A pickle of conversations.

    Args:
        path: of the pickle.
        members: the names of the tuple's members, with at least 'labels', 'sentences', 'train' and 'test';
            features are 'text', 'audio' and 'visual', or layers of a network of words, 'roberta1' and more,
            whose mean is the text where there is no other. Without 'ids' utterances are called by dialogue
            and number. Anything else is not looked at.
        classes: how many labels there are.
    """

    path: Path
    members: tuple[str, ...]
    classes: int

    @classmethod
    def of(cls, path: Path, forms: Sequence[str], classes: int) -> Conversations:
        """The pickle, its members as the one of `forms` with as many has them. Raises `DamagedFile`."""
        found = held(path)
        known = {len(form.split()): tuple(form.split()) for form in forms}
        if not isinstance(found, (tuple, list)) or len(found) not in known:
            shown = f"{type(found).__name__} of {len(found) if hasattr(found, '__len__') else 'no'} members"
            rule = f"must be a tuple of {listing(sorted(known))} members"
            raise DamagedFile(str(path), shown, rule, " Or: ".join(forms))
        return cls(path, known[len(found)], classes)

    @property
    def features(self) -> list[str]:
        """Those of 'text', 'audio' and 'visual' that it holds."""
        held = (*self.members, "text") if self._layers else self.members
        return [one for one in ("text", "audio", "visual") if one in held]

    @property
    def _layers(self) -> tuple[int, ...]:
        """Where the layers are that make the text."""
        found = [i for i, one in enumerate(self.members) if one.startswith("roberta")]
        return () if "text" in self.members else tuple(found)

    def column(self, feature: str, utterances: Sequence[Utterance]) -> Column:
        """A feature of these utterances."""
        if feature == "text" and self._layers:
            keys = [(str(self.path), self._layers, one.dialogue, one.number) for one in utterances]
            return Column(keys, MeanOfLayers())
        at = self.members.index(feature)
        return Column([(str(self.path), at, one.dialogue, one.number) for one in utterances], PickledRow())

    def utterances(self) -> list[Utterance]:
        """All of them, by dialogue; the training ones first. Raises `DamagedFile` that names the dialogue, or
        else the file."""
        with reading(self.path, "must hold lists by utterance, in dictionaries by dialogue"):
            return list(self._utterances())

    def _utterances(self) -> Iterator[Utterance]:
        sides = self._sides()
        names = [one for one in self.members if one in (*_LISTS, *self.features)]
        lists = {name: self._member(name) for name in [*names, *(self.members[i] for i in self._layers)]}
        if "ids" not in lists:
            lists["ids"] = {one: [f"{one}/{i}" for i in range(len(x))] for one, x in lists["labels"].items()}
        for dialogue, side in sides.items():
            lengths = {name: len(found.get(dialogue, ())) for name, found in lists.items()}
            if len(set(lengths.values())) > 1 or not lengths["ids"]:
                raise self._wrong(dialogue, str(lengths), "must have as many of each")
            for i, label in enumerate(lists["labels"][dialogue]):
                if not isinstance(label, (int, np.integer)) or not 0 <= label < self.classes:
                    raise self._wrong(
                        dialogue, f"label {label!r}", f"must lie between 0 and {self.classes - 1}"
                    )
                name, said = (str(lists[one][dialogue][i]) for one in ("ids", "sentences"))
                yield Utterance(dialogue, i, name, int(label), said, side)

    def _sides(self) -> dict[Any, str]:
        """The split of each dialogue; both lists may be sets, whose order changes from run to run."""
        found: dict[Any, str] = {}
        for side in (one for one in ("train", "test", "val") if one in self.members):
            for dialogue in sorted(self._of(side), key=lambda one: (str(type(one)), one)):
                if dialogue in found:
                    raise self._wrong(dialogue, f"in {found[dialogue]} and {side}", "must be in one of them")
                found[dialogue] = side
        return found

    def _member(self, name: str) -> Mapping[Any, Any]:
        found = self._of(name)
        if not isinstance(found, Mapping):
            raise DamagedFile(
                f"{self.path}: {name}", type(found).__name__, "must be a dictionary by dialogue"
            )
        return found

    def _of(self, name: str) -> Any:  # noqa: ANN401 - a member
        return held(self.path)[self.members.index(name)]

    def _wrong(self, dialogue: object, shown: str, rule: str) -> DamagedFile:
        return DamagedFile(f"{self.path}: dialogue {dialogue!r}", shown, rule)
