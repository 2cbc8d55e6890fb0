"""What a step of MSD costs beside the KD step of the same student, with and without learned weights.

    python benchmarks/msd.py                   every case on this machine (some minutes)
    python benchmarks/msd.py lenet --turns 2   one case, a quick look; the others' rows are kept

"views one by one" runs every view as rows of a larger batch through the whole network; "msd" lets the views
share the encoders' work where the network and the removal allow it, with equal results. Learned weights are
updated in every step, or in every fifth, which is the default. One student with two modalities, batches of
64, one thread. The result goes to benchmarks/results/msd.json.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from steps import TASK, kd, per_step, toy

from mmkd_lab.distill import Distillation, LearnedWeights, Msd, TeacherOutputs, msd_views
from mmkd_lab.models import NetSpec, Zeros
from mmkd_lab.training import Recipe, Replicas, batch, fit, teacher_outputs, threads

RESULTS = Path(__file__).parent / "results" / "msd.json"
#: Student, teacher, shape of a sample in either modality. The larger ones are bound by arithmetic.
CASES = {
    "mlp": (NetSpec("mlp", width=8), NetSpec("mlp", width=32), (64,)),
    "large mlp": (NetSpec("mlp", width=64, features=128), NetSpec("mlp", width=64), (784,)),
    "small lenet": (NetSpec("lenet", width=4), NetSpec("lenet", width=16), (1, 8, 8)),
    "lenet": (NetSpec("lenet", width=16), NetSpec("lenet", width=32), (1, 28, 28)),
    "mid lenet": (NetSpec("lenet", width=16, fusion="mid"), NetSpec("lenet", width=32), (1, 28, 28)),
    "transformer": (NetSpec.single_stream("student"), NetSpec.single_stream("teacher"), (1, 28, 28)),
}
ONE_BY_ONE = "views one by one"


def msd(learned: LearnedWeights | None = None) -> Distillation:
    """KD and MSD's terms for modalities a and b."""
    views = msd_views(("a", "b"))
    term = Msd(views, temperature=4.0, task=TASK, weighting=learned)
    return Distillation((*kd().terms, (1.0, term)), removal=Zeros())


def losses() -> dict[str, Distillation]:
    """What is compared."""
    found = {"kd": kd(), "msd": msd(), ONE_BY_ONE: msd()}
    for level in ("global", "instance"):
        for every in (1, 5):
            found[f"learned {level}, every {every}"] = msd(LearnedWeights(level, every=every))
    return found


def measure(case: str, *, device: torch.device, turns: int) -> dict[str, object]:
    """Milliseconds of a step by loss, and ratios to the step of KD."""
    student, teacher, shape = CASES[case]
    data = toy({"a": shape, "b": shape})
    nets = [Replicas.build(spec, data, seeds=[0], device=device) for spec in (student, teacher)]
    said = teacher_outputs(nets[1], data, views=msd_views(("a", "b")), removal=Zeros())
    known = losses()
    fits = {
        name: (lambda steps, name=name: trained(nets[0], said, data, name, known[name], steps))
        for name in known
    }
    found = per_step(fits, device=device, steps=(5, 25), turns=turns)
    return {
        "case": case,
        "device": device.type,
        "ms": {name: round(1000 * seconds, 3) for name, seconds in found.items()},
        "steps of kd": {name: round(seconds / found["kd"], 2) for name, seconds in found.items()},
    }


def trained(
    students: Replicas, said: TeacherOutputs, data: object, name: str, loss: Distillation, steps: int
) -> object:
    """One fit."""
    recipe = Recipe(steps=steps, batch_size=64, select="last", validate_every=steps)
    with one_by_one(name == ONE_BY_ONE):
        return fit(students, data, loss, recipe, teacher=said, progress=False)  # type: ignore[arg-type]


@contextmanager
def one_by_one(wanted: bool) -> Iterator[None]:
    """Within the block views share nothing inside a network."""
    before = batch.can_share
    if wanted:
        batch.can_share = lambda *_: False
    try:
        yield
    finally:
        batch.can_share = before


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", default=list(CASES), help=f"any of {', '.join(CASES)}")
    parser.add_argument("--turns", type=int, default=5, help="turns of each loss; the quickest counts")
    asked = parser.parse_args()
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": []}
    rows = [row for row in before["rows"] if row["case"] not in asked.cases]
    with threads(1):
        for name in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
            for case in asked.cases:
                rows.append(measure(case, device=torch.device(name), turns=asked.turns))
                print(json.dumps(rows[-1]), flush=True)
    report = {"machine": f"{platform.machine()}, 1 thread", "torch": torch.__version__, "rows": rows}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
