"""What to expect of each arm before a student is trained, as `forecast.forecast` has it."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import pandas as pd

from mmkd_lab.core.stats import Interval
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import ARMS
from mmkd_lab.experiments.jobs import Job, JobOutcome
from mmkd_lab.experiments.store import key
from mmkd_lab.forecast import Forecast, forecast
from mmkd_lab.forecast.records import learned
from mmkd_lab.study.diagnosis.case import Case
from mmkd_lab.study.diagnosis.finding import SectionFound, listed

ROLE, CHANCE, GAIN = "forecast", "probability of a gain, %", "expected gain, 80 % interval"
CROSSMODAL = "cm_kd"


@dataclass(frozen=True, eq=False)
class ForecastTask:
    """Foretell one pair; `teacher_model` is what knows something already, or None."""

    data: PairedData
    student: str
    teacher: str
    teacher_model: object = None


def foretell(task: ForecastTask) -> JobOutcome:
    """A `Forecast` without its evidence, as plain values."""
    pair = {"student": task.student, "teacher": task.teacher, "teacher_model": task.teacher_model}
    seen = forecast(task.data, **pair)  # type: ignore[arg-type]
    rows = seen.table.to_dict("records")
    return JobOutcome({"rows": rows, "verdict": seen.verdict, "notes": list(seen.notes), "s": seen.seconds})


def foretells(case: Case, found: SectionFound) -> None:
    """Each arm's probability of beating no KD, and its expected gain: nothing is trained for it."""
    seen = _forecast(case)
    for row in seen.table.to_dict("records"):
        arm, n = str(row["arm"]), len(case.data.positions("train"))
        found.number(arm, GAIN, Interval(row["gain"], row["low"], row["high"], n), role=ROLE)
        found.number(arm, CHANCE, Interval(100 * row["probability"], nan, nan, 1), role=ROLE)
    shown = [
        f"{ARMS[arm].label}: {found.get(arm, CHANCE, ROLE).mean:.0f} % (expected "
        f"{found.get(arm, GAIN, ROLE).show(signed=True, digits=1)} points, 80 % interval)"
        for arm in seen.table["arm"]
    ]
    found.says.append(f"The probability that a student beats no KD, by the atlas: {listed(shown)}.")
    found.says += [seen.verdict, *seen.notes]
    found.figures.append(seen.plot())


def _forecast(case: Case) -> Forecast:
    source = case.experiment.teachers["other"]
    task = ForecastTask(case.data, case.student, case.teacher, None if source.trains else source.value)
    who = {"student": case.student, "teacher": case.teacher, "atlas": learned(CROSSMODAL).record}
    asked = None if source.trains else source.describe()
    made = key(role="forecast", data=case.data.fingerprint, told=asked, **who)
    (result,) = case.desk.run([Job(made, foretell, task, "forecast")])
    told = result.metrics
    return Forecast(
        pd.DataFrame(told["rows"]), pd.DataFrame(), told["verdict"], tuple(told["notes"]), told["s"]
    )
