"""Channel saliency (Algorithm 1) for 512 channels x 100 permutations x 10,000 samples: CPU time of each way.

    python benchmarks/attribute.py               everything, in one process on one thread (a few minutes)
    python benchmarks/attribute.py --share 0.02  the plain loop on more of the channels x permutations

The plain loop and Captum's FeaturePermutation run the head alone, on features that are already computed, and
on a share of the work; their time is multiplied up. Writes benchmarks/results/attribute.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import captum
import torch
from captum.attr import FeaturePermutation
from torch import Tensor, nn

from mmkd_lab.attribution import ChannelSaliency, align_linear, by_channel, closed_form
from mmkd_lab.attribution.alignment import Alignment
from mmkd_lab.attribution.saliency import permuted_mse

T = TypeVar("T")

RESULTS = Path(__file__).parent / "results" / "attribute.json"
CHANNELS, PERMUTATIONS, SAMPLES, CLASSES = 512, 100, 10_000, 10
WORLDS, STEPS = 250, 1000


class Teacher(nn.Module):
    """A linear head over features that are given."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(CHANNELS, CLASSES)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        return self.head(x["a"])


class Case:
    """A head over 512 correlated, rectified features, and a student that knows half of it."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        mixed = torch.randn(SAMPLES, 64) @ torch.randn(64, CHANNELS) / 8
        self.features = torch.relu(mixed + torch.randn(SAMPLES, CHANNELS))
        self.teacher = Teacher().requires_grad_(requires_grad=False)
        said = self.teacher.head(self.features)
        self.student = 0.5 * said + 0.1 * torch.randn(SAMPLES, CLASSES)
        self.gap = said - self.student
        self.orders = torch.stack([torch.randperm(SAMPLES) for _ in range(PERMUTATIONS)])

    def apart(self, features: Tensor) -> Tensor:
        """How far the head is from the student."""
        return (self.teacher.head(features) - self.student).square().mean()

    def by_channel(self, **settings: object) -> ChannelSaliency:
        """The public function, which runs both networks as well."""
        samples = {"a": self.features, "b": self.student}
        return by_channel(self.teacher, lambda x: x["b"], samples, **settings)  # type: ignore[arg-type]

    def plain_loop(self, count: int) -> Tensor:
        """One channel after the other, one permutation after the other."""
        found, start = torch.zeros(CHANNELS, dtype=torch.float64), self.apart(self.features)
        for i in range(CHANNELS):
            for order in self.orders[:count]:
                moved = self.features.clone()
                moved[:, i] = moved[order, i]
                found[i] += self.apart(moved) - start
        return found / count

    def captum(self) -> Tensor:
        """One permutation by Captum."""
        order = self.orders[0]
        method = FeaturePermutation(
            lambda f: self.apart(f).reshape(1), perm_func=lambda f, mask: torch.where(mask, f[order], f)
        )
        return -method.attribute(self.features)[0].double()


def measure(share: float, repeats: int) -> dict[str, object]:
    """Every way, and how far they agree."""
    case, count = Case(), max(1, round(share * PERMUTATIONS))
    features, weight, gap = (v.double() for v in (case.features, case.teacher.head.weight, case.gap))
    exact_time, exact = best(lambda: closed_form(features, weight, gap), 4 * repeats)
    batched_time, batched = best(lambda: permuted_mse(features, weight, gap, case.orders), repeats)
    whole_exact, _ = best(lambda: case.by_channel(method="closed_form"), repeats)
    whole_batched, _ = best(lambda: case.by_channel(method="permutation", permutations=case.orders), repeats)
    loop, looped = best(lambda: case.plain_loop(count), 1)
    by_captum, theirs = best(case.captum, 1)
    error = batched.std(0) / PERMUTATIONS**0.5
    seconds = {
        "closed form": exact_time,
        "batched permutations": batched_time,
        "closed form, by_channel with both networks": whole_exact,
        "batched permutations, by_channel with both networks": whole_batched,
        "plain loop over the head": loop * PERMUTATIONS / count,
        "captum FeaturePermutation over the head": by_captum * PERMUTATIONS,
    }
    slow = (seconds["plain loop over the head"], seconds["captum FeaturePermutation over the head"])
    return {
        "what": f"{CHANNELS} channels, {PERMUTATIONS} permutations, {SAMPLES} samples, {CLASSES} classes",
        "machine": f"{platform.machine()}, 1 thread, CPU time",
        "versions": {"torch": torch.__version__, "captum": captum.__version__},
        "measured share of the plain loop": count / PERMUTATIONS,
        "seconds": seconds,
        "times faster than the plain loop": {name: slow[0] / value for name, value in seconds.items()},
        "times faster than captum": {name: slow[1] / value for name, value in seconds.items()},
        "agreement": {
            "batched - plain loop, over the largest saliency": apart(batched[:count].mean(0), looped, exact),
            "batched - captum, over the largest saliency": apart(batched[0], theirs, exact),
            "batched - closed form, in standard errors": float(
                ((batched.mean(0) - exact) / error).abs().max()
            ),
        },
        "step 1": step_one(repeats),
    }


def step_one(repeats: int) -> dict[str, object]:
    """Joint alignment of 250 linear pairs (200 samples, 50 columns), against autograd one by one."""
    torch.manual_seed(0)
    a, b, target = torch.randn(WORLDS, 200, 50), torch.randn(WORLDS, 200, 50), torch.randint(2, (WORLDS, 200))
    align_linear(a[:1], b[:1], target[:1], seeds=[0], steps=1)  # compile
    compiled, _ = best(lambda: align_linear(a, b, target, seeds=[0] * WORLDS, steps=STEPS), min(2, repeats))

    def one_after_the_other() -> None:
        nets = nn.ModuleList([nn.Linear(50, 2), nn.Linear(50, 2)])
        optimiser, objective = torch.optim.SGD(nets.parameters(), lr=0.01, momentum=0.9), Alignment()
        for _ in range(STEPS):
            optimiser.zero_grad()
            objective(nets[0](a[0]), nets[1](b[0]), target[0])["loss"].backward()
            optimiser.step()

    plain, _ = best(one_after_the_other, 2)
    return {
        "what": f"{WORLDS} pairs of Linear(50, 2), 200 samples, {STEPS} full-batch steps",
        "seconds, compiled": compiled,
        "seconds, autograd (1 pair, multiplied up)": plain * WORLDS,
        "times faster": plain * WORLDS / compiled,
    }


def best(run: Callable[[], T], repeats: int) -> tuple[float, T]:
    """The least CPU time of several runs, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = run()
        times.append(time.process_time() - start)
    return min(times), result


def apart(ours: Tensor, theirs: Tensor, scale: Tensor) -> float:
    """The largest difference over the largest saliency."""
    return float((ours - theirs).abs().max() / scale.abs().max())


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--share", type=float, default=0.01, help="of the permutations, for the plain loop")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each fast path; the quickest counts")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    report = measure(asked.share, asked.repeats)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
