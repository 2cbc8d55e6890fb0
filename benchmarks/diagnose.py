"""How long a diagnosis takes: seconds of one core, on features of two modalities.

    python benchmarks/diagnose.py                          10,000 samples of 512 features each
    python benchmarks/diagnose.py 360 384 12               360 samples of 384 and 12

Ten classes, of which each modality tells a part; 8 of 10 samples are for training, the rest by halves for
validation and test. Everything is computed anew, then once more from the store. The first also writes
benchmarks/results/diagnose.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmkd_lab import study
from mmkd_lab.core.atomic import write_text
from mmkd_lab.data import PairedData
from mmkd_lab.experiments import ResultStore

RESULTS = Path(__file__).resolve().parent / "results"
CLASSES = 10


def features(samples: int, wide: int, narrow: int) -> PairedData:
    """'teacher' and 'student' features: 20 directions of 40 are in both, and their variances fall."""
    rng = np.random.default_rng(0)
    y = np.arange(samples) % CLASSES
    latent = rng.normal(size=(CLASSES, 40))[y] * 0.6 + rng.normal(size=(samples, 40))
    falling = np.linspace(2.0, 0.3, 30)
    sides = {}
    for name, width, seen in (("teacher", wide, slice(0, 30)), ("student", narrow, slice(10, 40))):
        mixed = (latent[:, seen] * falling) @ rng.normal(size=(30, width)) / 5
        sides[name] = (mixed + 0.5 * rng.normal(size=(samples, width))).astype(np.float32)
    tens = rng.permutation(samples // CLASSES)[:, None] * CLASSES + np.arange(CLASSES)
    order, ends = tens.reshape(-1), (int(0.8 * samples), int(0.9 * samples))
    splits = dict(zip(("train", "val", "test"), np.split(order, ends), strict=True))
    return PairedData("features", sides, y, splits, tuple(map(str, range(CLASSES))))


def measure(data: PairedData) -> dict[str, Any]:
    """Seconds of the processor, of the clock, by section, and of the same call again."""
    with tempfile.TemporaryDirectory() as folder:
        store, times = ResultStore(Path(folder)), []
        for _ in range(2):
            before = time.process_time(), time.perf_counter()
            found = study.diagnose(data, student="student", store=store, budget=None, progress=False)
            times.append((time.process_time() - before[0], time.perf_counter() - before[1]))
    shown = [part.says[0] for part in found.sections.values()]
    return {
        "samples": len(data),
        "columns": {name: shape[0] for name, shape in data.shapes.items()},
        "cpu_seconds": round(times[0][0], 1),
        "seconds": round(times[0][1], 1),
        "again_cpu_seconds": round(times[1][0], 1),
        "first": found.advice["sentence"].tolist()[:3],
        "says": shown,
    }


def main() -> None:
    """Measure and print; the usual size is written down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, help="samples, the teacher's columns, the student's")
    sizes = parser.parse_args().sizes
    torch.set_num_threads(1)
    found = measure(features(*(sizes or (10_000, 512, 512))))
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    print(text)
    if not sizes:
        write_text(RESULTS / "diagnose.json", text)


if __name__ == "__main__":
    main()
