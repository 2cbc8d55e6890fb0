"""What if the teacher lost channels? Which ones go, what it still knows, and what its student learns.

The modality focusing hypothesis of Xue et al. 2023 (MFH) by hand: channels are ranked by Algorithm 1, the
teacher without them is asked at once from its kept activations, and its student is trained where you ask.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from mmkd_lab.core.calling_off import CalledOff, heeding
from mmkd_lab.core.check import one_of, require
from mmkd_lab.data import catalogue
from mmkd_lab.data import load as load_data
from mmkd_lab.data.paired import PairedData
from mmkd_lab.experiments.profiles import PROFILES
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.whatif import repair_draw as draw
from mmkd_lab.whatif.answer import Answer, Progress
from mmkd_lab.whatif.model import Action, Control, Laboratory, Stopped
from mmkd_lab.whatif.repair_bench import (
    RATIOS,
    SMALL,
    Bench,
    ChannelLayer,
    cut_at,
    experiment_of,
    layers,
)
from mmkd_lab.whatif.repair_controls import controls, student_of
from mmkd_lab.whatif.repair_shown import Repaired
from mmkd_lab.whatif.repair_state import Own, RepairState
from mmkd_lab.whatif.scene import Scene

#: What `study.repair_teachers` removes unless told otherwise, and nothing.
STUDIED = (0.0, 0.25, 0.5, 0.75)
_MOST = 16  # benches kept in memory; what they trained stays in the store
_PAUSE = 0.3  # seconds between two views of a growing curve


class RepairLaboratory(Laboratory[RepairState]):
    """A slider for the removed share, the teacher at once, the student where it was trained."""

    name = "repair"
    title = "A teacher without some of its channels"
    actions = (
        Action(
            "train",
            "train the student here",
            "Trains the students of this teacher, one a seed, and keeps them; the stop button, or moving a "
            "control, ends it; finished networks are kept.",
        ),
        Action(
            "curve",
            "train at 0, 25, 50, 75 %",
            "Trains the students at the ratios of study.repair_teachers, with this ranking, and keeps them.",
        ),
    )

    def __init__(self, state: RepairState, own: Own | None = None) -> None:
        super().__init__(state)
        self.own = own or Own()
        self._data: dict[tuple[str, str], PairedData] = {}
        self._layers: dict[tuple[object, ...], Mapping[str, ChannelLayer]] = {}
        self._benches: dict[tuple[object, ...], Bench] = {}
        self._reachable(state)

    def controls(self, state: RepairState) -> list[Control]:
        """Those of `repair_controls`, with what is known of the data and the networks."""
        data = self._data.get(self._source(state))
        names = () if data is None else tuple(data.modalities)
        return controls(state, self.own, names, self._layers.get(self._networks(state), {}))

    # What can be moved.

    def change(self, state: RepairState, name: str, value: object) -> RepairState:
        """Other data has other modalities and layers; another modality, other layers."""
        plain: dict[str, Any] = {}
        if name in ("data", "student", "teacher", "size"):
            plain["layer"] = ""
        if name == "data":
            plain |= {"student": "", "teacher": ""}
        if name == "student":
            plain["teacher"] = ""
        if name == "seeds":
            plain["shown"] = min(state.shown, int(str(value)) - 1)
        return replace(state, **{**plain, name: value})

    # What is shown.

    def answers(self, state: RepairState, stopped: Stopped) -> Iterator[Answer]:
        """What is being prepared; then the present ratio; then every ratio and the trained students."""
        yield from self._prepared(state, stopped)
        bench = self._benches.get(self._key(state))
        if bench is None or bench.waiting:
            return
        ratios, begun = _ratios(state), time.monotonic()
        for i, ratio in enumerate(ratios):
            if stopped():
                return
            for ranking in _compared(state):
                bench.teachers(ranking, ratio)
                bench.students(ranking, ratio)
            if i == 0 or time.monotonic() - begun > _PAUSE:
                begun = time.monotonic()
                yield self._view(bench, state, ratios[: i + 1], Progress(i + 1, len(ratios), "ratios"))
        yield self._view(bench, state, ratios)

    def act(self, action: str, state: RepairState, stopped: Stopped) -> Iterator[Answer]:
        """Train students at the present ratio ('train') or at the usual ones ('curve'), seed by seed."""
        one_of("action", action, [one.name for one in self.actions])
        yield from self._prepared(state, stopped)
        bench = self._benches.get(self._key(state))
        if bench is None or bench.waiting:
            return
        ratios = (state.ratio,) if action == "train" else STUDIED
        todo = [(ratio, seed) for ratio in ratios for seed in bench.seeds]
        for i, (ratio, seed) in enumerate(todo):
            yield self._view(bench, state, _ratios(state), Progress(i, len(todo), "students trained"))
            try:
                with heeding(stopped):
                    bench.train(state.ranking, ratio, seed)
            except CalledOff:
                return
        yield self._view(bench, state, _ratios(state))

    def _prepared(self, state: RepairState, stopped: Stopped) -> Iterator[Answer]:
        """Views until every pair of a state is trained."""
        key = self._key(state)
        if key not in self._benches:
            yield _waiting(f"Reading {state.data} …", Progress(0, state.seeds, "pairs trained"))
            self._benches[key] = self._bench(state)
            if len(self._benches) > _MOST:
                del self._benches[next(iter(self._benches))]
        bench = self._benches[key]
        rule = f"cannot be had: no linear head reads {state.layer!r}"
        require(bench.has(state.ranking), "ranking", state.ranking, rule, "Choose another, or another layer.")
        for seed in bench.waiting:
            if stopped():
                return
            told = "Training teachers jointly with students and ranking their channels; kept for next time …"
            done = state.seeds - len(bench.waiting)
            yield _waiting(told, Progress(done, state.seeds, "pairs trained"))
            try:
                with heeding(stopped):
                    bench.prepare(seed)
            except CalledOff:
                return

    def _bench(self, state: RepairState) -> Bench:
        source = self._source(state)
        if source not in self._data:
            self._data[source] = self._load(state)
        data = self._data[source]
        names = tuple(data.modalities)
        student = student_of(names, state)
        teacher = state.teacher or next((name for name in names if name != student), "")
        experiment = experiment_of(
            data,
            student=student,
            teacher=teacher,
            layer=state.layer,
            seeds=state.seeds,
            size=state.size,
            options=self.own.options,
        )
        known = self._layers[self._networks(state)] = layers(experiment)
        return Bench(cut_at(experiment, known), ResultStore() if self.own.store is None else self.own.store)

    def _load(self, state: RepairState) -> PairedData:
        if self.own.data is not None:
            return self.own.data
        profile = SMALL if state.size == "small" else PROFILES[state.size]
        return load_data(state.data, **profile.data.get(state.data, {}))

    def _reachable(self, state: RepairState) -> None:
        own = self.own.data
        names = [entry.name for entry in catalogue()] if own is None else [own.name]
        rule = f"is none of {names}"
        require(state.data in names, "data", state.data, rule, "Data of your own: whatif.repair(data).")

    def _source(self, state: RepairState) -> tuple[str, str]:
        return state.data, "" if self.own.data is not None else state.size

    def _networks(self, state: RepairState) -> tuple[object, ...]:
        return state.data, state.student, state.teacher, state.size

    def _key(self, state: RepairState) -> tuple[object, ...]:
        """All that determines a bench."""
        return *self._networks(state), state.layer, state.seeds

    def _view(
        self, bench: Bench, state: RepairState, ratios: tuple[float, ...], doing: Progress | None = None
    ) -> Answer:
        chosen = _compared(state)
        curves = {one: {ratio: bench.teachers(one, ratio) for ratio in ratios} for one in chosen}
        points = {one: bench.trained(one, ratios) for one in chosen}
        if set(points[chosen[1]]) <= {0.0}:  # of the whole teacher, which both rankings share
            del points[chosen[1]]
        shown = Repaired(bench, state.ranking, state.ratio, state.shown, curves, points)
        scenes = {"channels": shown.channels(), "teacher": shown.teacher(), "student": shown.taught()}
        return Answer(scenes, shown.sentence(), shown.table(), shown.numbers(), self._notes(state), doing)

    def _notes(self, state: RepairState) -> tuple[str, ...]:
        notes = ["Intervals: 95 %, over seeds: what training anew would give on the same samples."]
        if self.own.data is not None:
            notes.append(
                f"The link needs your data: whatif.repair(data) opens it where they are {state.data!r}."
            )
        return tuple(notes)

    # Links, and the stored notebook.

    def restore(self, link: str) -> RepairState:
        """The state of a link. Raises `LabError` for data that is neither the lab's nor this panel's own."""
        state = super().restore(link)
        self._reachable(state)
        return state

    def python(self, state: RepairState | None = None) -> str:
        """The Python call that shows a state; with data of your own it stands for them as `data`."""
        if self.own.data is None and not self.own.options:
            return super().python(state)
        state = self.state if state is None else state
        plain, now = asdict(type(state)()), asdict(state)
        told = "".join(f", {k}={v!r}" for k, v in now.items() if v != plain[k] and k != "data")
        more = "".join(f", {name}={name}" for name in self.own.options)
        first = "data" if self.own.data is not None else repr(state.data)
        return f"whatif.repair({first}{told}{more}).show()"

    def command(self, state: RepairState | None = None) -> str:
        """The papermill command of a state; data and networks of your own have none."""
        if self.own.data is None and not self.own.options:
            return super().command(state)
        return "# No papermill command: a notebook does not have your data and networks. Use the Python call."

    def twin_scene(self, answer: Answer) -> Scene:
        """The teacher."""
        return answer.scenes["teacher"]


def _ratios(state: RepairState) -> tuple[float, ...]:
    """The ratios of the curves, the present one first."""
    return tuple(dict.fromkeys([state.ratio, *RATIOS]))


def _compared(state: RepairState) -> tuple[str, str]:
    """The chosen ranking, and the one beside it: random channels, or beside these general ones."""
    return state.ranking, "general" if state.ranking == "random" else "random"


def _waiting(told: str, doing: Progress) -> Answer:
    scenes = {name: draw.waiting(f"{name} …") for name in ("channels", "teacher", "student")}
    return Answer(scenes, told, pd.DataFrame(), doing=doing)
