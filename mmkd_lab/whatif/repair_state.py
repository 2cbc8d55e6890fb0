"""What the repair panel is about: a state, what no link can hold, and how both come of what was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from pydantic import Field

from mmkd_lab.core.check import of_type, one_of, require
from mmkd_lab.core.config import Count, Natural, config
from mmkd_lab.data.paired import PairedData
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.study.repair import RepairStudy
from mmkd_lab.training.recipe import Recipe


@config
class RepairState:
    """A teacher without some of its channels, and the student it teaches.

    Args:
        data: a data set of the lab, or the name of your own.
        student, teacher: their modalities; empty for the data's last one, and for the first other one.
        layer: of the teacher, by its name; empty for what its head reads.
        ranking: which channels stay: the most 'general', the most 'specific', 'random' ones, those of the
            largest |W| in the head ('weight').
        ratio: the share of the channels that goes.
        seeds: paired seeds, 0 to seeds - 1.
        shown: the seed whose teacher's channels are drawn.
        size: 'small' (dense networks, seconds), or 'quick' or 'full' as in `study.repair_teachers`.

    Raises `LabError` for a seed shown that is none of the seeds.
    """

    data: str = "av_digits"
    student: str = ""
    teacher: str = ""
    layer: str = ""
    ranking: Literal["general", "specific", "random", "weight"] = "general"
    ratio: Annotated[float, Field(ge=0, le=0.95)] = 0.5
    seeds: Count = 5
    shown: Natural = 0
    size: Literal["small", "quick", "full"] = "small"

    def __post_init__(self) -> None:
        require(
            self.shown < self.seeds, "shown", self.shown, f"must be below {self.seeds}, the number of seeds"
        )


@dataclass(frozen=True, eq=False)
class Own:
    """What no link can hold: data of your own, options of `study.repair_teachers`, and a store."""

    data: PairedData | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    store: ResultStore | None = None


def opened(
    data: str | PairedData | RepairStudy, given: Mapping[str, Any], store: ResultStore | None
) -> tuple[RepairState, Own]:
    """The state of what was given, and what no link can hold; see `whatif.repair`."""
    if isinstance(data, RepairStudy):
        data, given = _studied(data, given)
    kinds = "a data set's name, a PairedData or a RepairStudy"
    found = of_type("data", data, (str, PairedData), kinds)
    known = [one.name for one in fields(RepairState)]
    options = {name: value for name, value in given.items() if name not in known}
    for name in options:
        one_of("argument", name, [*known, *_OPTIONS])
    state = {name: value for name, value in given.items() if name in known}
    own = found if isinstance(found, PairedData) else None
    return RepairState(data=found if own is None else own.name, **state), Own(own, options, store)


_OPTIONS = (
    *("student_model", "teacher_model", "recipe", "teacher_recipe", "kd_weight", "temperature", "convention"),
    *("device", "side", "axis", "replace", "draws", "joint"),
)


def _studied(study: RepairStudy, given: Mapping[str, Any]) -> tuple[PairedData, dict[str, Any]]:
    """The data of a finished study, and all that gives its networks again."""
    rule, way = "was loaded, or has no aligned pair, and holds no networks", "Give its data, or run it again."
    require(len(study.pairs) > 0, "data", study.name, rule, way)
    told, pair = study.provenance, next(iter(study.pairs.values())).task
    plain = ("kd_weight", "temperature", "convention", "side", "axis", "replace", "draws")
    options = {name: told[name] for name in plain}
    options |= {"student_model": pair.student.value, "teacher_model": pair.teacher.value, "joint": pair.joint}
    options |= {"recipe": Recipe(**told["student_recipe"])}
    options |= {"teacher_recipe": Recipe(**told["teacher_recipe"]), "device": str(pair.device)}
    state = {"student": told["student"], "teacher": told["teacher"], "layer": told["layer"] or ""}
    return pair.data, {**options, **state, "seeds": len(told["seeds"]), **given}
