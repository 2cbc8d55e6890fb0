"""One control through several values: small multiples for a stored notebook, and a study that can be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from mmkd_lab.core.check import did_you_mean, flat, require
from mmkd_lab.core.fingerprint import digest
from mmkd_lab.experiments.exports import NO_FIGURE
from mmkd_lab.experiments.report import versions
from mmkd_lab.experiments.result import Study
from mmkd_lab.whatif.answer import Answer, compare

if TYPE_CHECKING:
    from mmkd_lab.whatif.model import Control, Laboratory

_RULE = "must be one control and its values, such as gamma=(0.0, 0.5, 1.0)"


def states(laboratory: Laboratory[Any], over: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """{title: state} of a control at several values. Raises `LabError` for another control than there is."""
    control, values = _control(laboratory, over)
    state = laboratory.state
    return {f"{control.label} {said(control, v)}": laboratory.change(state, control.name, v) for v in values}


def study(laboratory: Laboratory[Any], over: Mapping[str, Sequence[Any]]) -> Study:
    """The tables of those states in one, and by how much each number differs from first to last."""
    control, values = _control(laboratory, over)
    require(len(values) > 1, control.name, list(values), "must be at least two values")
    found = [laboratory.settled(state) for state in states(laboratory, over).values()]
    columns = [said(control, value) if isinstance(value, tuple) else value for value in values]
    tables = [one.table.assign(**{control.name: at}) for at, one in zip(columns, found, strict=True)]
    ends = f"{said(control, values[0])} to {said(control, values[-1])}"
    name = f"what_if_{laboratory.name}_{control.name}"
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    return Study(
        name=name,
        title=f"{laboratory.title}: {control.label} from {ends}",
        table=pd.concat(tables, ignore_index=True).assign(study=name),
        verdict=f"{laboratory.title}, {control.label} from {ends}: {_changes(found[0], found[-1])}.",
        kind="sweep" if numeric else NO_FIGURE,
        options={"x": control.name, "x_label": control.label} if numeric else {},
        provenance={
            "fingerprint": digest([laboratory.link(), dict(over)]),
            "state": asdict(laboratory.state),
            "over": {control.name: list(values)},
            "versions": versions(),
        },
    )


def said(control: Control, value: object) -> str:
    """A value as its control shows it."""
    named = {option[1]: option[0] for option in control.options if isinstance(option, tuple)}
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(named.get(one, one)) for one in value) or "nothing"
    return f"{value:g}" if isinstance(value, float) else str(named.get(value, value))


def _control(laboratory: Laboratory[Any], over: Mapping[str, Sequence[Any]]) -> tuple[Control, Sequence[Any]]:
    require(len(over) == 1, "over", dict(over), _RULE)
    ((name, values),) = over.items()
    known = {control.name: control for control in laboratory.controls(laboratory.state)}
    require(name in known, "over", name, f"must be one of {list(known)}", did_you_mean(name, list(known)))
    return known[name], flat(name, values, _RULE)


def _changes(first: Answer, last: Answer) -> str:
    rows = compare(first, last)
    return ", ".join(
        f"{name} {change}" for name, change in zip(rows["number"], rows["difference"], strict=True)
    )
