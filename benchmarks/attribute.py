"""Algorithm 1, step 2, for 512 channels x 100 permutations x 10,000 samples: how much CPU time each way
takes.

    python benchmarks/attribute.py               everything, in one process on one thread (a few minutes)
    python benchmarks/attribute.py --share 0.02  the plain loop on more of the channels x permutations

The plain loop and Captum's FeaturePermutation run the head alone, on features that are already computed, and
on a stated share of the work; their time is multiplied up. The result goes to
benchmarks/results/attribute.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "attribute.json"
CHANNELS, PERMUTATIONS, SAMPLES, CLASSES = 512, 100, 10_000, 10
WORLDS, STEPS = 250, 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--share", type=float, default=0.01, help="of channels x permutations, for the plain loop"
    )
    parser.add_argument("--repeats", type=int, default=5, help="runs of each fast path; the quickest counts")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"  # before any library looks
    report = measure(options.share, options.repeats)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def measure(share: float, repeats: int) -> dict[str, object]:
    import captum
    import torch

    from mmkd_lab.attribution.saliency import closed_form, permuted_mse

    torch.set_num_threads(1)
    case = Case()
    features, weight, gap = (v.double() for v in (case.features, case.head.weight.detach(), case.gap))
    exact_time, exact = best(lambda: closed_form(features, weight, gap), 4 * repeats)
    batched_time, batched = best(lambda: permuted_mse(features, weight, gap, case.orders), repeats)
    whole_exact, _ = best(lambda: case.by_channel(method="closed_form"), repeats)
    whole_batched, _ = best(lambda: case.by_channel(method="permutation", permutations=case.orders), repeats)
    wider_time, _ = best(lambda: case.additive(channels=32, orders=5), 1)
    wider_time *= CHANNELS * PERMUTATIONS / (32 * 5)
    count = max(1, round(share * PERMUTATIONS))
    loop_time, looped = best(lambda: case.plain_loop(count), 1)
    captum_time, by_captum = best(lambda: case.captum(), 1)
    error = batched.std(0) / PERMUTATIONS**0.5
    loop_time, captum_time = loop_time * PERMUTATIONS / count, captum_time * PERMUTATIONS
    return {
        "what": f"{CHANNELS} channels, {PERMUTATIONS} permutations, {SAMPLES} samples, {CLASSES} classes",
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": 1,
            "clock": "CPU time",
        },
        "versions": {
            "torch": torch.__version__,
            "captum": captum.__version__,
            "python": platform.python_version(),
        },
        "measured share of channels x permutations": {
            "plain loop": count / PERMUTATIONS,
            "captum": 1 / PERMUTATIONS,
        },
        "seconds": {
            "closed form": exact_time,
            "batched permutations": batched_time,
            "closed form, by_channel with both networks": whole_exact,
            "batched permutations, by_channel with both networks": whole_batched,
            "permutations with distance 'kl' (32 channels x 5 permutations, multiplied up)": wider_time,
            "plain loop over the head": loop_time,
            "captum FeaturePermutation over the head": captum_time,
        },
        "times faster than the plain loop": {
            "closed form": loop_time / exact_time,
            "batched permutations": loop_time / batched_time,
            "closed form, by_channel": loop_time / whole_exact,
            "batched permutations, by_channel": loop_time / whole_batched,
            "permutations with distance 'kl'": loop_time / wider_time,
        },
        "times faster than captum": {
            "closed form": captum_time / exact_time,
            "batched permutations": captum_time / batched_time,
            "closed form, by_channel": captum_time / whole_exact,
            "batched permutations, by_channel": captum_time / whole_batched,
        },
        "agreement": {
            "largest |batched - plain loop| over the largest saliency, same permutations": relative(
                batched[:count].mean(0), looped, exact
            ),
            "largest |batched - captum| over the largest saliency, same permutation": relative(
                batched[0], by_captum, exact
            ),
            "largest |batched - closed form| in standard errors": float(
                ((batched.mean(0) - exact) / error).abs().max()
            ),
        },
        "step 1": step_one(repeats),
    }


class Case:
    """A linear head over 512 correlated, rectified features, and a student that knows half of it."""

    def __init__(self) -> None:
        import torch
        from torch import nn

        torch.manual_seed(0)
        mixed = torch.randn(SAMPLES, 64) @ torch.randn(64, CHANNELS) / 8
        self.features = torch.relu(mixed + torch.randn(SAMPLES, CHANNELS))
        self.head = nn.Linear(CHANNELS, CLASSES)
        with torch.no_grad():
            teacher = self.head(self.features)
        self.student = 0.5 * teacher + 0.1 * torch.randn(SAMPLES, CLASSES)
        self.gap = teacher - self.student
        self.orders = torch.stack([torch.randperm(SAMPLES) for _ in range(PERMUTATIONS)])

    def by_channel(self, **settings: object) -> object:
        from torch import nn

        from mmkd_lab.attribution import by_channel

        class Teacher(nn.Module):
            def __init__(self, head: nn.Module) -> None:
                super().__init__()
                self.head = head

            def forward(self, x):  # noqa: ANN001, ANN202
                return self.head(x["a"])

        data = {"a": self.features, "b": self.student}
        return by_channel(Teacher(self.head), lambda x: x["b"], data, **settings)

    def additive(self, channels: int, orders: int) -> object:
        from mmkd_lab.attribution.layers import Readout
        from mmkd_lab.attribution.saliency import permuted_additive

        readout = Readout(
            self.features[:, :channels].double().unsqueeze(2),
            self.head.weight.detach()[:, :channels].double().unsqueeze(2),
        )
        teacher = (self.gap + self.student).double()
        return permuted_additive(readout, teacher, self.student.double(), self.orders[:orders], kind="kl")

    def plain_loop(self, count: int):  # noqa: ANN201
        import torch

        found = torch.zeros(CHANNELS, dtype=torch.float64)
        with torch.no_grad():
            start = (self.head(self.features) - self.student).square().mean()
            for i in range(CHANNELS):
                for order in self.orders[:count]:
                    moved = self.features.clone()
                    moved[:, i] = moved[order, i]
                    found[i] += (self.head(moved) - self.student).square().mean() - start
        return found / count

    def captum(self):  # noqa: ANN201
        import torch
        from captum.attr import FeaturePermutation

        order = self.orders[0]
        method = FeaturePermutation(
            lambda f: (self.head(f) - self.student).square().mean().reshape(1),
            perm_func=lambda f, mask: torch.where(mask, f[order], f),
        )
        with torch.no_grad():
            return -method.attribute(self.features)[0].double()


def step_one(repeats: int) -> dict[str, object]:
    """Joint alignment of 250 linear pairs (200 samples, 50 columns), against autograd one by one."""
    import torch
    from torch import nn

    from mmkd_lab.attribution import Alignment, align_linear

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


def best(run: Callable[[], object], repeats: int):  # noqa: ANN201
    """The least CPU time of several runs, and the last result."""
    times, result = [], None
    for _ in range(repeats):
        start = time.process_time()
        result = run()
        times.append(time.process_time() - start)
    return min(times), result


def relative(ours, theirs, scale) -> float:  # noqa: ANN001
    return float((ours - theirs).abs().max() / scale.abs().max())


if __name__ == "__main__":
    main()
