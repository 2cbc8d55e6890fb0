"""How fast published files are read: prepared once and streamed, beside a plain DataLoader over the same.

    python benchmarks/loading.py FOLDER [--tiny]

FOLDER gets clips, pictures and pairs of colour and depth in published forms, which are removed afterwards.
All of it is CPU time of one process on one thread, so that other work on the machine counts little; the
ways take turns. Writes results/loading.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import av
import numpy as np
import torch
from PIL import Image
from scipy.signal import resample_poly
from torch.utils.data import DataLoader, Dataset

from mmkd_lab.core import atomic
from mmkd_lab.data.own.media import RATE, spectrogram
from mmkd_lab.data.published.clips import ClipSound, Frames
from mmkd_lab.data.published.fixtures import nyu_depth_v2
from mmkd_lab.data.published.fixtures.media import Shot, write_clip
from mmkd_lab.data.published.items import PictureFile
from mmkd_lab.data.published.prepare import prepared
from mmkd_lab.data.published.sets.nyu_items import DepthFile, LabelFile
from mmkd_lab.data.published.sets.nyu_labels import table
from mmkd_lab.data.published.sheet import Column

RESULT = Path(__file__).parent / "results" / "loading.json"
TURNS, SECONDS, SIDE = 4, 10.0, 64
SIZE = (120, 160)
Plain = Callable[[str], tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Kind:
    """One kind of file: the keys of each column, its columns, and what a plain Dataset does with an item."""

    columns: Sequence[Column]
    plain: Plain

    @property
    def items(self) -> int:
        """How many there are."""
        return len(self.columns[0].keys)


class Files(Dataset):
    """What a plain loop reads."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def __len__(self) -> int:
        return self.kind.items

    def __getitem__(self, i: int) -> tuple[torch.Tensor, ...]:
        return tuple(map(torch.from_numpy, self.kind.plain(self.kind.columns[0].keys[i])))


def plain_clip(file: str) -> tuple[np.ndarray, ...]:
    """Every frame decoded and three kept; the sound resampled by scipy, and the same spectrogram."""
    with av.open(file) as clip:
        frames = [one.to_ndarray(format="rgb24") for one in clip.decode(video=0)]
    kept = [frames[int((i + 0.5) * len(frames) / 3)] for i in range(3)]
    small = [np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BOX)) for one in kept]
    with av.open(file) as clip:
        rate = clip.streams.audio[0].rate
        wave = np.concatenate([one.to_ndarray()[0] for one in clip.decode(audio=0)])
    wave = resample_poly(wave, RATE, rate)
    return np.concatenate(small, axis=2), spectrogram(wave, seconds=SECONDS, frames=SIDE)


def plain_picture(file: str) -> tuple[np.ndarray, ...]:
    """Opened, converted and resized."""
    with Image.open(file) as opened:
        return (np.array(opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)),)


def plain_pair(file: str) -> tuple[np.ndarray, ...]:
    """Colour, depth in metres and labels, resized as whoever uses Pillow does."""
    found = []
    for part in ("rgb", "depth", "labels_40"):
        with Image.open(file.replace("/rgb/", f"/{part}/")) as opened:
            how = Image.Resampling.BOX if part == "rgb" else Image.Resampling.NEAREST
            found.append(np.array(opened.resize(SIZE[::-1], how)))
    return found[0], (found[1] / 1000).astype(np.float32), found[2].astype(np.int64) - 1


def clips(folder: Path, count: int) -> Kind:
    """Clips of ten seconds, 320 x 240 at 25 frames a second with sound at 44.1 kHz."""
    few = max(1, count // 8)
    for i in range(few):
        shot = Shot(seconds=SECONDS, fps=25, size=(320, 240), tone=200.0 + i, rate=44100)
        write_clip(folder / f"{i}.mp4", shot)
    keys = _copies(folder, "mp4", few, count)
    return Kind([Column(keys, Frames(3, (SIDE, SIDE))), Column(keys, ClipSound(SECONDS, SIDE))], plain_clip)


def pictures(folder: Path, count: int) -> Kind:
    """JPEGs of 640 x 480, of smooth noise."""
    few = max(1, count // 20)
    for i in range(few):
        small = np.random.default_rng(i).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(small).resize((640, 480)).save(folder / f"{i}.jpg", quality=90)
    return Kind([Column(_copies(folder, "jpg", few, count), PictureFile((SIDE, SIDE)))], plain_picture)


def pairs(folder: Path, count: int) -> Kind:
    """Frames of NYU Depth V2's size as ESANet's png files: colour, depth and 40 classes."""
    nyu_depth_v2.write(folder, 12, "esanet")
    first = sorted(folder.glob("*/rgb/*.png"))
    for i in range(12, count):
        for part in ("rgb", "depth", "labels_40"):
            file = first[i % 12].parents[1] / part
            os.link(file / first[i % 12].name, file / f"{1000 + i}.png")
    rgb = sorted(map(str, folder.glob("*/rgb/*.png")))[:count]
    reads = PictureFile(SIZE), DepthFile(SIZE, 1e-3), LabelFile(SIZE, table(40, 40))
    parts = [[one.replace("/rgb/", f"/{name}/") for one in rgb] for name in ("rgb", "depth", "labels_40")]
    return Kind([Column(keys, read) for keys, read in zip(parts, reads, strict=True)], plain_pair)


KINDS = {"clips": (clips, 48), "pictures": (pictures, 800), "dense pairs": (pairs, 96)}


def _copies(folder: Path, end: str, few: int, count: int) -> list[str]:
    for i in range(few, count):
        os.link(folder / f"{i % few}.{end}", folder / f"{i}.{end}")
    return [str(folder / f"{i}.{end}") for i in range(count)]


def speed(kind: Kind, cache: Path) -> dict[str, object]:
    """Items a CPU second: prepared (the first epoch), read again (every later one) and by a plain loader."""
    times: dict[str, list[float]] = {"prepare": [], "again": [], "plain": []}
    for _ in range(TURNS):
        shutil.rmtree(cache, ignore_errors=True)
        start = time.process_time()
        rows = [prepared(one, cache, label=str(i)).rows for i, one in enumerate(kind.columns)]
        times["prepare"].append(time.process_time() - start)
        start = time.process_time()
        for i in range(0, kind.items, 16):
            for one in rows:
                torch.from_numpy(np.array(one[i : i + 16]))
        times["again"].append(time.process_time() - start)
        start = time.process_time()
        for _batch in DataLoader(Files(kind), batch_size=16):
            pass
        times["plain"].append(time.process_time() - start)
    each = {name: found[1:] or found for name, found in times.items()}  # the first turn warms up
    rate = {name: round(kind.items / median(found), 1) for name, found in each.items()}
    ratio = {name: _ratio(each["plain"], each[name]) for name in ("prepare", "again")}
    return {"items": kind.items, "a_cpu_second": rate, "to_plain": ratio}


def _ratio(plain: list[float], other: list[float]) -> float:
    return round(median(p / o for p, o in zip(plain, other, strict=True)), 2)


def peak(folder: Path, count: int) -> float:
    """The most memory that preparing so many pictures takes, in MiB, on Linux."""
    (column,) = pictures(folder, count).columns
    prepared(column, folder / "cache", label="x")
    told = Path("/proc/self/status").read_text()  # getrusage also counts whoever started this process
    return round(int(re.findall(r"VmHWM:\s+(\d+)", told)[0]) / 1024, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true", help="a try of every part, which stores nothing")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    work = asked.folder / "loading"
    work.mkdir(parents=True)
    try:
        if asked.peak:
            print(peak(work, asked.peak))
            return
        found: dict[str, object] = {}
        for name, (make, count) in KINDS.items():
            (work / name).mkdir()
            kind = make(work / name, count // 12 if asked.tiny else count)
            found[name] = speed(kind, work / "cache")
            print(name, json.dumps(found[name]), flush=True)
        found["peak_mib"] = {
            f"{n:,} pictures": _peak(asked.folder / f"peak {n}", n)
            for n in ((20, 40) if asked.tiny else (500, 10_000))
        }
        print(json.dumps(found["peak_mib"]))
        if not asked.tiny:
            atomic.write_text(RESULT, json.dumps(found, indent=2) + "\n")
    finally:
        shutil.rmtree(work)


def _peak(folder: Path, count: int) -> float:
    command = [sys.executable, __file__, str(folder), "--peak", str(count)]
    try:
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
