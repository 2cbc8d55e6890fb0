"""Whether more labels or a better teacher would help more: a learning curve of pilot students."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.core.stats import Interval
from mmkd_lab.experiments.plain import columns
from mmkd_lab.forecast.pilots import Ridge
from mmkd_lab.plotting import LabFigure, Panel, Row, interval_figure
from mmkd_lab.plotting.palette import INK
from mmkd_lab.shares.samples import Codes, Floats
from mmkd_lab.study.diagnosis import pilots
from mmkd_lab.study.diagnosis.case import Case
from mmkd_lab.study.diagnosis.finding import SectionFound, apart, softened

#: Parts of the training samples, each twice the one before; how often a part is drawn, at most and at least,
#: and the samples of all its draws from which fewer do: the larger a part, the less one differs from another.
PARTS, DRAWS, DRAWN = (0.125, 0.25, 0.5, 1.0), (8, 2), 8000
LABELS, THIS, EVERY = "labels alone", "this teacher", "a teacher of all modalities"
TWICE, LEAD = "twice the samples", "twice the samples minus this teacher"
PILOT, WORTH = "pilot of", "gain of"


def learns(case: Case, found: SectionFound) -> None:
    """Ridge students on part of the samples and on all, from labels and from teachers beside them."""
    data, train = case.data, case.data.positions("train").cpu().numpy()
    if len(train) > pilots.MOST:
        train = pilots.drawn(data, train, pilots.MOST / len(train), 0)
    x, truth = pilots.narrow(columns(data, (case.student,))), pilots.one_hot(data)
    held = data.positions(case.split).cpu().numpy()
    soft = _soft(case)
    right: dict[tuple[float, str], Tensor] = {}
    for part in PARTS:
        many = 1 if part == 1 else max(DRAWS[1], min(DRAWS[0], round(DRAWN / (part * len(train)))))
        draws = [train] if part == 1 else [pilots.drawn(data, train, part, seed) for seed in range(many)]
        for name, value in _right(x, truth, soft, draws, held, case).items():
            right[part, name] = value
            count = len(draws[0])
            found.number(
                name, case.pilot_metric, apart(100 * value, data, case.split), role=f"{PILOT} {count}"
            )
    sizes = {part: len(pilots.drawn(data, train, part, 0)) for part in PARTS}
    for part, count in sizes.items():
        for name in (THIS, EVERY):
            gain = apart(100 * (right[part, name] - right[part, LABELS]), data, case.split)
            found.number(name, "gain", gain, role=f"{WORTH} {count}")
    twice, this = right[1.0, LABELS] - right[0.5, LABELS], right[1.0, THIS] - right[1.0, LABELS]
    for name, value in ((TWICE, twice), (LEAD, twice - this)):
        found.number(name, "gain", apart(100 * value, data, case.split), role=f"{WORTH} {len(train)}")
    found.says += _says(case, found, len(train))
    found.figures.append(_figure(case, found))


def _soft(case: Case) -> dict[str, list[Floats]]:
    """{teacher: what each of its seeds says of every sample, softened}; zeros where it was not asked."""
    _, every = case.everything()
    index, temperature = case.data.sample_index.cpu(), case.experiment.config.temperature
    found = {}
    for name, outputs in ((THIS, case.teachers()), (EVERY, every)):
        said = []
        for one in outputs.values():
            asked = torch.isin(index, one.index.cpu())
            soft = torch.zeros(len(index), case.data.num_classes, dtype=torch.float64)
            logits = one.rows(index[asked]).logits[0].cpu()
            soft[asked] = softened(logits, case.data.task, temperature)
            said.append(np.asarray(soft.numpy()))
        found[name] = said
    return found


def _right(
    x: Floats, truth: Floats, soft: dict[str, list[Floats]], draws: list[Codes], held: Codes, case: Case
) -> dict[str, Tensor]:
    """{what it learned from: (N,) how often it is right of each held sample}, meaned over draws and seeds."""
    weight, total = case.experiment.config.kd_weight, dict[str, Tensor]()
    for rows in draws:
        labels = truth[rows]
        targets = {(LABELS, 0): labels} | {
            (name, i): pilots.told(labels, one[rows], weight)
            for name, several in soft.items()
            for i, one in enumerate(several)
        }
        ridge = Ridge.on(x[rows])
        for (name, _), target in targets.items():
            answers = ridge.answers(target, x[held], ridge.best(target, labels))
            count = len(draws) * (len(soft[name]) if name in soft else 1)
            hit = _hits(torch.from_numpy(answers), case) / count
            total[name] = total[name] + hit if name in total else hit
    return total


def _hits(answers: Tensor, case: Case) -> Tensor:
    """(N,): 1 where the answer is right; of several labels, the share that is."""
    if case.single:
        return (answers.argmax(1) == case.target()).double()
    return ((answers > 0.5) == (case.target() > 0.5)).double().mean(1)


def _says(case: Case, found: SectionFound, n: int) -> list[str]:
    this, every, twice, lead = (found.get(one, "gain", f"{WORTH} {n}") for one in (THIS, EVERY, TWICE, LEAD))
    whole = found.get(LABELS, case.pilot_metric, f"{PILOT} {n}")
    said = [
        f"Pilot students (ridge regression on {case.student}, in closed form) reach {whole.show(digits=1)} % "
        f"from {n:,} labels. The last doubling of the samples brought "
        f"{twice.show(signed=True, digits=1)} points; the next one is not seen from here, and where a curve "
        f"flattens it brings less.",
        f"Beside all labels, this teacher brings {this.show(signed=True, digits=1)} points and one that sees "
        f"all modalities {every.show(signed=True, digits=1)}.",
    ]
    words = {
        1: "More labels are worth more than this teacher",
        -1: "This teacher is worth more than the last doubling of the labels",
        0: "Whether labels or this teacher are worth more is not shown",
    }
    return [*said, f"{words[lead.side]} (difference {lead.show(signed=True, digits=1)} points)."]


def _figure(case: Case, found: SectionFound) -> LabFigure:
    counts = list(dict.fromkeys(str(row["role"]).rpartition(" ")[2] for row in found.rows))
    rows = [Row(n, f"{int(n):,} samples", INK) for n in counts]
    scores = {n: found.drawn(LABELS, case.pilot_metric, f"{PILOT} {n}") for n in counts}
    panels = [Panel("Labels alone", f"% right of {case.split}", scores, digits=1)]
    for name in (THIS, EVERY):
        gains = {n: found.drawn(name, "gain", f"{WORTH} {n}") for n in counts}
        look: Any = {"line": 0.0, "signed": True, "digits": 1, "scale": "gain", "sides": ("worse", "better")}
        panels.append(
            Panel(f"{name[0].upper()}{name[1:]}\nbeside labels", "points", gains, least=1.0, **look)
        )
    title = f"{case.data.name}: pilot students of {case.student}, by samples and by teacher"
    note = (
        f"Ridge regression in closed form. Lines: 95 % intervals over {case.split} samples; parts of the "
        f"training samples are drawn {DRAWS[1]} to {DRAWS[0]} times."
    )
    return interval_figure(rows, panels, title=title, note=note)


def gain(found: SectionFound, name: str) -> Interval:
    """What something is worth to pilots on all training samples."""
    last = max((str(row["role"]) for row in found.rows if row["arm"] == TWICE), key=len)
    return found.get(name, "gain", last)
