"""The world panel without a kernel: views computed beforehand, in one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mmkd_lab.core.config import Count, Distinct, Flag, Fraction, config
from mmkd_lab.core.progress import jobs_progress
from mmkd_lab.whatif.model import Control
from mmkd_lab.whatif.world_draw import diagram, students
from mmkd_lab.whatif.world_state import SHARES, WorldState, rounded
from mmkd_lab.whatif.world_train import TRAINER

if TYPE_CHECKING:
    from mmkd_lab.whatif.world import WorldLaboratory

_SOME = Field(min_length=1)


@config
class PageSteps:
    """The views that a page holds: every combination of these.

    Args:
        parts: shares move in steps of one part of so many.
        unobserved, samples, labels, teacher: values of these fields of `WorldState`; of a single value there
            is no slider.
        seeds: paired seeds of each view.
    """

    parts: Count = 10
    unobserved: Annotated[tuple[Fraction, ...], _SOME, Distinct] = (0.2,)
    samples: Annotated[tuple[Count, ...], _SOME, Distinct] = (50, 200, 400)
    labels: Annotated[tuple[Flag, ...], _SOME, Distinct] = (True, False)
    teacher: Annotated[tuple[Literal["other", "both", "shared"], ...], _SOME, Distinct] = ("other",)
    seeds: Count = 8

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """What is moved beside the shares, the last fastest."""
        return {name: getattr(self, name) for name in ("unobserved", "samples", "labels", "teacher")}


def split(parts: int) -> Iterator[tuple[int, int, int]]:
    """Every way to part alpha, beta and gamma, in the order of the page."""
    return ((a, b, parts - a - b) for a in range(parts + 1) for b in range(parts + 1 - a))


def page_states(state: WorldState, steps: PageSteps) -> list[WorldState]:
    """The states of a page, in its order; what it does not move is the given state's."""
    parts: list[dict[str, Any]] = [
        {name: one / steps.parts for name, one in zip(SHARES, some, strict=True)}
        for some in split(steps.parts)
    ]
    others = [dict(zip(steps.axes, some, strict=True)) for some in product(*steps.axes.values())]
    return [replace(state, **mine, **more, locked=(), seeds=steps.seeds) for mine in parts for more in others]


def world_page(laboratory: WorldLaboratory, steps: PageSteps | None = None, *, progress: bool = True) -> str:
    """The HTML text of a page that begins at the step nearest to the laboratory's state.

    Trains what is not remembered, half a minute for the steps that are there by default. Raises `LabError`
    for steps that are no states.
    """
    steps = PageSteps() if steps is None else steps
    states = page_states(laboratory.state, steps)
    with jobs_progress(len(states), "world", progress) as jobs:
        for state in sorted(states, key=lambda one: one.samples):  # those of one size share their numbers
            TRAINER.truth(state, steps.seeds)
            jobs.update()
    texts: dict[str, int] = {}  # each once: worlds that differ in samples alone have one diagram
    views = [
        [texts.setdefault(text, len(texts)) for text in _told_of(laboratory, state, steps.seeds)]
        for state in states
    ]
    begin = _nearest(laboratory.state, steps)
    place = list(split(steps.parts)).index(begin["shares"])
    for axis, values in steps.axes.items():
        place = place * len(values) + begin["at"][axis]
    listed = list(texts)
    first = dict(zip(("diagram", "students", "sentence"), (listed[i] for i in views[place]), strict=True))
    packed = _packed({"texts": listed, "views": views})
    return _rendered(laboratory, steps, {"begin": begin, "first": first, "packed": packed})


def _told_of(laboratory: WorldLaboratory, state: WorldState, seeds: int) -> tuple[str, str, str]:
    """The diagram, the students and the sentence of a state."""
    truth, world = TRAINER.truth(state, seeds), state.world()
    return (
        diagram(world).svg(),
        students(world, truth, teacher=state.teacher).svg(),
        laboratory.sentence(state, truth),
    )


def _nearest(state: WorldState, steps: PageSteps) -> dict[str, Any]:
    """The step where a page begins: parts of the shares, and the place on each axis."""
    shares = tuple(rounded([getattr(state, name) for name in SHARES], steps.parts))
    at = {}
    for axis, values in steps.axes.items():
        now = getattr(state, axis)
        far = [float(one != now) if isinstance(now, (str, bool)) else abs(one - now) for one in values]
        at[axis] = far.index(min(far))
    return {"shares": shares, "at": at}


def _packed(content: object) -> str:
    """JSON, compressed, as text; the same content gives the same text."""
    plain = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(plain, compresslevel=9, mtime=0)).decode()


def _rendered(laboratory: WorldLaboratory, steps: PageSteps, made: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    state, controls = laboratory.state, {one.name: one for one in laboratory.controls(laboratory.state)}
    plain, moved = WorldState(), {*SHARES, *steps.axes, "seeds", "locked", "map_x", "map_y"}
    fixed = {name: value for name, value in asdict(state).items() if name not in moved}
    setup = {
        "parts": steps.parts,
        "seeds": steps.seeds,
        "begin": made["begin"],
        "axes": {axis: list(values) for axis, values in steps.axes.items()},
        "told": {axis: [_told(controls[axis], one) for one in values] for axis, values in steps.axes.items()},
        "python": {axis: list(map(repr, values)) for axis, values in steps.axes.items()},
        "fixed": [f"{name}={value!r}" for name, value in fixed.items() if value != getattr(plain, name)],
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # the order of axes is the views' order
    alone = [f"{controls[axis].label} {told[0]}" for axis, told in setup["told"].items() if len(told) == 1]
    return environment.get_template("page.html").render(
        title=laboratory.title,
        shares=[controls[name] for name in ("gamma", "alpha", "beta")],
        others=[controls[axis] for axis, values in steps.axes.items() if len(values) > 1],
        setup=setup,
        first=made["first"],
        packed=made["packed"],
        step=f"{100 / steps.parts:.3g} %",
        fixed=", ".join([f"KD weight {state.kd:g}", f"temperature {state.temperature:g}", *alone]),
    )


def _told(control: Control, value: Any) -> str:  # noqa: ANN401
    """A value of an axis, in words."""
    if control.kind == "choice":
        return str(next(told for told, one in control.options if one == value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{100 * value:g} %" if control.name == "unobserved" else str(value)
