"""The 110 worlds of MFH's figures 2 and 3, 330 networks: how much CPU time each way to train them takes.

    python benchmarks/worlds.py                 in one process on one thread
    python benchmarks/worlds.py --repeats 15    more runs of each fast path; the quickest counts

The plain loop, autograd on one network after the other, is the oracle of the tests; it trains one seed of
ten, and its time is multiplied by ten. The result goes to benchmarks/results/worlds.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "worlds.json"
SEEDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="runs of each fast path; the quickest counts")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # before any library looks
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NUMBA_CACHE_DIR"] = cache  # an empty one, so that compilation is measured
        report = measure(options.repeats)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def measure(repeats: int) -> dict[str, object]:
    """CPU seconds of every path in one process."""
    import torch

    from mmkd_lab.data.datasets.gaussian import FIGURE2, FIGURE3, worlds
    from mmkd_lab.study import figure2
    from mmkd_lab.training.descent import WorldsRecipe
    from mmkd_lab.training.worlds import fit_worlds
    from tests.worlds.plain import fit_plainly

    torch.set_num_threads(1)
    arms = ("no_kd", "cm_kd")

    def train(precision: str = "32-true", device: str = "cpu", steps: int = 1000) -> list[int]:
        recipe = WorldsRecipe(precision=precision, steps=steps)
        return [fit_worlds(each, arms=arms, recipe=recipe, device=device).trained for each in drawn]

    drawing, drawn = timed(lambda: [worlds(specs, range(SEEDS)) for specs in (FIGURE2, FIGURE3)])
    first, trained = timed(train)
    single, double = (best(lambda p=p: train(p), repeats) for p in ("32-true", "64-true"))
    around = best(lambda: train(steps=1), repeats)
    alone = [worlds(specs, [0]) for specs in (FIGURE2, FIGURE3)]
    loop, _ = timed(lambda: [fit_plainly(each, arms, WorldsRecipe()) for each in alone])
    hundred = {
        p: best(lambda p=p: figure2(range(100), recipe=WorldsRecipe(precision=p)), 2)
        for p in ("32-true", "64-true")
    }
    gpu: object = "awaits a GPU"
    if torch.cuda.is_available():
        train(device="cuda")
        began = time.perf_counter()
        train(device="cuda")
        gpu = {"device": torch.cuda.get_device_name(), "wall seconds": time.perf_counter() - began}
    return {
        "CPU seconds": {
            "plain loop": loop * SEEDS,
            "compiled loop, single precision": single,
            "compiled loop, double precision": double,
            "compiled loop, all but the steps": around,
            "compilation, once": first - single,
            "drawing the worlds": drawing,
        },
        "CPU seconds of the whole study of figure 2, 100 seeds": hundred,
        "times less than the plain loop": {"single": loop * SEEDS / single, "double": loop * SEEDS / double},
        "CUDA, double precision": gpu,
        "networks": {"asked for": 330, "trained": sum(trained)},
        "settings": {
            "repeats": repeats,
            "processor": platform.machine(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, all threads, and the result."""
    before = time.process_time()
    found = function()
    return time.process_time() - before, found


def best(function: Callable[[], object], repeats: int) -> float:
    """The fewest CPU seconds of `repeats` calls."""
    return min(timed(function)[0] for _ in range(repeats))


if __name__ == "__main__":
    main()
