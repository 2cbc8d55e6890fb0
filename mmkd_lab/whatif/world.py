"""What if the modalities shared more? Gaussian worlds by their shares, and what KD is worth in them.

Every number is a trained network's: the linear networks of Xue et al. 2023 (MFH), Gaussian worlds, with their
protocol. Worlds that differ in their shares alone are made of the same random numbers, so that moving a
slider changes the world and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import path as checked_path
from mmkd_lab.core.check import writing
from mmkd_lab.core.places import results_folder
from mmkd_lab.whatif.answer import Answer, Progress
from mmkd_lab.whatif.model import SHARE_STEP, Control, Laboratory, Stopped
from mmkd_lab.whatif.scene import Scene, grid
from mmkd_lab.whatif.world_draw import diagram, gain_map, students
from mmkd_lab.whatif.world_state import SHARES, WorldState, moved, rounded, with_share, world_state
from mmkd_lab.whatif.world_train import TRAINER, Truth

TEACHERS = ("other", "both", "shared")
AXES = ("gamma", "alpha", "beta", "unobserved", "samples", "kd", "temperature")
QUICK, STEP = 8, 8  # seeds while a slider is dragged; seeds from one view to the next
MAP_SEEDS = 8
_GRIDS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(SHARES, tuple(round(0.125 * i, 3) for i in range(9))),
    "unobserved": (0.0, 0.2, 0.4, 0.6, 0.8),
    "samples": (25, 50, 100, 200, 400, 800),
    "kd": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    "temperature": (0.5, 1.0, 2.0, 4.0, 8.0),
}
_CALLED = {
    **{"alpha": "α", "beta": "β", "gamma": "γ", "unobserved": "the unobserved share"},
    **{"samples": "the number of samples", "kd": "the KD weight", "temperature": "the temperature"},
}
_TEACHER = {"other": "modality a", "both": "both modalities", "shared": "only what both share"}


class WorldLaboratory(Laboratory[WorldState]):
    """Sliders for the shares of a world; every network trained while they move."""

    name = "world"
    title = "A world of two modalities"

    def controls(self, state: WorldState) -> list[Control]:
        """Shares, what else makes the world, how students are taught, the map's axes."""
        axes = tuple((_CALLED[axis], axis) for axis in AXES)
        return [
            Control("gamma", "γ both", "What both modalities know, of what at least one knows.", "share"),
            Control("alpha", "α only a", "What only the teacher's modality a knows.", "share"),
            Control("beta", "β only b", "What only the student's modality b knows.", "share"),
            Control(
                "unobserved",
                "unobserved",
                "Share of what decides the label that neither modality sees: no network can know it.",
                "slider",
                tuple(round(0.1 * i, 1) for i in range(10)),
            ),
            Control(
                "samples",
                "samples",
                "How many samples teacher and student are trained on, each.",
                "slider",
                (25, 50, 100, 200, 400, 800, 1600),
            ),
            Control(
                "teacher",
                "teacher sees",
                "What the teacher looks at. The student sees b alone.",
                "choice",
                tuple((_TEACHER[one], one) for one in TEACHERS),
            ),
            Control(
                "labels",
                "labels",
                "Whether taught students learn from the true labels, too; no KD always does.",
                "flag",
            ),
            Control(
                "kd",
                "KD weight",
                "How strongly a taught student follows its teacher, beside the labels.",
                "slider",
                (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
            ),
            Control(
                "temperature",
                "temperature",
                "What logits are divided by in the divergence.",
                "slider",
                (0.5, 1.0, 2.0, 4.0, 8.0),
                more=True,
            ),
            Control(
                "width_a",
                "width of a",
                "Columns of modality a, noise included.",
                "slider",
                (25, 50, 100),
                True,
            ),
            Control(
                "width_b",
                "width of b",
                "Columns of modality b, noise included.",
                "slider",
                (25, 50, 100),
                True,
            ),
            Control(
                "seeds", "seeds", "Paired seeds, once the sliders rest.", "slider", (8, 16, 32, 64, 128), True
            ),
            Control("map_x", "map across", "What changes across the map.", "choice", axes, True),
            Control("map_y", "map up", "What changes up the map.", "choice", axes, True),
        ]

    def value(self, state: WorldState, name: str) -> Any:  # noqa: ANN401
        """Of a share the nearest stop of its slider, all three summing to 1.

        A browser that is told a value between two stops takes a stop and says that it was moved there.
        """
        if name not in SHARES:
            return super().value(state, name)
        stops = round(1 / SHARE_STEP)
        return rounded([getattr(state, one) for one in SHARES], stops)[SHARES.index(name)] / stops

    def change(self, state: WorldState, name: str, value: Any) -> WorldState:  # noqa: ANN401
        """Moving a share moves those that are not locked; an axis of the map that is taken is swapped."""
        if name in SHARES:
            return with_share(state, name, value)
        if name in ("map_x", "map_y") and value in (state.map_x, state.map_y):
            return replace(state, map_x=state.map_y, map_y=state.map_x)
        return replace(state, **{name: value})

    def made(self, fields: Mapping[str, object]) -> WorldState:
        """Shares that are not given fill up in proportion."""
        return world_state(**fields)

    def answers(self, state: WorldState, stopped: Stopped) -> Iterator[Answer]:
        """The diagram; then eight seeds; then all; then the map row by row, and what turns the verdict."""
        world, cells = state.world(), self._cells(state)
        drawn = {"diagram": diagram(world)}
        known = {at: truth for at, cell in cells.items() if (truth := TRAINER.known(cell, MAP_SEEDS))}
        yield self._view(
            state, None, {**drawn, "students": students(world, None, teacher=state.teacher)}, known
        )
        truth, shown = None, drawn
        for seeds in (*range(QUICK, state.seeds, STEP), state.seeds):
            if stopped():
                return
            truth = TRAINER.truth(state, seeds)
            if seeds not in (QUICK, state.seeds):
                continue  # a picture takes a third as long as eight seeds
            picture = students(world, truth, teacher=state.teacher, faint=seeds < state.seeds)
            shown = {**drawn, "students": picture}
            view = self._view(state, truth, shown, known, Progress(seeds, state.seeds, "seeds"))
            yield replace(view, settled=seeds == state.seeds)
        assert truth is not None  # there is at least one seed
        for i, (at, cell) in enumerate(cells.items()):
            if stopped():
                return
            known[at] = known.get(at) or TRAINER.truth(cell, MAP_SEEDS)
            if i % len(_GRIDS[state.map_x]) == 0:
                yield self._view(state, truth, shown, known, Progress(i, len(cells), "worlds of the map"))
        turns: list[str] = []
        for axis in ("gamma", "samples", "teacher"):
            yield self._view(state, truth, shown, known, Progress(len(turns), 3, "what turns the verdict"))
            found = self._turn(state, truth.gain.side, axis, stopped)
            if stopped():
                return
            turns.append(found)
        yield self._view(state, truth, shown, known, turns=turns)

    def twin_scene(self, answer: Answer) -> Scene:
        """The students beside their diagram."""
        return grid([answer.scenes["diagram"], answer.scenes["students"]], columns=1)

    def sentence(self, state: WorldState, truth: Truth) -> str:
        """What the networks of a state say."""
        says = {
            1: "makes the student better",
            0: "is not shown to make the student better or worse",
            -1: "makes the student worse",
        }[truth.gain.side]
        who = f"{'A' if state.labels else 'Without labels, a'} teacher that sees {_TEACHER[state.teacher]}"
        taught, alone = truth.beside.show(signed=True), truth.no_kd.mean()
        return (
            f"{who} {says}: {truth.gain.show(signed=True)} points of accuracy against no KD "
            f"({truth.gain.n} paired seeds), {taught} against KD from a teacher that sees b. Teacher "
            f"{truth.teacher.mean():.1f} %, its student {truth.kd.mean():.1f} %, without KD {alone:.1f} %."
        )

    def page(self, folder: Path | str | None = None, *, progress: bool = True, **steps: Any) -> Path:  # noqa: ANN401
        """Write `what_if_world.html`, whose sliders move without a kernel; `steps` are fields of `PageSteps`.

        Without a folder it goes where results go, and a run's index shows it. Raises `LabError` for a folder
        that cannot be written, or steps that are no states.
        """
        from mmkd_lab.whatif.page import PageSteps, world_page

        folder = results_folder() if folder is None else checked_path("folder", folder)
        text = world_page(self, PageSteps(**steps), progress=progress)
        with writing("folder", folder):
            folder.mkdir(parents=True, exist_ok=True)
            return write_text(folder / "what_if_world.html", text)

    def _cells(self, state: WorldState) -> dict[tuple[int, int], WorldState]:
        """The states of the map, (across, up), row by row."""
        plain = replace(state, locked=())
        return {
            (i, j): moved(moved(plain, state.map_y, y), state.map_x, x)
            for j, y in enumerate(_GRIDS[state.map_y])
            for i, x in enumerate(_GRIDS[state.map_x])
        }

    def _view(
        self,
        state: WorldState,
        truth: Truth | None,
        drawn: Mapping[str, Scene],
        known: Mapping[tuple[int, int], Truth],
        doing: Progress | None = None,
        turns: Sequence[str] = (),
    ) -> Answer:
        grids: dict[str, tuple[float, ...]] = {axis: _GRIDS[axis] for axis in (state.map_x, state.map_y)}
        at = {axis: float(getattr(state, axis)) for axis in grids}
        gains = {at: truth.gain for at, truth in known.items()}
        pictures = {**drawn, "map": gain_map(grids, gains, at, [_CALLED[axis] for axis in grids])}
        if truth is None:
            return Answer(pictures, "Training …", pd.DataFrame(), doing=Progress(0, state.seeds, "seeds"))
        numbers = {
            "teacher (%)": truth.teacher,
            "no KD (%)": truth.no_kd,
            "KD from its own modality (%)": truth.um_kd,
            "KD (%)": truth.kd,
            "KD minus no KD (points)": truth.kd - truth.no_kd,
        }
        sentence = " ".join([self.sentence(state, truth), *turns])
        return Answer(pictures, sentence, _table(state, truth), numbers, (), doing)

    def _turn(self, state: WorldState, side: int, axis: str, stopped: Stopped) -> str:
        """The nearest value of an axis at which the verdict is another, in words."""
        if axis == "teacher":
            tried: list[Any] = [one for one in TEACHERS if one != state.teacher]
        else:
            now, ratio = float(getattr(state, axis)), axis == "samples"

            def near(v: float) -> float:
                return float(abs(np.log(v / now)) if ratio else abs(v - now))

            every = tuple(round(0.05 * i, 2) for i in range(21)) if axis == "gamma" else _GRIDS["samples"]
            tried = sorted((v for v in every if near(v) > 1e-6), key=near)
        for value in tried:
            if stopped():
                return ""
            there = moved(replace(state, locked=()), axis, value)
            gain = TRAINER.truth(there, state.seeds).gain
            if gain.side != side:
                where = _WHERE[axis].format(_said(axis, value))
                return f"{where}, it {_DOES[gain.side]}: {gain.show(signed=True)}."
        return f"No {_NAMED[axis]} tried turns that."


_WHERE = {"gamma": "With γ = {}", "samples": "With {} samples", "teacher": "With a teacher that sees {}"}
_NAMED = {"gamma": "γ", "samples": "number of samples", "teacher": "other teacher"}
_DOES = {1: "helps", 0: "is not shown to matter", -1: "hurts"}


def _said(axis: str, value: Any) -> str:  # noqa: ANN401
    return _TEACHER[value] if axis == "teacher" else f"{value:.2f}" if axis == "gamma" else f"{value:,}"


_ARM = {"other": "cm_kd", "both": "mm_kd", "shared": "mg_kd"}


def _table(state: WorldState, truth: Truth) -> pd.DataFrame:
    """One row per network and seed, as in a study's table."""
    told = [("teacher", _ARM[state.teacher], truth.teacher), ("student", "no_kd", truth.no_kd)]
    told += [("student", "um_kd", truth.um_kd), ("student", _ARM[state.teacher], truth.kd)]
    fixed = {"study": "what_if_world", "dataset": "gaussian", "split": "test", "metric": "accuracy"}
    world = state.world()
    shares = {
        "alpha": world.alpha,
        "beta": world.beta,
        "gamma": world.gamma_union,
        "unobserved": world.unobserved,
    }
    rows = [
        {**fixed, "arm": arm, "role": role, "seed": seed, "value": value, **shares, "samples": state.samples}
        for role, arm, values in told
        for seed, value in enumerate(values.tolist())
    ]
    return pd.DataFrame(rows)
