"""Stacked, looped and compiled replicas: which is quicker, per architecture and device.

    python benchmarks/replicas.py                  every case on this machine (some minutes)
    python benchmarks/replicas.py --record         and write the choice into mmkd_lab/training/strategy.json
    python benchmarks/replicas.py --no-compiled    leave torch.compile out (it needs a C++ compiler)

Each number is the time that `train.fit` spends on one step of one replica: the difference of a long and a
short run, so that set-up and compilation cancel. The modes take turns and the quickest of several turns
counts, since the machine may be busy with other work. On one thread it is CPU time, otherwise the wall
clock. Read the ratios rather than the milliseconds. The result goes to benchmarks/results/replicas.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import Objective
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe, Replicas, fit, threads
from mmkd_lab.training.strategy import KINDS, kind

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "replicas.json"
TABLE = HERE.parent / "mmkd_lab" / "train" / "strategy.json"
REPLICAS, SAMPLES = 10, 640
#: encoder -> [(width, shape of a sample)]: small and larger, since one choice has to serve both.
CASES = {
    "linear": [(8, (50,))],
    "mlp": [(8, (64,)), (32, (784,))],
    "lenet": [(4, (1, 8, 8)), (16, (1, 8, 8)), (4, (1, 28, 28)), (16, (1, 28, 28))],
    "resnet": [(8, (1, 8, 8)), (8, (1, 28, 28)), (16, (1, 28, 28))],
    "bag": [(8, (12,)), (32, (12,))],
    "single_stream": [(32, (1, 8, 8)), (32, (3, 24, 24)), (64, (3, 24, 24))],
}
#: Token ids of the bags.
VOCABULARY = 200


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="write the choice into the package")
    parser.add_argument("--no-compiled", action="store_true", help="leave torch.compile out")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of the CPU")
    parser.add_argument("--turns", type=int, default=5, help="turns of each mode; the quickest counts")
    options = parser.parse_args()
    modes = ["looped", "stacked"] + ([] if options.no_compiled else ["compiled"])
    rows = kept(options.threads) + list(measure(modes, options.turns, options.threads))
    report = {
        "script": "benchmarks/replicas.py",
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads at most",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none: awaits a GPU",
        "torch": torch.__version__,
        "replicas": REPLICAS,
        "batch size": 64,
        "unit": "ms of one step of one replica",
        "rows": rows,
        "choice": choose(rows),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    if options.record:
        record(report)


def kept(counts: list[int]) -> list[dict[str, object]]:
    """The rows of an earlier run on this torch for numbers of threads that are not measured now."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"torch": None}
    if found["torch"] != torch.__version__:
        return []
    return [row for row in found["rows"] if row["device"] == "cpu" and row["threads"] not in counts]


def measure(modes: list[str], turns: int, counts: list[int]) -> Iterator[dict[str, object]]:
    """One row per case, device and number of threads."""
    places = [("cpu", count) for count in counts] + ([("cuda", 1)] if torch.cuda.is_available() else [])
    for encoder, sizes in CASES.items():
        for width, shape in sizes:
            data = words(shape) if encoder == "bag" else toy(shape)
            torch.compiler.reset()  # it gives up on a function that it has compiled for eight architectures
            for device, count in places:
                with threads(count):
                    spec = spec_of(encoder, width)
                    replicas = Replicas.build(spec, data, seeds=range(REPLICAS), device=device)
                    found = compare(replicas, data, modes, turns, wall=device == "cuda" or count > 1)
                row = {
                    "encoder": encoder,
                    "width": width,
                    "shape": list(shape),
                    "device": device,
                    "threads": count,
                }
                row["load"] = round(
                    os.getloadavg()[0], 1
                )  # above the number of cores the wall clock means little
                row |= {mode: round(value, 4) for mode, value in found.items()}
                print(json.dumps(row), flush=True)
                yield row


def spec_of(encoder: str, width: int) -> NetSpec:
    """One modality "m"; the width of a single stream is that of its tokens, and picks the size."""
    if encoder == "single_stream":
        return NetSpec.single_stream("student" if width == 32 else "teacher")
    return NetSpec(encoder, width=width, vocabulary={"m": VOCABULARY} if encoder == "bag" else None)


def compare(
    replicas: Replicas, data: PairedData, modes: list[str], turns: int, *, wall: bool
) -> dict[str, float]:
    """{mode: ms of one step of one replica}; the modes take turns."""
    best = dict.fromkeys(modes, float("inf"))
    # 640 samples in batches of 64: all batches have one shape, so that a network is compiled once.
    first = {mode: spent(replicas, data, mode, 10, wall=True) for mode in modes}
    for _ in range(turns):
        for mode in modes:
            short, long = (spent(replicas, data, mode, steps, wall=wall) for steps in (10, 40))
            if long > short:  # else the machine was busy with something else
                best[mode] = min(best[mode], 1000 * (long - short) / 30 / len(replicas))
    if "compiled" in first:
        best["first compiled fit, s"] = first["compiled"]
    return best


def spent(replicas: Replicas, data: PairedData, mode: str, steps: int, *, wall: bool) -> float:
    """Seconds of one fit."""
    clock = time.perf_counter if wall else time.process_time
    start = clock()
    fit(replicas, data, Objective(), Recipe(steps=steps, select="last"), mode=mode, progress=False)
    if replicas.device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def choose(rows: list[dict[str, object]]) -> dict[str, dict[str, str]]:
    """{device: {kind: mode}}: the quicker of stacked and looped over a kind's sizes, on one thread.

    Compiled is left out: its first step costs seconds to minutes, more than a small network's whole training.
    """
    choice: dict[str, dict[str, str]] = {}
    for device in sorted({str(row["device"]) for row in rows}):
        mine = [row for row in rows if row["device"] == device and row["threads"] == 1]
        choice[device] = {}
        for name in KINDS:
            ratios = [float(row["stacked"]) / float(row["looped"]) for row in mine if kind_of(row) == name]
            if not ratios:
                continue
            product = 1.0
            for ratio in ratios:
                product *= ratio
            choice[device][name] = "stacked" if product < 1 else "looped"
    return choice


def kind_of(row: dict[str, object]) -> str:
    return kind(row["encoder"], tuple(row["shape"]))


def record(report: dict[str, object]) -> None:
    """Write the choice for the devices measured now; the table's other devices stay as they were."""
    table = json.loads(TABLE.read_text())
    table["choice"] |= report["choice"]
    table["measured"] = {name: report[name] for name in ("script", "machine", "gpu", "torch")}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


def toy(shape: tuple[int, ...]) -> PairedData:
    """Ten classes, each a random direction, plus noise."""
    generator = torch.Generator().manual_seed(0)
    n = SAMPLES + 20
    target = torch.arange(n) % 10
    x = torch.randn(10, *shape, generator=generator)[target] + torch.randn(n, *shape, generator=generator)
    where = torch.arange(n)
    splits = {"train": where[:SAMPLES], "val": where[SAMPLES:]}
    return PairedData("toy", {"m": x}, target, splits, tuple("0123456789"))


def words(shape: tuple[int, ...]) -> PairedData:
    """The same with text: the first word names the class, the others mean nothing."""
    data = toy(shape)
    ids = torch.randint(11, VOCABULARY, (len(data), *shape), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = 1 + data.target
    return replace(data, modalities={"m": ids})


if __name__ == "__main__":
    main()
