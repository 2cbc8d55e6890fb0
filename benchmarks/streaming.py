"""A data set that is larger than what it is given: how much memory a study takes, how fast its loop is.

    python benchmarks/streaming.py FOLDER [--samples 200000]

FOLDER gets a file of that many 3 x 64 x 64 pictures of bytes (2.4 GB), which is removed afterwards. What is
measured runs in processes of its own, on one thread. Writes results/streaming.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from mmkd_lab.core import atomic
from mmkd_lab.data import PairedData
from mmkd_lab.distill import labels_only
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe, Replicas, fit, streamed

RESULT = Path(__file__).parent / "results" / "streaming.json"
SHAPE, CLASSES, SOUND = (3, 64, 64), 10, 16
#: Dense layers leave the most of the time to everything else than arithmetic.
NETWORKS = {"mlp": NetSpec(encoder="mlp", width=4, features=16), "lenet": NetSpec(encoder="lenet", width=4)}
ONE_EPOCH = Recipe(epochs=1, batch_size=64, lr=1e-3, precision="32-true", select="last")
#: Samples of the comparisons of loops, few enough to be held.
FEW, TURNS = 10_000, 6


def write(folder: Path, samples: int) -> None:
    """The pictures: each class its own pattern, in noise; and a short vector beside each."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 64, (CLASSES, *SHAPE), dtype=np.uint8)
    shape = (samples, *SHAPE)
    file = np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, shape)
    for start in range(0, samples, 2000):
        rows = np.arange(start, min(start + 2000, samples))
        file[rows] = patterns[rows % CLASSES] + rng.integers(0, 192, (len(rows), *SHAPE), dtype=np.uint8)
    file.flush()
    sound = rng.normal(size=(CLASSES, SOUND))[np.arange(samples) % CLASSES] + rng.normal(
        size=(samples, SOUND)
    )
    np.save(folder / "sound.npy", sound.astype(np.float32))


def paired(folder: Path, samples: int) -> PairedData:
    """The first so many of them, the pictures mapped."""
    where = np.arange(samples)
    pictures = np.load(folder / "pictures.npy", mmap_mode="r", allow_pickle=False)[:samples]
    x = {"picture": pictures, "sound": np.load(folder / "sound.npy", allow_pickle=False)[:samples]}
    ends = int(0.8 * samples), int(0.9 * samples)
    splits = dict(zip(("train", "val", "test"), np.split(where, ends), strict=True))
    return PairedData("pictures", x, where % CLASSES, splits, tuple("0123456789"))


def memory(folder: Path, samples: int) -> dict[str, object]:
    """failure_cases over one epoch of one student: seconds, and the most memory that the process had."""
    from mmkd_lab.experiments.store import ResultStore
    from mmkd_lab.study import failure_cases

    start = time.process_time()
    study = failure_cases(
        paired(folder, samples),
        student="picture",
        arms=["no_kd", "cm_kd"],
        seeds=[0],
        student_model=NETWORKS["mlp"],
        recipe=ONE_EPOCH,
        store=ResultStore(folder / f"store {samples}"),
        progress=False,
    )
    table = study.table.query("role == 'student' and split == 'test' and metric == 'accuracy'")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {"cpu_seconds": round(time.process_time() - start, 1), "peak_gib": round(peak / 2**30, 2)}
    return {**found, "accuracy": {row.arm: round(row.value, 1) for row in table.itertuples()}}


class Pictures(Dataset):
    """What a plain loop reads: the same file, mapped."""

    def __init__(self, folder: Path, samples: int) -> None:
        self.pictures, self.samples = (
            np.load(folder / "pictures.npy", mmap_mode="r", allow_pickle=False),
            samples,
        )

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(np.array(self.pictures[i])), i % CLASSES


def plain_epoch(net: nn.Module, dataset: Dataset) -> float:
    """CPU seconds of an epoch as anybody writes it."""
    loader = DataLoader(dataset, batch_size=64, sampler=RandomSampler(dataset))
    stepper = torch.optim.Adam(net.parameters(), lr=1e-3)
    start = time.process_time()
    net.train()
    for pictures, target in loader:
        loss = nn.functional.cross_entropy(net({"picture": pictures.float().div_(255)}), target)
        stepper.zero_grad()
        loss.backward()
        stepper.step()
    return time.process_time() - start


def lab_epoch(replicas: Replicas, data: PairedData) -> float:
    """CPU seconds of an epoch of `fit`."""
    start = time.process_time()
    fit(replicas, data, labels_only(), ONE_EPOCH, progress=False)
    return time.process_time() - start


def loops(folder: Path, samples: int) -> dict[str, object]:
    """Epochs held, streamed and plain, which take turns: samples a second, and ratios."""
    data = paired(folder, FEW)
    train = len(data.positions("train"))
    data = PairedData(  # no validation, which the plain loop has not either
        data.name, data.modalities, data.target, {"train": data.positions("train")}, data.classes
    )
    dataset = Pictures(folder, train)
    return {
        name: _loops(Replicas.build(one.on("picture"), data, seeds=[0]), data, dataset)
        for name, one in NETWORKS.items()
    }


def _loops(replicas: Replicas, data: PairedData, dataset: Pictures) -> dict[str, object]:
    times: dict[str, list[float]] = {"held": [], "streamed": [], "plain": []}
    for _ in range(TURNS):
        for name, held in (("held", 2**40), ("streamed", 0)):
            streamed.HELD = held
            times[name].append(lab_epoch(replicas, data))
        times["plain"].append(plain_epoch(replicas.module(), dataset))
    each = {name: found[1:] for name, found in times.items()}  # the first turn warms up
    rate = {name: round(len(dataset) / median(found)) for name, found in each.items()}
    ratio = median(p / s for p, s in zip(each["plain"], each["streamed"], strict=True))
    held = median(h / s for h, s in zip(each["held"], each["streamed"], strict=True))
    return {
        "samples_a_cpu_second": rate,
        "streamed_to_plain": round(ratio, 3),
        "streamed_to_held": round(held, 3),
    }


PARTS = {"memory": memory, "loops": loops}


def measured(part: str, folder: Path, samples: int) -> dict[str, object]:
    """One part in a fresh process."""
    command = [sys.executable, __file__, str(folder), "--part", part, "--samples", str(samples)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    """Measure everything, or one part of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--part", choices=PARTS)
    given = parser.parse_args()
    if given.part:
        torch.set_num_threads(1)
        print(json.dumps(PARTS[given.part](given.folder, given.samples)))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    try:
        write(given.folder, given.samples)
        size = given.samples
        found: dict[str, object] = {f"{size} samples": measured("memory", given.folder, size)}
        found["loops"] = measured("loops", given.folder, given.samples)
    finally:
        (given.folder / "pictures.npy").unlink(missing_ok=True)
    atomic.write_text(RESULT, json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
