"""The 110 worlds of MFH's figures 2 and 3, trained by every path: how much CPU time each takes.

    python benchmarks/worlds.py                  everything, in one process on one thread (some minutes)
    python benchmarks/worlds.py --loop-seeds 1   the plain loop on one seed of ten, its time multiplied by ten

The plain loop follows the published protocol: one network after the other, 1,000 full-batch steps, train and
test accuracy after every step. The result goes to benchmarks/results/worlds.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "worlds.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="runs of each fast path; the quickest counts")
    parser.add_argument("--loop-seeds", type=int, default=10, help="seeds the plain loop trains, of 10")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # before any library looks
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NUMBA_CACHE_DIR"] = cache  # an empty one, so that compilation is measured
        report = measure(options.repeats, options.loop_seeds)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def measure(repeats: int, loop_seeds: int) -> dict[str, object]:
    """Every path in one process, the slow ones last so that they cannot raise the kernel's peak of memory."""
    import torch
    import worlds_paths as paths
    from clock import best, fma_rate, peak_memory, product_rate, timed
    from llvmlite.binding import get_host_cpu_name

    torch.set_num_threads(1)
    before = peak_memory()
    drawing, drawn = timed(paths.draw)
    first, _ = timed(lambda: paths.train(drawn))
    kernel, fits = best(lambda: paths.train(drawn), repeats)
    around, _ = best(lambda: paths.train(drawn, steps=1), repeats)
    memory = {"before, MB": before, "peak, MB": peak_memory(), "arrays, MB": paths.size(drawn)}
    bmm, _ = best(lambda: paths.train(drawn, path="bmm"), min(repeats, 3))
    replicas, of_replicas = timed(lambda: paths.replicas(drawn))
    loop, of_loop = timed(lambda: paths.plain_loop(loop_seeds))
    loop *= paths.SEEDS / loop_seeds
    of_kernel = fits[0].accuracy("cm_kd").reshape(6, paths.SEEDS)
    flops = paths.arithmetic(fits)
    rate, peak = flops["GFLOP, kernel"] / kernel, fma_rate()
    return {
        "CPU seconds": {
            "plain loop": loop,
            "kernel": kernel,
            "batched products (bmm)": bmm,
            "replicas of deep networks": replicas,
            "kernel, all but the steps": around,
            "compilation, once": first - kernel,
            "drawing the worlds": drawing,
        },
        "times less than the plain loop": {
            "kernel": loop / kernel,
            "kernel and drawing": loop / (kernel + drawing),
            "batched products (bmm)": loop / bmm,
            "replicas of deep networks": loop / replicas,
        },
        "CUDA": paths.cuda(drawn, repeats),
        "arithmetic": flops,
        "GFLOP per second": {
            "kernel": rate,
            "kernel, the steps alone": flops["GFLOP, kernel"] / (kernel - around),
            "multiply-adds from registers": peak,
            "torch's matrix product": product_rate(),
        },
        "kernel's share of the multiply-add rate": rate / peak,
        "memory": memory,
        "largest difference from the kernel in figure 2's KD accuracies, points": {
            "plain loop, same starts": float(abs(of_kernel[:, :loop_seeds].mean(axis=1) - of_loop).max()),
            "replicas, other starts": float(abs(of_kernel.mean(axis=1) - of_replicas).max()),
        },
        "settings": {
            "threads": torch.get_num_threads(),
            "repeats": repeats,
            "seeds of the plain loop": loop_seeds,
            "processor": f"{get_host_cpu_name()}, {platform.machine()}",
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


if __name__ == "__main__":
    main()
