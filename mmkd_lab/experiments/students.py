"""Students as networks to go on with: found in the store, exported with a card, and read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from mmkd_lab.core import check
from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import DamagedFile, LabError, listing, mapping, one_of, reading, require, writing
from mmkd_lab.experiments.card import CARD, FORMAT, MODEL, card_of, readable, weights_of
from mmkd_lab.experiments.store import Result, ResultStore
from mmkd_lab.models.layers import Wrapper
from mmkd_lab.training.checkpoint import load, restored, save
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.sources import Source

if TYPE_CHECKING:
    from mmkd_lab.experiments.exports import Exports
    from mmkd_lab.experiments.plan import Plan

_HELD = ("arm", "seed", "key")


@dataclass(frozen=True, eq=False)
class Students:
    """Where a study's students are kept.

    Args:
        entries: one a student: arm, seed, what else tells it apart, and key, the digest of its stored entry.
        source: what makes such a network; None for a study that was loaded.
    """

    entries: tuple[Mapping[str, Any], ...] = ()
    source: Source | None = None

    def __post_init__(self) -> None:
        for one in self.entries:
            held = set(one)
            require(set(_HELD) <= held, "students", sorted(held), f"must have {listing(_HELD)}")

    @classmethod
    def read(cls, value: object) -> Students:
        """Those of a saved study. Raises `LabError` for what are none."""
        listed = check.flat("students", value, "a list of students")
        return cls(tuple(mapping("students", one, "mappings, one a student") for one in listed))

    @classmethod
    def of(cls, source: Source, found: Iterable[tuple[Mapping[str, object], Result]]) -> Students:
        """The students of these results, each with what tells it from the others."""
        return cls(tuple({**where, "key": result.key.digest} for where, result in found), source)

    @classmethod
    def of_plan(cls, *plans: Plan) -> Students:
        """All that some plans trained under their own seeds, not those that choosing strengths takes."""
        each = [
            ({"arm": one.arm.name, "seed": one.seed}, result)
            for plan in plans
            for one, result in plan.trained
            if one.seed in plan.experiment.seeds
        ]
        return cls.of(plans[-1].experiment.student, each)

    def chosen(self, arm: str, seed: int, at: Mapping[str, object]) -> Mapping[str, Any]:
        """The one student. Raises `LabError` for none such, naming those there are, or for several."""
        left = self.entries
        way_out = "Only studies that train students keep them; one saved by an older release kept none."
        require(len(left) > 0, "study", "no students", "must know where its students are kept", way_out)
        for name, value in {"arm": arm, "seed": seed, **at}.items():
            one_of(name, value, list(dict.fromkeys(one[name] for one in left if name in one)))
            left = tuple(one for one in left if one.get(name) == value)
        if len(left) > 1:
            name = next(n for n in left[0] if n != "key" and len({one.get(n) for one in left}) > 1)
            values = list(dict.fromkeys(one.get(name) for one in left))
            raise LabError(name, None, f"must be told, since there are several students: {listing(values)}")
        return left[0]

    def stored(self, entry: Mapping[str, Any], store: ResultStore | None) -> Result:
        """What the store has of a student. Raises `LabError` where it has nothing any more."""
        place = ResultStore() if store is None else store
        found = place.named(str(entry["key"]))
        who = f"{entry['arm']!r}, seed {entry['seed']}"
        rule = f"no longer holds the student {who}: it was cleaned, or the study ran with another store"
        if found is None:
            raise LabError("store", str(place.root), rule, "Name that store, or run the study again.")
        return found

    def histories(self, store: ResultStore | None) -> pd.DataFrame:
        """Every student's training by epoch; see `Study.histories`."""
        parts = []
        for entry in self.entries:
            history = pd.DataFrame(self.stored(entry, store).metrics["history"])
            where = {name: value for name, value in entry.items() if name != "key"}
            parts.append(history.assign(**where)[[*where, *history.columns]])
        require(len(parts) > 0, "study", "no students", "must know where its students are kept")
        return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True, eq=False, repr=False)
class TrainedStudent:
    """One trained student: the lab's view of it (R = 1), and its card in plain values."""

    replicas: Replicas
    card: Mapping[str, Any]

    @property
    def network(self) -> nn.Module:
        """The network itself, a copy in evaluation mode: of your own class where it was yours."""
        net = self.replicas.module()
        return net.module if isinstance(net, Wrapper) else net

    def export(self, folder: Path | str, *, overwrite: bool = False) -> Path:
        """Write model.safetensors, card.md for readers and card.json into a folder; returns the folder.

        Each is written atomically, card.json last. Raises `LabError` for a folder that cannot be written, or
        that holds another student, unless `overwrite` asks for it.
        """
        folder = check.path("folder", folder)
        there = folder / CARD
        if there.is_file() and not overwrite:
            same = there.read_text(encoding="utf-8", errors="replace") == self._json()
            require(same, "folder", str(folder), "holds another student", "Or ask for overwrite=True.")
        with writing("folder", folder):
            folder.mkdir(parents=True, exist_ok=True)
            save(self.replicas, folder / MODEL)
            write_text(folder / "card.md", readable(self.card))
            write_text(there, self._json())
        return folder

    def _json(self) -> str:
        return json.dumps(dict(self.card), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def __repr__(self) -> str:
        who = f"student {self.card['arm']!r} of {self.card['study']}, seed {self.card['seed']}"
        return f"{who}: {self.replicas.name} of {self.replicas.size:,} parameters"


def load_student(folder: Path | str, network: object = None) -> TrainedStudent:
    """Read what `TrainedStudent.export` wrote; nothing in the files is run.

    Args:
        folder: that it was exported to.
        network: for a network of your own, one of its class, or the function that makes it; weights are
            copied, yours stays as it is.

    Raises:
        DamagedFile: a file that is missing, damaged, or not of the other.
        LabError: a network that is needed and not given, or of other layers, shapes or classes.
    """
    folder = check.path("folder", folder)
    where, model = folder / CARD, folder / MODEL
    with reading(where, "must be the card of an exported student"):
        card = json.loads(where.read_text(encoding="utf-8"))
        require(card["format"] == FORMAT, "format", card["format"], f"must be {FORMAT!r}")
        weights, classes = card["weights"], tuple(card["classes"])
    with _named():
        replicas = load(model, module=_made(network), device="cpu")
    if (weights, classes) != (weights_of(replicas), replicas.classes or ()):
        rule = "is not the network of the card beside it"
        raise DamagedFile(str(model), "another network", rule, "Export the student again")
    return TrainedStudent(replicas, card)


def student_of(
    study: Exports,
    arm: str,
    *,
    seed: int,
    network: object,
    store: ResultStore | None,
    at: Mapping[str, object],
) -> TrainedStudent:
    """One student of a study, from the store; see `Study.student`."""
    entry = study.students.chosen(arm, seed, at)
    result, source = study.students.stored(entry, store), study.students.source
    meta = result.metrics.get("network")
    rule = "is what is left of a pruned teacher, and no description builds it again"
    if meta is None:
        raise LabError("arm", arm, rule, "Prune one yourself, see training.prune")
    state = {
        name.removeprefix("state/"): torch.from_numpy(np.array(values))[None]
        for name, values in result.tensors.items()
        if name.startswith("state/")
    }
    made = _made(network)
    if made is None and source is not None and source.spec is None:
        made = source.replicas([seed], device="cpu").net
    with _named():
        replicas = restored(meta, state, where=Path(entry["key"]), module=made)
    return TrainedStudent(replicas, card_of(study, entry, result.metrics, replicas))


def _made(network: object) -> nn.Module | None:
    if network is None or isinstance(network, nn.Module):
        return network
    rule = "must be a torch.nn.Module of the student's class, or a function that makes one"
    require(callable(network), "network", network, rule)
    return check.of_type("network", network(), nn.Module, "a function that makes a torch.nn.Module")  # type: ignore[operator]


@contextmanager
def _named() -> Iterator[None]:
    """What does not fit is the `network` that was given."""
    try:
        yield
    except DamagedFile:
        raise
    except LabError as error:
        if error.argument not in ("module", "modules"):
            raise
        value = error.value
        way_out = "Give one of the student's class: network=..." if value is None else error.way_out
        rule = "the student is a network of your own" if value is None else error.rule
        raise LabError("network", value, rule, way_out) from error
