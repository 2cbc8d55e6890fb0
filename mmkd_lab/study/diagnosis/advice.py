"""What to do: sentences ranked by what they are worth, each with its number and the call that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from mmkd_lab.core.stats import Interval
from mmkd_lab.study.diagnosis import agree, curve, forecasts, looks, shared, tells
from mmkd_lab.study.diagnosis.case import Case, names_of
from mmkd_lab.study.diagnosis.finding import SectionFound

COLUMNS = ["rank", "sentence", "number", "call"]
#: Points off from which a teacher's confidence is worth a thought, and channels below 0 (percent).
_OFF, _SPECIFIC = 5.0, 20.0
Found = Mapping[str, SectionFound]


@dataclass(frozen=True)
class Advice:
    """One thing to do. `shown` are the points that it is shown to be worth, or to cost; 0 where none are."""

    sentence: str
    number: str
    call: str
    shown: float = 0.0


def advise(case: Case, found: Found) -> pd.DataFrame:
    """rank, sentence, number, call: shown effects, the largest first; then, in the order of the rules below,
    what is worth a try."""
    known = {name: one for name, one in found.items() if not one.left_out}
    every = [advice for rule in _RULES for advice in rule(case, known)]
    every.sort(key=lambda one: -one.shown)
    rows = [(i, one.sentence, one.number, one.call) for i, one in enumerate(every, 1)]
    rows += [(len(rows) + 1, *_left(case, found))] if any(one.short for one in found.values()) else []
    return pd.DataFrame(rows, columns=COLUMNS)


def _of(gain: Interval, sentence: str, call: str) -> Advice:
    return Advice(sentence, gain.show(signed=True, digits=1), call, abs(gain.mean) if gain.side else 0.0)


def _trained(case: Case, found: Found) -> Iterator[Advice]:
    """Of arms that were trained nothing is forecast: who was shown to beat no KD."""
    study = found["arms"].studies.get("failure_cases") if "arms" in found else None
    if study is None or "no_kd" not in set(study.table["arm"]):
        return
    for row in study.differences(against=("no_kd",)).to_dict("records"):
        gain = Interval(row["mean"], row["low"], row["high"], row["n"])
        if gain.side:
            verb = {1: "Use", -1: "Do not use"}[gain.side]
            shown = gain.show(signed=True, digits=1)
            said = f"{verb} {row['arm']}: its trained student is {shown} points from no KD's on test."
            yield _of(gain, said, case.call("failure_cases", f'arms=["no_kd", "{row["arm"]}"]'))


def _distil(case: Case, found: Found) -> Iterator[Advice]:
    if "curve" not in found:
        return
    one = found["curve"]
    this, every = curve.gain(one, curve.THIS), curve.gain(one, curve.EVERY)
    a, b, shown = case.teacher, case.student, this.show(signed=True, digits=1)
    tried = f"({shown} points{_chance(found)}): try before you rely on it."
    said = {
        1: f"Distil the {a} teacher into the {b} student: pilots gain {shown} points over no KD.",
        -1: f"Do not distil the {a} teacher as it is: pilots lose by it, {shown} points from no KD.",
        0: f"A gain from the {a} teacher is not shown in pilots {tried}",
    }
    yield _of(this, said[this.side], case.call("failure_cases", 'arms=["no_kd", "cm_kd"]'))
    if every.side > 0 and every.mean > this.mean:
        shown = every.show(signed=True, digits=1)
        text = f"Let the teacher see all modalities: pilots gain {shown} points over no KD."
        yield _of(every, text, case.call("failure_cases", 'arms=["no_kd", "cm_kd", "mm_kd"]'))


def _chance(found: Found) -> str:
    one = found.get("forecast")
    if one is None or not one.has(forecasts.CROSSMODAL, forecasts.CHANCE, forecasts.ROLE):
        return ""
    chance = one.get(forecasts.CROSSMODAL, forecasts.CHANCE, forecasts.ROLE).mean
    return f"; its probability is {chance:.0f} % by the atlas"


def _labels(case: Case, found: Found) -> Iterator[Advice]:
    if "curve" not in found:
        return
    twice = curve.gain(found["curve"], curve.TWICE)
    if twice.side > 0:
        shown = twice.show(signed=True, digits=1)
        text = f"Label more {case.student}: the last doubling brought pilots {shown} points."
        yield _of(twice, text, case.call("diagnose") + "  # with more samples")


def _both(case: Case, found: Found) -> Iterator[Advice]:
    """What only the teacher's modality carries, no student of the other can learn."""
    one = found.get("shares")
    if one is None or not one.has("canonical", "alpha", shared.ROLE):
        return
    alpha, gamma = (one.get("canonical", name, shared.ROLE) for name in ("alpha", "gamma_union"))
    if alpha.mean > gamma.mean and alpha.low > 0:
        text = (
            f"Give the student {case.teacher} too, if you can: it alone carries {alpha.show()} of what "
            f"decides, both share {gamma.show()}, and no loss makes {case.student} show the rest."
        )
        yield Advice(text, alpha.show(), case.call("kd_vs_msd", 'arms=["no_kd", "kd"]', pair=False))


def _repair(case: Case, found: Found) -> Iterator[Advice]:
    one = found.get("looks")
    if one is None or not one.has("channels below 0", "share, %", looks.CHANNELS):
        return
    below = one.get("channels below 0", "share, %", looks.CHANNELS)
    if below.mean >= _SPECIFIC:
        text = (
            f"Try the teacher without the channels that only it needs: {below.show(digits=0)} % of them are "
            f"below 0 by Algorithm 1."
        )
        call = case.call("repair_teachers")
        if not case.experiment.teachers["other"].trains:  # a network with weights: its copy is repaired
            layer = case.experiment.config.layer
            more = "" if layer is None else f", layer={layer!r}"
            first = f"found.pairs[{case.experiment.seeds[0]}].nets()"
            call = f"attribution.repair(*{first}, {case.calls['data']}, ratio=0.5{more})"
        yield Advice(text, below.show(digits=0), call)


def _calibrate(case: Case, found: Found) -> Iterator[Advice]:
    if "agree" not in found:
        return
    off = found["agree"].get("teacher", "ece", agree.CALIBRATION)
    if off.mean >= _OFF:
        text = (
            f"Soften the teacher, whose confidence is off by {off.show(digits=1)} points: compare "
            f"temperatures, by validation data."
        )
        temperature = 2 * case.experiment.config.temperature
        yield Advice(text, off.show(digits=1), case.call("failure_cases", f"temperature={temperature:g}"))


def _missing(case: Case, found: Found) -> Iterator[Advice]:
    """What a network of all modalities loses when the one that it leans on is gone."""
    if "tells" not in found:
        return
    one, every = found["tells"], tuple(sorted(case.data.modalities))
    full = one.get(names_of(every), case.metric, tells.SEES_ALL)
    least = min(every, key=lambda name: one.get(name, case.metric, tells.MISSING).mean)
    if least not in (case.teacher, case.student):
        return  # no network of it alone was trained
    left, alone = one.get(least, case.metric, tells.MISSING), one.get(least, case.metric, "network")
    if left.high < alone.low:
        text = (
            f"Where modalities may be missing, train for it: with {least} alone a network of all keeps "
            f"{left.show(digits=1)} %, not {full.show(digits=1)}; one of {least} {alone.show(digits=1)}."
        )
        call = case.call("kd_vs_msd", 'arms=["no_kd", "kd", "msd_uniform", "kd_drop"]', pair=False)
        yield Advice(text, left.show(digits=1), call)


_RULES: tuple[Callable[[Case, Found], Iterator[Advice]], ...] = (
    _trained, _distil, _labels, _both, _repair, _calibrate, _missing,
)  # fmt: skip


def _left(case: Case, found: Found) -> tuple[str, str, str]:
    names = [one.title.lower() for one in found.values() if one.short]
    text = f"Give it more time: {len(names)} of {len(found)} sections are left out ({'; '.join(names)})."
    return text, f"{len(names)} of {len(found)}", case.call("diagnose", "budget=None")
