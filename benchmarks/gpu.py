"""Test and measure on a GPU, in at most 8 minutes: `make gpu`.

    python benchmarks/gpu.py                          on the first NVIDIA GPU
    python benchmarks/gpu.py --device cpu --tiny      a try of every part on a CPU, which stores nothing
    python benchmarks/gpu.py --parts steps msd        some parts

Parts: the tests that need a GPU; the Gaussian worlds by batched products; replicas stacked against looped;
the matrix product of every precision; a step of crossmodal KD with a network of ResNet-50's size; a step of
MSD with transformers of VisualBERT's (teacher) and TinyBERT's (student) size; a step of KD on rooms of 480 x
640 pixels with networks of DeepLabV3+'s size, of colours and of colours and depth. A part that fails says why
and the others go on; what no longer fits into the time is left out and said. Writes
benchmarks/results/gpu.json and the section of benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from large import TwoBranch, resnet
from replicas import CASES, measure
from steps import CLASSES, TASK, kd, per_step, toy
from tables import PAGE, markdown, put
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmkd_lab import data as datasets
from mmkd_lab.data import gaussian
from mmkd_lab.data.task import Task
from mmkd_lab.distill import KD, CrossEntropy, Distillation, Msd, TeacherOutputs, labels_only, msd_views
from mmkd_lab.models import NetSpec, removal_named
from mmkd_lab.training import Recipe, Replicas, fit, teacher_outputs, threads
from mmkd_lab.training.descent import WorldsRecipe
from mmkd_lab.training.worlds import fit_worlds

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gpu.json"
LIMIT = 480.0
PRECISIONS = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
Row = dict[str, object]


@dataclass(frozen=True)
class Bench:
    """Where and how large."""

    device: torch.device
    tiny: bool

    @property
    def cuda(self) -> bool:
        """Whether this is a GPU."""
        return self.device.type == "cuda"

    @property
    def precisions(self) -> list[str]:
        """Those that the device has."""
        return [one for one in PRECISIONS if self.cuda or one != "16-mixed"]

    @property
    def steps(self) -> tuple[int, int]:
        """Of the short and the long fit whose difference counts."""
        return (1, 3) if self.tiny else (5, 15)

    @property
    def turns(self) -> int:
        """Beside the one that warms up."""
        return 0 if self.tiny else 1

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks of each stage of a residual network."""
        return (1, 1, 1, 1) if self.tiny else (3, 4, 6, 3)

    def size(self, large: int, tiny: int) -> int:
        """One of two sizes."""
        return tiny if self.tiny else large


def tests(bench: Bench) -> list[Row]:
    """The tests that need a GPU."""
    if not bench.cuda:
        return [{"tests": "await a GPU"}]
    command = [sys.executable, "-m", "pytest", "tests/training", "tests/worlds", "-k", "gpu or cuda", "-q"]
    command += ["-p", "tests.surroundings", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["nothing was said"]
    return [{"tests": lines[-1].strip("= "), "passed": done.returncode == 0}]


def worlds(bench: Bench) -> list[Row]:
    """Figure 2's and 3's worlds on the CPU and by batched products on the device, in double precision."""
    points = (gaussian.FIGURE2, gaussian.FIGURE3)
    drawn = [gaussian.worlds(specs, range(bench.size(100, 2))) for specs in points]
    recipe = WorldsRecipe(steps=bench.size(1000, 50), precision="64-true")

    def trained(device: str | torch.device) -> list[Tensor]:
        fits = [fit_worlds(each, recipe=recipe, device=device) for each in drawn]
        return [torch.as_tensor(one.accuracy("cm_kd")) for one in fits]

    rows, found = [], {}
    for device in ("cpu", *([bench.device] if bench.cuda else [])):
        trained(device)
        start = time.perf_counter()
        found[str(device)] = trained(device)
        rows.append({"device": str(device), "wall seconds": round(time.perf_counter() - start, 3)})
        apart = max(float((a - b).abs().max()) for a, b in zip(found["cpu"], found[str(device)], strict=True))
        rows[-1]["largest difference from the CPU, points"] = round(apart, 4)
    if not bench.cuda:
        rows.append({"device": "cuda", "wall seconds": "awaits a GPU"})
    return rows


def replicas(bench: Bench) -> list[Row]:
    """Stacked against looped, for every kind of network."""
    sizes = {kind: (kind, width, shape) for kind, width, shape in reversed(CASES)}  # the smallest of a kind
    cases = sizes.values() if bench.tiny else CASES
    rows = []
    for case in cases:
        row = measure(
            *case, device=bench.device, replicas=bench.size(16, 2), turns=bench.turns, steps=bench.steps
        )
        rows.append({name: value for name, value in row.items() if not name.endswith("ms")})
    return rows


def products(bench: Bench) -> list[Row]:
    """TFLOP/s of a large matrix product in every precision: what the device can do at best."""
    rows, n = [], bench.size(8192, 256)
    for name in bench.precisions:
        a = torch.randn(n, n, device=bench.device, dtype=PRECISIONS[name])
        times = []
        for _ in range(12):
            start = time.perf_counter()
            a @ a
            if bench.cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        rows.append({"precision": name, "TFLOP/s": float(f"{2e-12 * n**3 / min(times):.3g}")})
    return rows


def kd_step(bench: Bench) -> list[Row]:
    """A student of ResNet-50's size learns from the stored outputs of a teacher of another modality."""
    side, batch = bench.size(224, 32), bench.size(64, 4)
    data = toy({"image": (3, side, side)}, samples=4 * batch)
    said = TeacherOutputs(data.sample_index, torch.randn(1, len(data), CLASSES))
    net = resnet(bench.size(64, 8), bench.depths, CLASSES)
    student = Replicas.of([net], data=data, seeds=[0], device=bench.device)
    flops = counted(net, {"x": torch.randn(2, 3, side, side)}) / 2 * batch
    what = f"crossmodal KD, {student.size:,} parameters, {side} x {side}, batch {batch}"
    return [
        _step(bench, what, precision, student, data, {"kd": kd()}, said, batch, {"kd": flops})
        for precision in bench.precisions
    ]


def msd_step(bench: Bench) -> list[Row]:
    """TinyBERT's size learns from VisualBERT's, words and patches; and a step of the large one itself."""
    words, length, side, batch = (
        bench.size(30_522, 100),
        bench.size(64, 8),
        bench.size(96, 16),
        bench.size(64, 4),
    )
    data = toy({"image": (3, side, side), "text": (length,)}, samples=4 * batch, words=words, text=("text",))
    removal, views = removal_named("attention", data), msd_views(data.modalities)
    sizes = {"patch": side // 6, "vocabulary": {"text": words}}
    large, small = ("teacher", "student") if bench.tiny else ("visualbert", "tinybert")
    nets = {
        name: Replicas.build(NetSpec.single_stream(name, **sizes), data, seeds=[0], device=bench.device)
        for name in (large, small)
    }
    for _ in range(2):  # the first one warms up
        start = time.perf_counter()
        said = teacher_outputs(nets[large], data, views=views, removal=removal)
    rows: list[Row] = [
        {
            "what": f"{large}-sized teacher asked under {1 + len(views)} views",
            "precision": "32-true",
            "samples a second": round(len(data) / (time.perf_counter() - start)),
        }
    ]
    msd = Distillation((*kd(2.0).terms, (1.0, Msd(views, temperature=2.0, task=TASK))), removal=removal)
    x = {name: data.modalities[name][:2] for name in sorted(data.modalities)}
    flops = {name: counted(nets[name].module(), {"x": x}) / 2 * batch for name in (large, small)}
    student = {"kd": kd(2.0), "msd": msd}
    costs = {"kd": flops[small], "msd": (1 + len(views)) * flops[small]}
    for precision in bench.precisions:
        what = f"{small}-sized student, {nets[small].size:,} parameters, batch {batch}"
        rows.append(_step(bench, what, precision, nets[small], data, student, said, batch, costs))
        what = f"{large}-sized teacher, {nets[large].size:,} parameters, batch {batch}"
        alone, cost = {"labels": labels_only(TASK)}, {"labels": flops[large]}
        rows.append(_step(bench, what, precision, nets[large], data, alone, None, batch, cost))
    return rows


def dense_step(bench: Bench) -> list[Row]:
    """A student of colours learns scenes pixel by pixel; and a step of the teacher, which sees depth too."""
    batch, sides = bench.size(8, 2), {"height": bench.size(480, 32), "width": bench.size(640, 48)}
    sizes = {"n_train": 4 * batch, "n_val": batch, "n_test": 1, "objects": bench.size(6, 2), **sides}
    data = datasets.load("rooms", **sizes)
    pixels = (sides["height"], sides["width"])
    said = TeacherOutputs(data.sample_index, torch.randn(1, len(data), data.num_classes, *pixels))
    terms = ((0.5, CrossEntropy(Task.DENSE)), (0.5, KD(4.0, "kl", Task.DENSE)))
    losses = {"student": ("kd", Distillation(terms)), "teacher": ("labels", labels_only(Task.DENSE))}
    rows = []
    for role, channels in (("student", {"rgb": 3}), ("teacher", {"rgb": 3, "depth": 1})):
        net = TwoBranch(channels, bench.size(64, 4), bench.depths, data.num_classes)
        nets = Replicas.of([net], data=data, seeds=[0], device=bench.device)
        flops = counted(net, {"x": {m: torch.randn(2, c, *pixels) for m, c in channels.items()}}) / 2 * batch
        what = f"{role} of {' and '.join(channels)}, {nets.size:,} parameters, "
        what += f"{pixels[0]} x {pixels[1]}, batch {batch}"
        name, loss = losses[role]
        for precision in bench.precisions:
            row = _step(bench, what, precision, nets, data, {name: loss}, said, batch, {name: flops})
            row["images a second"] = round(1000 * batch / float(str(row[f"{name}, ms a step"])), 1)
            rows.append(row)
    return rows


def _step(
    bench: Bench,
    what: str,
    precision: str,
    nets: Replicas,
    data: object,
    losses: dict[str, Distillation],
    said: TeacherOutputs | None,
    batch: int,
    flops: dict[str, float],
) -> Row:
    """Milliseconds of a step by loss, TFLOP/s, and the peak of memory."""

    def trained(loss: Distillation, steps: int) -> object:
        recipe = Recipe(
            steps=steps, batch_size=batch, precision=precision, select="last", validate_every=steps
        )
        teacher = said if loss.needs_teacher else None
        return fit(nets, data, loss, recipe, teacher=teacher, progress=False)  # type: ignore[arg-type]

    if bench.cuda:
        torch.cuda.reset_peak_memory_stats()
    fits = {name: partial(trained, loss) for name, loss in losses.items()}
    found = per_step(fits, device=bench.device, steps=bench.steps, turns=bench.turns)
    row: Row = {"what": what, "precision": precision}
    for name, seconds in found.items():
        row[f"{name}, ms a step"] = round(1000 * seconds, 2)
        row[f"{name}, TFLOP/s"] = float(f"{1e-12 * flops[name] / seconds:.3g}")
    peak = f"{torch.cuda.max_memory_allocated() / 2**30:.2f}" if bench.cuda else "awaits a GPU"
    return {**row, "peak memory, GiB": peak}


def counted(net: nn.Module, given: dict[str, object]) -> float:
    """Floating point operations of one forward and backward pass, on a CPU."""
    net = net.cpu()
    with FlopCounterMode(display=False) as counter:
        net(given["x"]).sum().backward()
    net.zero_grad()
    return float(counter.get_total_flops())


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "tests": tests,
    "worlds": worlds,
    "products": products,
    "kd": kd_step,
    "msd": msd_step,
    "dense": dense_step,
    "replicas": replicas,
}


def run(bench: Bench, chosen: Sequence[str], limit: float = LIMIT) -> dict[str, object]:
    """All parts in order, as long as there is time."""
    start, found = time.perf_counter(), {}
    for name in chosen:
        spent = time.perf_counter() - start
        if spent > 0.75 * limit:
            found[name] = [{"left out": f"after {spent:.0f} s there was no time for it"}]
            continue
        try:
            found[name] = PARTS[name](bench)
        except Exception as error:  # the other parts are worth having
            found[name] = [{"failed": f"{type(error).__name__}: {error}"[:500]}]
        print(json.dumps({name: found[name]}, indent=1), flush=True)
    _shares(found)
    name = torch.cuda.get_device_name(bench.device) if bench.cuda else f"{platform.machine()} CPU"
    seconds = round(time.perf_counter() - start)
    return {
        "device": name,
        "torch": torch.__version__,
        "tiny": bench.tiny,
        "seconds": seconds,
        "parts": found,
    }


def _shares(found: dict[str, list[Row]]) -> None:
    """Beside every TFLOP/s of a step, its share of the matrix product's of the same precision."""
    best = {row.get("precision"): row.get("TFLOP/s") for row in found.get("products", [])}
    for row in [*found.get("kd", []), *found.get("msd", []), *found.get("dense", [])]:
        peak = best.get(row.get("precision"))
        for name in [key for key in row if key.endswith(", TFLOP/s")]:
            value = row[name]
            if isinstance(peak, float) and isinstance(value, float) and peak > 0:
                row[name.replace("TFLOP/s", "share of the product's rate")] = f"{value / peak:.0%}"


def section(report: dict[str, object]) -> str:
    """The part of the page about a GPU."""
    head = f"{report['device']}, torch {report['torch']}, {report['seconds']} s in all."
    texts = [head]
    for name, rows in report["parts"].items():  # type: ignore[attr-defined]
        heads = list(dict.fromkeys(key for row in rows for key in row))
        texts.append(
            f"**{name}**\n\n{markdown(heads, [[str(row.get(key, '')) for key in heads] for row in rows])}"
        )
    return "\n\n".join(texts)


def main() -> int:
    """Measure; exit 1 when a part failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu")
    parser.add_argument("--tiny", action="store_true", help="small sizes; nothing is stored")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    asked = parser.parse_args()
    if asked.device != "cpu" and not torch.cuda.is_available():
        print("No GPU is here. `--device cpu --tiny` tries every part on a CPU.", file=sys.stderr)
        return 2
    bench = Bench(torch.device(asked.device), asked.tiny)
    with threads(1 if not bench.cuda else torch.get_num_threads()):
        report = run(bench, asked.parts)
    text = section(report)
    print(text)
    if bench.cuda and not bench.tiny:
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(put("gpu", text, page), encoding="utf-8")
    failed = any(
        "failed" in row or row.get("passed") is False for rows in report["parts"].values() for row in rows
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
