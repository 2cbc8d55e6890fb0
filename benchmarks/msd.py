"""What a step of MSD costs beside the KD step of the same student, with and without learned weights.

    python benchmarks/msd.py                   every case on this machine (some minutes)
    python benchmarks/msd.py --turns 2         a quick look
    python benchmarks/msd.py --cases lenet     some cases only; the others' rows are kept

Each number is the time of one step inside `train.fit` of one student with two modalities: the difference of a
long and a short run, so that set-up cancels. All losses take turns in one process on one thread, and the
quickest of several turns counts, since the machine may be busy with other work. On the CPU it is CPU time,
otherwise the wall clock. Read the ratios rather than the milliseconds.

"views one by one" runs every view as rows of a larger batch through the whole network; "msd" lets the views
share the encoders' work where the network and the removal allow it, with equal results. "teacher on the
spot" asks the teacher for its three outputs in every step instead of looking them up. Learned weights are
updated in every step, or in every fifth, which is the default. The result goes to
benchmarks/results/msd.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import Distillation, LearnedWeights, Msd, Objective, TeacherViews, msd_views
from mmkd_lab.models import NetSpec, Zeros
from mmkd_lab.training import Recipe, Replicas, cache_views, fit, outputs, threads

RESULTS = Path(__file__).parent / "results" / "msd.json"
SAMPLES, BATCH, SHORT, LONG = 640, 64, 5, 25
#: name -> (students, teacher, shape of a sample in either modality). The larger ones are bound by arithmetic.
CASES = {
    "mlp": (NetSpec("mlp", width=8), NetSpec("mlp", width=32), (64,)),
    "large mlp": (NetSpec("mlp", width=64, features=128), NetSpec("mlp", width=64), (784,)),
    "small lenet": (NetSpec("lenet", width=4), NetSpec("lenet", width=16), (1, 8, 8)),
    "lenet": (NetSpec("lenet", width=16), NetSpec("lenet", width=32), (1, 28, 28)),
    "mid lenet": (NetSpec("lenet", width=16, fusion="mid"), NetSpec("lenet", width=32), (1, 28, 28)),
    "transformer": (
        NetSpec(features=32, depth=2, heads=2, fusion="single_stream"),
        NetSpec(features=64, depth=4, heads=4, fusion="single_stream"),
        (1, 28, 28),
    ),
}
LEARNED = {
    f"{level}, {name}": LearnedWeights(level, every=every)
    for level in ("global", "instance")
    for name, every in (("every step", 1), ("every 5 steps", 5))
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5, help="turns of each loss; the quickest counts")
    parser.add_argument(
        "--cases", nargs="+", default=list(CASES), choices=list(CASES), help="what to measure"
    )
    options = parser.parse_args()
    rows = [row for row in kept() if row["case"] not in options.cases]
    for row in measure(options.cases, options.turns):
        rows.append(row)
        write(rows)


def write(rows: list[dict[str, object]]) -> None:
    """The rows so far: an interrupted run leaves what it has measured."""
    report = {
        "script": "benchmarks/msd.py",
        "machine": f"{platform.machine()}, 1 thread",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none: awaits a GPU",
        "torch": torch.__version__,
        "batch size": BATCH,
        "unit": "ms of one step; ratios to the step that is named",
        "rows": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


def kept() -> list[dict[str, object]]:
    """The rows of an earlier run on this torch."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"torch": None, "rows": []}
    return found["rows"] if found["torch"] == torch.__version__ else []


def measure(cases: list[str], turns: int) -> Iterator[dict[str, object]]:
    """One row per case and device."""
    for name in cases:
        student, teacher, shape = CASES[name]
        data = toy(shape)
        for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
            with threads(1):
                found = compare(student, teacher, data, device=device, turns=turns)
            msd = found["msd"]
            ratios = {
                "msd / kd": msd / found["kd"],
                "views one by one / kd": found["views one by one"] / found["kd"],
                "teacher on the spot / msd": found["teacher on the spot"] / msd,
                **{f"learned {name} / msd": found[f"learned {name}"] / msd for name in LEARNED},
            }
            row: dict[str, object] = {"case": name, "device": device, "load": round(os.getloadavg()[0], 1)}
            row["ms"] = {key: round(value, 3) for key, value in found.items()}
            row["ratios"] = {key: round(value, 2) for key, value in ratios.items()}
            print(json.dumps(row), flush=True)
            yield row


def compare(
    student: NetSpec, teacher: NetSpec, data: PairedData, *, device: str, turns: int
) -> dict[str, float]:
    """{loss: ms of one step}; the losses take turns."""
    views, removal = msd_views(data.modalities), Zeros()
    students = Replicas.build(student, data, seeds=[0], device=device)
    teachers = Replicas.build(teacher, data, seeds=[0], device=device)
    cached = cache_views(teachers, data, views=views, removal=removal)
    base = Objective(ce=0.5, kd=0.5, temperature=4.0)
    msd = Distillation(base, ((1.0, Msd(views, temperature=4.0)),), removal)
    asked = OnTheSpot(msd, teachers, data)
    losses = {"kd": base, "msd": msd, "views one by one": msd, "teacher on the spot": asked}
    for name, how in LEARNED.items():
        losses[f"learned {name}"] = Distillation(base, msd.methods, removal, how)
    best = dict.fromkeys(losses, float("inf"))
    for turn in range(turns + 1):
        for name, loss in losses.items():
            with one_by_one(name == "views one by one"):
                short, long = (spent(students, data, loss, cached, steps) for steps in (SHORT, LONG))
            if turn > 0 and long > short:  # the first turn warms up
                best[name] = min(best[name], 1000 * (long - short) / (LONG - SHORT))
    return best


class OnTheSpot:
    """MSD whose teacher answers in every step: what caching saves. It answers about samples of its own, as
    many as the batch has, which costs the same."""

    def __init__(self, loss: Distillation, teachers: Replicas, data: PairedData) -> None:
        rows = data.positions("train")[:BATCH]
        self.x = {name: x.to(teachers.device) for name, x in data.batch(rows).items()}
        self.loss, self.teachers, self.views = loss, teachers, loss.needs.views

    def __call__(self, logits: Tensor) -> None:
        with torch.no_grad():
            self.teachers.forward(self.x, shared=True)
            for view in self.views:
                self.teachers.forward(Zeros().apply(self.x, view), shared=True)


def spent(
    students: Replicas,
    data: PairedData,
    loss: Objective | Distillation | OnTheSpot,
    teacher: TeacherViews,
    steps: int,
) -> float:
    """Seconds of one fit."""
    cuda = students.device.type == "cuda"
    clock = time.perf_counter if cuda else time.process_time
    recipe = Recipe(steps=steps, batch_size=BATCH, select="last")
    start = clock()
    if isinstance(loss, OnTheSpot):
        for _ in range(steps):
            loss(teacher.logits)
        loss = loss.loss
    fit(students, data, loss, recipe, teacher=teacher, progress=False)
    if cuda:
        torch.cuda.synchronize()
    return clock() - start


@contextmanager
def one_by_one(wanted: bool) -> Iterator[None]:
    """Within the block views share nothing inside a network."""
    before = outputs.can_share
    if wanted:
        outputs.can_share = lambda *_: False
    try:
        yield
    finally:
        outputs.can_share = before


def toy(shape: tuple[int, ...]) -> PairedData:
    """Ten classes, each a random direction in both modalities, plus noise."""
    generator = torch.Generator().manual_seed(0)
    n = SAMPLES + 2 * BATCH
    target, where = torch.arange(n) % 10, torch.arange(n)
    x = {}
    for name in ("a", "b"):
        centre = torch.randn(10, *shape, generator=generator)
        x[name] = centre[target] + torch.randn(n, *shape, generator=generator)
    ends = (SAMPLES, SAMPLES + BATCH)
    splits = {"train": where[: ends[0]], "meta": where[ends[0] : ends[1]], "val": where[ends[1] :]}
    return PairedData("toy", x, target, splits, tuple("0123456789"))


if __name__ == "__main__":
    main()
