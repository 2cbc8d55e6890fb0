"""What if the student also learnt from each modality alone? KD against MSD, and sample by sample why.

Jin et al. 2021 (MSD): the student mimics what its teacher says of each modality by itself, too, and the
weights of these terms follow the saliency of modalities. The networks are small and their training short:
`study.kd_vs_msd` draws conclusions, this panel asks questions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from mmkd_lab.core.check import LabError, one_of, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.experiments.runner import NotStored, OnlyStored, Runner
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models.removal import VALUES
from mmkd_lab.plotting.palette import style_of
from mmkd_lab.whatif.answer import Answer, Progress
from mmkd_lab.whatif.model import Action, Control, Laboratory, Stopped
from mmkd_lab.whatif.msd_draw import (
    against_kd,
    called,
    modalities,
    predictions,
    students,
    verdict,
    waiting,
)
from mmkd_lab.whatif.msd_inputs import inputs
from mmkd_lab.whatif.msd_sample import Sample, sample
from mmkd_lab.whatif.msd_state import CONTROLS, INSTEAD, SCHEMES, SORTS, MsdState
from mmkd_lab.whatif.msd_train import (
    DATASETS,
    Trained,
    experiment_of,
    load,
    networks,
    train,
)
from mmkd_lab.whatif.scene import Scene

_KEPT = 8  # trained states remembered; the store has all


def _by(names: tuple[str, ...]) -> Control:
    pairs = (("the first", ""), *((name, name) for name in names))
    return Control("by", "of modality", "The modality that goes in this order.", "choice", pairs)


_ORDERS = {
    "disagreement": "how far teacher and student are apart",
    "saliency": "the teacher's saliency of {}",
    "loss": "what the student loses without {}",
}
_NOTE = (
    "Small networks, few steps, nothing tuned: to conclude, use study.kd_vs_msd. The sample is shown to the "
    "networks of seed 0."
)


class MsdLaboratory(Laboratory[MsdState]):
    """Schemes of weights, their students, and any test sample with some of its modalities removed.

    Args:
        state: where it begins. Its networks are trained as soon as it is shown; those of other states by the
            button, unless the store has them.
        data: samples of one's own, whose name the state's field `data` bears.
        store: where networks are kept; the default store when None.

    Raises `LabError` for a state that the data does not fit.
    """

    name = "msd"
    title = "KD against modality-specific distillation"
    actions = (Action("train", "train", "Train the students of this configuration, and keep them."),)

    def __init__(
        self, state: MsdState, data: PairedData | None = None, store: ResultStore | None = None
    ) -> None:
        super().__init__(state)
        self._data: dict[str, PairedData] = {} if data is None else {data.name: data}
        self._own, self._store = data, store
        self._known: OrderedDict[MsdState, Trained] = OrderedDict()
        self.check(state)

    def data(self, state: MsdState) -> PairedData:
        """The samples of a state."""
        if state.data not in self._data:
            own = [] if self._own is None else [self._own.name]
            one_of("data", state.data, [*own, *DATASETS])
            self._data[state.data] = load(state.data)
        return self._data[state.data]

    def check(self, state: MsdState) -> None:
        """Raise `LabError` for a sample or modalities that the data does not have."""
        data = self.data(state)
        names, tested = sorted(data.modalities), len(data.positions("test"))
        require(state.place <= tested, "place", state.place, f"must be at most {tested}, the test samples")
        for argument, given in (("by", (state.by,) if state.by else ()), ("removed", state.removed)):
            for name in given:
                one_of(argument, name, names)

    def controls(self, state: MsdState) -> list[Control]:
        """What is trained, then which sample is looked at and what is taken from it."""
        data = self.data(state)
        names = tuple(sorted(data.modalities))
        sets = DATASETS if self._own is None else tuple(dict.fromkeys((self._own.name, *DATASETS)))
        every = tuple(range(1, len(data.positions("test")) + 1))
        removals = tuple((INSTEAD[one], one) for one in VALUES if one != "mean" or not data.vocabularies)
        return [
            Control(
                "scheme", "weights", "How MSD weighs its terms, one a modality.", "choice", _pairs(SCHEMES)
            ),
            Control(
                "msd",
                "MSD factor",
                "How strongly the student minds each modality alone.",
                "slider",
                (0.0, 0.25, 0.5, 1.0, 2.0, 4.0),
            ),
            Control(
                "kd",
                "KD share",
                "The teacher's share of the loss, beside the labels.",
                "slider",
                (0.0, 0.1, 0.25, 0.5, 0.75, 0.9),
            ),
            Control("removed", "remove", "Modalities taken from this sample.", "many", names),
            Control("place", "sample", "Its place in the order: 1 has the most.", "slider", every),
            Control("sort", "sorted by", "What the test samples are sorted by.", "choice", _pairs(SORTS)),
            *([] if state.sort == "disagreement" else [_by(names)]),
            Control("data", "data", "The dataset.", "choice", sets, True),
            Control(
                "temperature",
                "temperature",
                "What logits are divided by in every divergence.",
                "slider",
                (1.0, 2.0, 4.0, 8.0),
                True,
            ),
            Control(
                "removal",
                "instead",
                "What stands in place of a removed modality, in training and here.",
                "choice",
                removals,
                True,
            ),
            Control(
                "controls",
                "controls",
                "Further students, which tell why MSD is better or worse.",
                "many",
                tuple((style_of(one)[0], one) for one in CONTROLS),
                True,
            ),
            Control("seeds", "seeds", "Paired seeds.", "slider", (1, 2, 3, 5, 8), True),
            Control(
                "steps", "steps", "Training steps of every network.", "slider", (50, 150, 330, 660), True
            ),
        ]

    def change(self, state: MsdState, name: str, value: Any) -> MsdState:  # noqa: ANN401
        """Another dataset has other modalities and samples."""
        changed = replace(state, **{name: value})
        if name == "data":
            changed = replace(changed, by="", place=1, removed=(), removal="zeros")
        self.check(changed)
        return changed

    def restore(self, link: str) -> MsdState:
        """See `Laboratory.restore`."""
        state = super().restore(link)
        self.check(state)
        return state

    def answer(self, state: MsdState | None = None) -> Answer:
        """The final view of a state, its networks trained first."""
        return list(self.act("train", self.state if state is None else state, lambda: False))[-1]

    def answers(self, state: MsdState, stopped: Stopped) -> Iterator[Answer]:
        """The sample and the students, where the networks are known or this is where the panel began."""
        self.check(state)
        if self._stored(state) or state.training == self.state.training:
            yield from self.act("train", state, stopped)
            return
        count = networks(experiment_of(state, self.data(state)))
        told = (
            f"Not trained yet: press “train” ({count} networks at most; those known are not trained again)."
        )
        yield Answer(
            {"students": waiting(state.arms, "Not trained yet: press “train”")}, told, pd.DataFrame()
        )

    def act(self, action: str, state: MsdState, stopped: Stopped) -> Iterator[Answer]:
        """Train what is not known, one network after another; then the view."""
        one_of("action", action, ["train"])
        self.check(state)
        if not self._stored(state):
            going = train(experiment_of(state, self.data(state)), Runner(self._store or ResultStore(), 1))
            while True:
                try:
                    doing = next(going)
                except StopIteration as end:
                    self._keep(state, end.value)
                    break
                yield _waiting(state, doing)
                if stopped():
                    return
        yield self._answer(state)

    def trained(self, state: MsdState) -> Trained:
        """The networks of a state and what they say. Raises `LabError` unless they are trained."""
        rule = "is not trained"
        require(self._stored(state), "state", self.link(state), rule, "Call answer(state) first.")
        return self._known[state.training]

    def _stored(self, state: MsdState) -> bool:
        """Whether the networks are at hand: remembered, or in the store."""
        if state.training not in self._known:
            runner = OnlyStored(self._store or ResultStore(), 1)
            going = train(experiment_of(state, self.data(state)), runner)
            try:
                while True:
                    next(going)
            except NotStored:
                return False
            except StopIteration as end:
                self._keep(state, end.value)
        return True

    def _keep(self, state: MsdState, trained: Trained) -> None:
        self._known[state.training] = trained
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def _answer(self, state: MsdState) -> Answer:
        trained = self._known[state.training]
        chosen = sample(trained, state, state.by or trained.modalities[0])
        scenes = {
            "students": students(trained, state.arms, state.arm),
            "inputs": inputs(trained, chosen, state.removal),
            "predictions": predictions(trained, chosen),
            "modalities": modalities(trained, chosen),
        }
        told = f"{_students(trained, state)} {_sample(trained, state, chosen)}"
        return Answer(scenes, told, trained.table, _numbers(trained, state, chosen), (_NOTE,))

    def settled(self, state: MsdState | None = None) -> Answer:
        """See `Laboratory.settled`: numbers come with the networks alone."""
        return self.answer(state)

    def python(self, state: MsdState | None = None) -> str:
        """The Python call that shows a state; samples of one's own stand in it as `data`."""
        state = self.state if state is None else state
        if self._own is None or state.data != self._own.name:
            return super().python(state)
        plain, now = asdict(MsdState()), asdict(state)
        told = "".join(f", {k}={v!r}" for k, v in now.items() if v != plain[k] and k != "data")
        return f"whatif.msd(data{told}).show()"

    def command(self, state: MsdState | None = None) -> str:
        """The papermill command of a state; samples of one's own have none."""
        state = self.state if state is None else state
        if self._own is None or state.data != self._own.name:
            return super().command(state)
        return "# No papermill command: a notebook does not have your data. Use the Python call."

    def twin_scene(self, answer: Answer) -> Scene:
        """The sample's predictions."""
        return answer.scenes["predictions"]


def _pairs(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((label, name) for name, label in labels.items())


def _waiting(state: MsdState, doing: Progress) -> Answer:
    told = f"Training: {doing.done} of {doing.total} {doing.what}."
    return Answer({"students": waiting(state.arms, "Training …")}, told, pd.DataFrame(), doing=doing)


def _students(trained: Trained, state: MsdState) -> str:
    found = {view: against_kd(trained, state.arm, view) for view in trained.views}
    points = ", ".join(
        f"{one.show(signed=True)} given {called(view, trained.modalities)}" for view, one in found.items()
    )
    over = f"over {state.seeds} paired seed{'s' if state.seeds > 1 else ''}"
    return f"{verdict(trained, state.arm)}. In points of accuracy, {over}: {points}."


def _sample(trained: Trained, state: MsdState, chosen: Sample) -> str:
    classes = trained.data.classes
    says = [
        f"{who} says {classes[k]} ({p:.0%})"
        for who, (k, p) in ((who, chosen.says(who, chosen.seen)) for who in ("teacher", "student"))
    ]
    by = _ORDERS[state.sort].format(state.by or trained.modalities[0])
    head = f"Sample {chosen.place} of {chosen.of} by {by} ({chosen.value:.2f} nats)"
    left = called(chosen.seen, trained.modalities)
    return f"{head}: given {left}, the {says[0]}, the {says[1]}; it is {classes[chosen.label]}."


def _numbers(trained: Trained, state: MsdState, chosen: Sample) -> dict[str, np.ndarray]:
    found = {}
    for arm in state.arms:
        for view in trained.views:
            label = f"{style_of(arm)[0]} given {called(view, trained.modalities)} (%)"
            found[label] = trained.accuracies[arm, view.label]
    for who in ("teacher", "student"):
        share = 100.0 * chosen.predictions[who][chosen.seen][chosen.label]
        found[f"this sample's true class, by the {who} (%)"] = np.array([share])
    return found


def msd_laboratory(
    data: str | PairedData, store: ResultStore | None, state: Mapping[str, Any]
) -> MsdLaboratory:
    """See `whatif.msd`."""
    if isinstance(data, PairedData):
        return MsdLaboratory(MsdState(data=data.name, **state), data, store)
    if not isinstance(data, str):
        raise LabError("data", type(data).__name__, f"must be one of {list(DATASETS)} or a PairedData")
    return MsdLaboratory(MsdState(data=data, **state), None, store)
