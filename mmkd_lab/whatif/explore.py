"""Any study as a panel: its arms by seed, and their paired differences from one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.check import require
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.experiments.claims import Claim, headline, label, ordered, sentence
from mmkd_lab.experiments.result import EXPLORERS, Study
from mmkd_lab.plotting.axes import digits_of, said
from mmkd_lab.plotting.palette import style_of
from mmkd_lab.whatif.answer import Answer
from mmkd_lab.whatif.explore_cut import LESS, MORE, ExploreState, Section, check, cut, with_place
from mmkd_lab.whatif.explore_draw import ArmRow, Axis, rows_scene
from mmkd_lab.whatif.model import Control, Laboratory, Stopped
from mmkd_lab.whatif.scene import Scene

_TOLD, _FEW = 3, 6  # claims in the sentence, arms whose followed seed is put in words; pictures hold all
_NAMED = {"role": "networks of", "metric": "metric", "split": "split"}
_DESCRIBED = {
    "role": "Whose networks are looked at.",
    "metric": "What is measured of them.",
    "split": "On which part of the data.",
}


@lru_cache(maxsize=4)
def _loaded(path: str) -> Study:
    return Study.load(path)


class ExploreLaboratory(Laboratory[ExploreState]):
    """A study's table: choose what is looked at, see seeds, intervals and paired differences.

    `study` is one that is not saved, or None where states name the path of one.
    """

    name = "explore"

    def __init__(self, state: ExploreState, study: Study | None = None) -> None:
        self._given = study
        super().__init__(state)

    @property
    def title(self) -> str:  # type: ignore[override]
        """The study's name."""
        return self.study(self.state).name if self._given or self.state.study else "A study"

    def study(self, state: ExploreState) -> Study:
        """The one that a state is of. Raises `LabError` where there is none."""
        if state.study:
            return _loaded(state.study)
        rule = "must be the path of a saved study, where none is given"
        require(self._given is not None, "study", state.study, rule, "Say which: study=folder/name")
        assert self._given is not None
        return self._given

    def cut(self, state: ExploreState) -> Section:
        """What a state shows."""
        return cut(self.study(state), state)

    def controls(self, state: ExploreState) -> list[Control]:
        """Whatever the table leaves to choose there."""
        seen = self.cut(state)
        controls = []
        for name, options in seen.options.items():
            if name == "arms" or len(options) < 2:
                continue
            column = name.removeprefix("at:")
            told = _DESCRIBED.get(name, f"Where in the table: which {column}.")
            numbers = name.startswith("at:") and all(isinstance(one, (int, float)) for one in options)
            kind: Any = "slider" if numbers else "choice"
            chosen = tuple(sorted(options)) if numbers else options
            controls.append(Control(name, _NAMED.get(name, column), told, kind, chosen))
        arms = tuple((label(arm), arm) for arm in seen.options["arms"])
        if len(arms) > 1:
            many = "The arms that are shown, beside the reference; none: all."
            controls.append(Control("arms", "arms", many, "many", arms))
            controls.append(
                Control("reference", "reference", "The arm that others are compared with.", "choice", arms)
            )
        seeds = tuple((str(seed), str(seed)) for seed in seen.seeds)
        strong = "A seed to follow: drawn strong, joined from arm to arm."
        return [*controls, Control("seed", "follow seed", strong, "choice", (("none", ""), *seeds))]

    def value(self, state: ExploreState, name: str) -> Any:  # noqa: ANN401 - what the control holds
        """What the study would choose, where the state leaves it open."""
        seen = self.cut(state)
        if name == "seed":
            return state.seed if state.seed in map(str, seen.seeds) else ""
        return seen.reference if name == "reference" else seen.chosen[name]

    def change(self, state: ExploreState, name: str, value: Any) -> ExploreState:  # noqa: ANN401
        """A view or a sweep point is one of several places; all arms are none named."""
        if name.startswith("at:"):
            return replace(state, at=with_place(state.at, name.removeprefix("at:"), value))
        if name == "arms" and set(value) == set(self.cut(state).options["arms"]):
            value = ()
        return replace(state, **{name: value})

    def restore(self, link: str) -> ExploreState:
        """The state of a link, on the study that it names or the one given. Raises `LabError`."""
        state = super().restore(link)
        return check(self.study(state), state)

    def python(self, state: ExploreState | None = None) -> str:
        """The Python call that shows a state."""
        state = self.state if state is None else state
        if state.study:
            return super().python(state)
        given = {name: value for name, value in asdict(state).items() if value}
        return f"study.explore({', '.join(f'{name}={value!r}' for name, value in given.items())}).show()"

    def answers(self, state: ExploreState, stopped: Stopped) -> Iterator[Answer]:
        """One answer, at once."""
        seen = self.cut(state)
        follow = self.value(state, "seed")
        seed = int(follow) if follow else None
        rows = [_row(arm, seeds) for arm, seeds in seen.values.items()]
        less = ", less is better" if seen.chosen["metric"] in LESS else ""
        axis = Axis(f"{seen.chosen['split']} {seen.metric}{_in(seen.unit)}{less}", seen.unit)
        scenes = {"arms": rows_scene(_highest(seen, rows), rows, axis, seed)}
        numbers = {
            f"{row.name} ({seen.unit or seen.metric})": np.array([*row.seeds.values()]) for row in rows
        }
        if seen.claims:
            scenes["differences"] = _differences(seen, seed)
        yield Answer(scenes, _sentence(seen), seen.table, numbers, _notes(seen, seed))


def _points(seen: Section) -> str:
    """What differences are in."""
    return "points" if seen.unit == "%" else seen.unit


def _row(arm: str, seeds: Mapping[int, float]) -> ArmRow:
    return ArmRow(label(arm), style_of(arm)[1], seeds)


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _highest(seen: Section, rows: Sequence[ArmRow]) -> str:
    least, means = seen.chosen["metric"] in LESS, {row.name: row.interval.mean for row in rows}
    best = (min if least else max)(means, key=means.__getitem__)
    number = said(means[best], digits_of([*means.values()]))
    unit = f" {seen.unit}" if seen.unit else ""
    return f"{best} has the {'lowest' if least else 'highest'} mean, {number}{unit}"


def _differences(seen: Section, seed: int | None) -> Scene:
    """Every arm that shares seeds with the reference, the reference as the zero line."""
    name = label(seen.reference)
    rows = [_row(arm, seen.gaps.get(arm, {})) for arm in seen.values if arm in {*seen.gaps, seen.reference}]
    axis = Axis(f"minus {name}, seed by seed{_in(_points(seen))}", _points(seen), zero=True)
    return rows_scene(headline(seen.chosen["at:dataset"], seen.claims), rows, axis, seed)


def _sentence(seen: Section) -> str:
    """The largest effects shown first; without anything to compare, the mean."""
    chosen, n = seen.chosen, max(map(len, seen.values.values()))
    place = f", {seen.where}" if seen.where else ""
    seeds = f"{n} seed{'s' if n > 1 else ''}"
    lead = f"On {chosen['at:dataset']} ({chosen['role']}s, {chosen['split']} {seen.metric}{place}, {seeds})"
    if seen.claims:
        return sentence(lead, _told(seen), unit=_points(seen) or "its own units")
    unit = f" {seen.unit}" if seen.unit else ""
    means = [f"{label(arm)} {mean_interval([*v.values()]).show()}{unit}" for arm, v in seen.values.items()]
    return f"{lead}: {'; '.join(means)}."


def _told(seen: Section) -> list[Claim]:
    """The claims of the sentence: the largest shown effects, or where none is shown the first arms."""
    claims = ordered(seen.claims)
    return [one for one in claims if one.side][:_TOLD] or claims[:_TOLD]


def _notes(seen: Section, seed: int | None) -> tuple[str, ...]:
    notes, told = [], _told(seen)
    sides = [one.side for one in seen.claims if one not in told]
    if sides:
        more, less = ("better", "worse") if seen.chosen["metric"] in MORE else ("above", "below")
        counted = f"{sides.count(1)} {more}, {sides.count(-1)} {less}, {sides.count(0)} not shown to differ"
        notes.append(f"Arms not named here: {counted}. The pictures show all.")
    few = [one.name(one.treated) for one in seen.claims if one.found.n < len(seen.values[one.treated])]
    if few:
        notes.append(f"Compared over the seeds that both have alone: {', '.join(few)}.")
    if seed is not None and len(seen.values) <= _FEW:
        digits = digits_of([value for seeds in seen.values.values() for value in seeds.values()])
        mine = [f"{label(arm)} {said(v[seed], digits)}" for arm, v in seen.values.items() if seed in v]
        notes.append(f"Seed {seed}: {', '.join(mine)}.")
    return tuple(notes)


@EXPLORERS.register("panel")
def explore(study: Study | Path | str = "", **state: Any) -> ExploreLaboratory:  # noqa: ANN401
    """The panel of a study, or of one saved at a path; `state` are fields of `ExploreState`.

    Raises `LabError` for a path without a study, and for what the study does not have.
    """
    given = study if isinstance(study, Study) else None
    begun = ExploreState(**{"study": "" if given else str(study), **state})
    found = ExploreLaboratory(begun, given)
    if given or begun.study:
        check(found.study(begun), begun)
    return found
