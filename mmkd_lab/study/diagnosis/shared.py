"""What the two modalities share, by every method that applies, and why the methods differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.question import one_label
from mmkd_lab.experiments.jobs import Job, JobOutcome
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.store import ResultStore, key
from mmkd_lab.shares.estimators import ESTIMATORS
from mmkd_lab.shares.sides import ENOUGH
from mmkd_lab.study.diagnosis.case import Case
from mmkd_lab.study.diagnosis.finding import SectionFound, listed
from mmkd_lab.study.sharing import modality_shares, shares_of

#: Samples that the methods look at, at most.
MOST = 2000
ROLE = "share"
#: What each method asks: why numbers of one name differ.
ASKS = {
    "canonical": "how much of what explains the label lies in directions that both inputs have",
    "commonality": "how much of the label's variance either input explains alone",
    "count": "how many of the columns that decide the label the other input predicts, each counted alike",
    "performance": "how far the accuracies overlap, even where different features earn them",
    "information": "how many bits of the label both answers tell, without what only probabilities tell",
}


@dataclass(frozen=True, eq=False)
class SharesTask:
    """Estimate shares: of what, of which samples, looking at which layer, networks from which store."""

    data: PairedData
    pair: tuple[str, str]
    split: str
    layer: Literal["input", "features"]
    store: Path


def shares(case: Case, found: SectionFound) -> None:
    """The modality Venn diagram, as `study.modality_shares` has it."""
    task = _task(case)
    told = {"pair": list(task.pair), "split": task.split, "layer": task.layer, "most": MOST}
    made = key(role="diagnosis, shares", data=task.data.fingerprint, **told)
    (result,) = case.desk.run([Job(made, estimate, task, "what modalities share")])
    named: dict[str, Any] = dict(result.metrics["study"])
    study = Study(**{**named, "table": pd.DataFrame(named["table"])})
    found.split, n = task.split, int(study.provenance["samples"])
    for method in dict.fromkeys(study.table["arm"]):
        for quantity, value in shares_of(study.table, str(method)).items():
            found.number(str(method), quantity, replace(value, n=n), role=ROLE)
    if not case.single:
        found.says.append(f"One question stands for several labels here: {' or '.join(task.data.classes)}.")
    found.says += _says(found, task, study)
    found.figures.append(study.plot())


def _task(case: Case) -> SharesTask:
    data, pair = one_label(case.data), (case.teacher, case.student)
    floats = all(data.modalities[name].is_floating_point() for name in pair)
    large = len(data.positions(case.split)) >= ENOUGH or not floats
    split = case.split if large else "train"
    return SharesTask(data, pair, split, "input" if floats else "features", case.desk.store.root)


def estimate(task: SharesTask) -> JobOutcome:
    """The study of shares as plain values."""
    data, rows = task.data, task.data.positions(task.split)
    if task.layer == "input" and len(rows) > MOST:
        draw = np.random.default_rng(derive(0, "diagnose", "shares"))
        kept = rows[np.sort(draw.permutation(len(rows))[:MOST])]
        others = [where for name, where in data.splits.items() if name != task.split]
        data = data.select(torch.cat([kept, *others]))
    study = modality_shares(
        data, modalities=task.pair, layer=task.layer, split=task.split, store=ResultStore(task.store)
    )
    named = {name: getattr(study, name) for name in ("name", "title", "verdict", "kind")}
    told = {"options": dict(study.options), "provenance": dict(study.provenance)}
    return JobOutcome({"study": {**named, **told, "table": study.table.to_dict("list")}})


def _says(found: SectionFound, task: SharesTask, study: Study) -> list[str]:
    gammas = {
        str(method): found.get(str(method), "gamma_union", ROLE)
        for method in dict.fromkeys(study.table["arm"])
        if found.has(str(method), "gamma_union", ROLE)
    }
    a, b = task.pair
    if not gammas:
        return [f"No method finds anything in {a} or {b} by itself. {study.verdict}"]
    shown = listed([f"{value.show()} by {ESTIMATORS[name].label}" for name, value in gammas.items()])
    said = [f"Of what {a} or {b} tells of the label, both carry γ = {shown}, on {task.split} samples."]
    low, high = (pick(gammas, key=lambda name: gammas[name].mean) for pick in (min, max))
    if low != high:
        said.append(
            f"They differ since they ask different questions. {_called(high)}: "
            f"{ASKS.get(high, 'its own')}. {_called(low)}: {ASKS.get(low, 'its own')}."
        )
    if found.has("canonical", "alpha", ROLE):
        alpha = found.get("canonical", "alpha", ROLE)
        said.append(f"{a} alone carries α = {alpha.show()}: no loss makes a {b} student see it.")
    return said


def _called(method: str) -> str:
    label = ESTIMATORS[method].label
    return label[0].upper() + label[1:]
