"""Replicas stacked against looped: which is quicker, by kind of network and size.

    python benchmarks/replicas.py              every case on this machine (some minutes)
    python benchmarks/replicas.py --turns 1    a quick look

Each number is what `training.fit` spends on one step of one replica. Read the ratios rather than the
milliseconds. The result goes to benchmarks/results/replicas.json.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import torch
from steps import per_step, toy

from mmkd_lab.data.task import Task
from mmkd_lab.distill import labels_only
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe, Replicas, fit, threads

RESULTS = Path(__file__).parent / "results" / "replicas.json"
WORDS = 200
#: Kind of network, its width, the shape of a sample.
CASES: tuple[tuple[str, int, tuple[int, ...]], ...] = (
    ("linear", 8, (50,)),
    ("mlp", 8, (64,)),
    ("mlp", 32, (784,)),
    ("lenet", 4, (1, 8, 8)),
    ("lenet", 16, (1, 8, 8)),
    ("lenet", 4, (1, 28, 28)),
    ("lenet", 16, (1, 28, 28)),
    ("resnet", 8, (1, 8, 8)),
    ("resnet", 8, (1, 28, 28)),
    ("resnet", 16, (1, 28, 28)),
    ("bag", 8, (12,)),
    ("bag", 32, (12,)),
    ("transformer", 32, (1, 8, 8)),
    ("transformer", 32, (3, 24, 24)),
    ("transformer", 64, (3, 24, 24)),
)


def spec_of(kind: str, width: int) -> NetSpec:
    """A network of one modality "m"; a transformer's width is that of its tokens, and picks its size."""
    if kind == "transformer":
        return NetSpec.single_stream("student" if width == 32 else "teacher")
    return NetSpec(encoder=kind, width=width, vocabulary={"m": WORDS} if kind == "bag" else None)


def measure(
    kind: str,
    width: int,
    shape: tuple[int, ...],
    *,
    device: torch.device,
    replicas: int,
    turns: int,
    steps: tuple[int, int] = (10, 40),
) -> dict[str, object]:
    """Milliseconds of one step of one replica in both modes, and replica steps a second."""
    data = toy({"m": shape}, words=WORDS, text=("m",) if kind == "bag" else ())
    nets = Replicas.build(spec_of(kind, width), data, seeds=range(replicas), device=device)

    def trained(mode: str, steps: int) -> object:
        recipe = Recipe(steps=steps, select="last", validate_every=steps)
        return fit(nets, data, labels_only(Task.SINGLE_LABEL), recipe, mode=mode, progress=False)

    both = {mode: (lambda steps, mode=mode: trained(mode, steps)) for mode in ("looped", "stacked")}
    found = per_step(both, device=device, steps=steps, turns=turns)
    row: dict[str, object] = {"kind": kind, "width": width, "shape": list(shape), "replicas": replicas}
    for mode, seconds in found.items():
        row[f"{mode}, ms"] = round(1000 * seconds / replicas, 4)
        row[f"{mode}, replica steps a second"] = round(replicas / seconds)
    row["stacked / looped"] = round(found["stacked"] / found["looped"], 2)
    return row


def main() -> None:
    """Measure every case on the CPU, and on CUDA where it is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5, help="turns of each mode; the quickest counts")
    parser.add_argument("--replicas", type=int, default=10)
    asked, rows = parser.parse_args(), []
    with threads(1):
        for name in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
            for case in CASES:
                row = measure(*case, device=torch.device(name), replicas=asked.replicas, turns=asked.turns)
                rows.append({"device": name, **row})
                print(json.dumps(rows[-1]), flush=True)
    report = {"machine": f"{platform.machine()}, 1 thread", "torch": torch.__version__, "rows": rows}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
