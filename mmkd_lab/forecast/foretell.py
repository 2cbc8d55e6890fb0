"""A forecast of distillation for one pair: before any student is trained to the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from mmkd_lab.core.check import flat, one_of, require, whole
from mmkd_lab.data.paired import PairedData
from mmkd_lab.experiments.profiles import PROFILES
from mmkd_lab.experiments.report import load_data
from mmkd_lab.forecast.evidence import Known, SplitLogits, evidence
from mmkd_lab.forecast.measure import SEES
from mmkd_lab.forecast.model import LEVEL
from mmkd_lab.forecast.pair import SeenPair, pair_of, sides_of
from mmkd_lab.forecast.records import ArmForecaster, learned
from mmkd_lab.plotting.palette import style_of
from mmkd_lab.training import teacher_outputs
from mmkd_lab.training.device import threads
from mmkd_lab.training.sources import Source, source_of

if TYPE_CHECKING:
    from mmkd_lab.plotting import LabFigure


@dataclass(frozen=True, eq=False)
class Forecast:
    """What is to be expected of distillation for one pair.

    Attributes:
        table: a row an arm: arm, probability (that its student beats the one without KD), gain (points of
            test accuracy expected), low and high (its interval at 80 %, from what forecasts of data sets that
            were left out missed by), outside (whether nothing like this pair is in the atlas).
        evidence: one row, the numbers of the first arm's pair; `forecast.EVIDENCE` says what each is.
        verdict: one sentence, with how often such forecasts were right.
        notes: what must be said of the samples looked at and of the teacher.
        seconds: what it took.
    """

    table: pd.DataFrame
    evidence: pd.DataFrame
    verdict: str
    notes: tuple[str, ...]
    seconds: float

    def plot(self) -> LabFigure:
        """Every arm's expected gain with its interval, and its probability, beside zero."""
        from mmkd_lab.forecast.figures import forecast_figure

        return forecast_figure(self.table, self.verdict)

    def __repr__(self) -> str:
        return f"{self.verdict}\n{self.table.round(2).to_string(index=False)}"


@threads(1)
def forecast(
    data: str | PairedData,
    *,
    student: str,
    teacher: str | None = None,
    arms: Sequence[str] | None = None,
    teacher_model: object = None,
    seed: int = 0,
) -> Forecast:
    """Say of each arm, before training, how likely its student beats the one without KD, and by how much.

    Cheap evidence (ridge pilots, shares, rivals, sizes; see `forecast.EVIDENCE`) is weighed as the atlas
    teaches, whose students are small networks, KD weight 0.5, T = 4: others may fare otherwise. Only training
    and validation samples are looked at, at most 2,000 and 1,000 of them and 256 principal components of a
    modality, which takes seconds.

    Args:
        data: a name for `data.load`, or your own paired data, with one label a sample.
        student: the modality the student sees.
        teacher: the modality the crossmodal teacher sees; may be left out when there are only two.
        arms: of cm_kd, um_kd and mm_kd; all of them by default.
        teacher_model: a trained module or a table of outputs, which stands for the crossmodal teacher in the
            place of logistic regression on its modality; a description or function has learnt nothing yet,
            and is left aside with a note.
        seed: of samples, subsets and folds.

    Raises:
        LabError: an unknown dataset, modality or arm; a task other than one label a sample; a class with
            fewer than two training samples; a teacher that does not fit, or has not answered a sample.
    """
    started = time.perf_counter()
    whole("seed", seed, at_least=0)
    names, paired = _arms(arms), load_data(data, PROFILES["quick"])
    other, student = sides_of(paired, student, teacher)
    source = None
    if teacher_model is not None:
        source = source_of(teacher_model, argument="teacher_model", data=paired, modalities=(other,))
    table = source.outputs if source is not None and source.kind == "table" else None
    answered = table.index.cpu() if table is not None and table.partial else None
    pair, kept = pair_of(paired, other, student, seed=seed, answered=answered), Known()
    told, notes = _told(source, paired, pair)
    rows, first = [], pd.DataFrame()
    for arm in names:
        said = told if SEES[arm] == "other" else None
        found = evidence(pair.seen_by(SEES[arm]), teacher=said, seed=seed, known=kept)
        first = pd.DataFrame([found]) if first.empty else first
        rows.append(_row(arm, learned(arm), pd.DataFrame([found])))
        notes += _torn(rows[-1])
        if learned(arm).record["brier"] >= learned(arm).record["base"]:
            notes.append(
                f"Forecasts of {style_of(arm)[0]} did no better than the base rate on sets left out."
            )
    verdict = _verdict(rows[0], learned(names[0]).record, f"{paired.name}, {other} → {student}")
    seconds = round(time.perf_counter() - started, 2)
    return Forecast(pd.DataFrame(rows), first, verdict, (*pair.notes, *notes), seconds)


def _arms(arms: Sequence[str] | None) -> list[str]:
    names = [str(one) for one in flat("arms", list(SEES) if arms is None else arms, "a list of arms")]
    rule = "must name at least one arm, and none twice"
    require(0 < len(names) == len(set(names)), "arms", names, rule)
    for one in names:
        one_of("arm", one, list(SEES))
    return names


def _told(source: Source | None, data: PairedData, pair: SeenPair) -> tuple[SplitLogits | None, list[str]]:
    """What a given teacher says of the samples that are looked at, and what must be said of it."""
    if source is None:
        return None, []
    if source.trains:
        return None, ["The teacher is not trained yet: logistic regression stands for it."]
    if source.kind == "table":
        said = source.outputs
    else:
        some = data.select(torch.as_tensor(np.sort(np.concatenate([pair.rows, pair.rows_val]))))
        said = teacher_outputs(source.replicas([0], device="cpu"), some)
    index = [data.sample_index[torch.as_tensor(rows)].cpu() for rows in (pair.rows, pair.rows_val)]
    return SplitLogits(*(said.rows(one).logits[0].double().cpu().numpy() for one in index)), []


def _row(arm: str, taught: ArmForecaster, numbers: pd.DataFrame) -> dict[str, object]:
    gain = float(taught.model.gain(numbers)[0])
    below, above = taught.model.spread
    return {
        "arm": arm,
        "probability": float(taught.model.probability(numbers)[0]),
        "gain": gain,
        "low": gain + min(below, 0.0),
        "high": gain + max(above, 0.0),
        "outside": taught.unlike(numbers),
    }


def _torn(row: Mapping[str, object]) -> list[str]:
    """A sentence where the two models of an arm say opposite things."""
    if (float(str(row["probability"])) > 0.5) == (float(str(row["gain"])) > 0):
        return []
    return [
        f"Of {style_of(str(row['arm']))[0]} the probability and the expected gain, which are two models, "
        "point to different sides: take neither for known."
    ]


def _verdict(row: dict[str, object], record: dict[str, float], where: str) -> str:
    gain, low, high = (f"{row[name]:+.1f}".replace("-", "−") for name in ("gain", "low", "high"))
    shown = int(record["shown"])
    far = "nothing like this pair is in the atlas, so that this is little more than a guess; "
    label = style_of(str(row["arm"]))[0]
    right = f"{record['right'] * shown:.0f} of {shown}"
    return (
        f"{where}: {label} beats no KD with probability {row['probability']:.2f}, by {gain} points "
        f"[{low}, {high}] at {LEVEL:.0%}; {far if row['outside'] else ''}of pairs whose data set was left "
        f"out, such forecasts were right in {right} whose sign is shown (Brier score {record['brier']:.2f} "
        f"over all {int(record['n'])}; the base rate's is {record['base']:.2f})."
    )
