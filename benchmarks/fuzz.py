"""Is a damaged file refused? Every reader of the lab on files altered at random.

    python benchmarks/fuzz.py [--files 1200] [--seed 0]
    python benchmarks/fuzz.py --published [--files 25]    # the published sets instead

A file is refused with a `LabError`, or read. What was stored with a digest must then be what was stored; a
file without one may have become another of its kind. Anything else is a fault: another exception, a file that
holds something else. Exit 1 when there is one.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import random
import shutil
import sys
import tempfile
import traceback
import wave
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import fuzz_sets
import numpy as np
import pandas as pd
import torch
from PIL import Image

from mmkd_lab.cli.library import read_notebook
from mmkd_lab.cli.notebooks import settle
from mmkd_lab.cli.page import gather, write_index
from mmkd_lab.cli.record import Outcome, Run
from mmkd_lab.core.check import LabError
from mmkd_lab.data import PairedData, archives, content
from mmkd_lab.data.datasets import mfeat, nlvr, ravdess_wav
from mmkd_lab.data.manifest import DataFile
from mmkd_lab.distill import read_answers
from mmkd_lab.experiments import store
from mmkd_lab.experiments.result import Study
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Replicas, load, save

RESULTS = Path(__file__).parent / "results" / "fuzz.json"
COUNTS = ("refused", "unchanged", "another", "faults")
_WORDS = [
    b"NaN",
    b"null",
    b"[",
    b"{",
    b'"',
    b"1e999",
    b"-1",
    b"../",
    b"\0",
    b"((((",
    b"\xff\xfe",
    b"9" * 5000,
]
_VALUES = [
    None,
    True,
    [],
    {},
    "",
    "x" * 5000,
    "\ud800",
    "../x",
    -1,
    0.5,
    10**400,
    float("nan"),
    [[[]]],
    {"a": 1},
]
_NUMBERS = [n.to_bytes(size, "little") for size in (2, 4, 8) for n in (0, 1, 256**size - 1, 256**size // 2)]


@dataclass(frozen=True)
class Reader:
    """A sound `file` and how it is read; `sealed` when it was stored with a digest.

    `read` gives what was found, as anything whose repr tells it. `inside` gives a file that is whole, with
    something altered inside: a member of an archive, a value of JSON. Half of the files are such.
    """

    file: Path
    read: Callable[[Path], object]
    sealed: bool = False
    inside: Callable[[random.Random], bytes] | None = None


def altered(found: bytes, rng: random.Random) -> bytes:
    """The same bytes with a thing or two done to them."""
    out = bytearray(found)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at, length = rng.randrange(len(out) + 1), rng.choice([1, 2, 4, 16, 200])
        piece = rng.choice([rng.choice(_WORDS), rng.choice(_NUMBERS), rng.randbytes(length)])
        kind = rng.randrange(7)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at : at + len(piece)] = piece
        elif kind == 2:
            out[at:at] = piece
        elif kind == 3:
            del out[at : at + length]
        elif kind == 4:
            del out[at:]
        elif kind == 5:
            out[at:at] = out[at : at + length]
        elif out:
            there = rng.randrange(len(out))
            out[at : at + length], out[there : there + length] = (
                out[there : there + length],
                out[at : at + length],
            )
    return bytes(out)


def json_with(found: object, rng: random.Random) -> bytes:
    """JSON in which one value, at any depth, is another."""
    out = [json.loads(json.dumps(found))]
    at: tuple[object, object] = (out, 0)
    while True:
        parent, name = at
        value = parent[name]  # type: ignore[index]
        names = (
            list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        )
        if not names or rng.random() < 0.2:
            parent[name] = rng.choice(_VALUES)  # type: ignore[index]
            return json.dumps(out[0]).encode()
        at = (value, rng.choice(list(names)))


def trial(reader: Reader, rng: random.Random, whole: bytes, known: str) -> tuple[str, str]:
    """What became of one altered file: one of `COUNTS`, and for a fault what happened."""
    deep = reader.inside is not None and rng.random() < 0.5
    reader.file.write_bytes(reader.inside(rng) if deep and reader.inside else altered(whole, rng))
    try:
        found = said(reader.read(reader.file))
    except LabError:
        return "refused", ""
    except Exception:  # what this script looks for
        return "faults", traceback.format_exc(limit=-6)
    if found == known:
        return "unchanged", ""
    return ("faults", f"accepted: {found[:200]}") if reader.sealed else ("another", "")


def said(value: object) -> str:
    """A digest of anything, arrays and tables whole."""
    if isinstance(value, Mapping):
        return said([(str(key), said(value[key])) for key in sorted(value, key=str)])
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        value = (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, pd.DataFrame):
        value = value.to_csv()
    return hashlib.sha256(repr(value).encode("utf-8", "backslashreplace")).hexdigest()


def fuzz(files: int, seed: int, folder: Path, *, published: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """reader, files and `COUNTS`, one row a reader of so many files each; and what the faults were."""
    rows, faults = [], []
    for name, reader in (_sets if published else readers)(folder).items():
        whole = reader.file.read_bytes()
        rng, known, counts = random.Random(f"{seed} {name}"), said(reader.read(reader.file)), Counter[str]()
        for _ in range(files):
            what, why = trial(reader, rng, whole, known)
            counts[what] += 1
            faults += [f"{name}: {why}"] if what == "faults" else []
        reader.file.write_bytes(whole)
        rows.append((name, files, *(counts[what] for what in COUNTS)))
    return pd.DataFrame(rows, columns=["reader", "files", *COUNTS]), faults


def readers(folder: Path) -> dict[str, Reader]:
    """Every reader with a sound file of its kind, in folders of their own."""
    groups = (_published, _tables, _stored, _pages)
    found: dict[str, Reader] = {}
    for group in groups:
        place = folder / group.__name__
        place.mkdir(parents=True)
        found |= group(place)
    return found


def _published(folder: Path) -> dict[str, Reader]:
    rng = np.random.default_rng(0)
    digits = b"\0\0\x08\x02\0\0\0\x28\0\0\0\x08" + rng.bytes(320)
    images = _put(folder / "images.gz", gzip.compress(digits, mtime=0))
    known = DataFile("mnist", ("images.gz",), "idx.gz", hashlib.sha256(digits).hexdigest(), 332, 0.1, ())
    arrays = {"x": rng.random((6, 5)), "y": np.arange(6), "text": np.array(["a", "bc"] * 3)}
    np.savez_compressed(folder / "arrays.npz", **arrays)
    size = sum(one.nbytes for one in arrays.values())
    array = DataFile("features", ("arrays.npz",), "arrays", archives.digest_npz(arrays), size, 0.1, ())
    sound = _wav(rng, 8000, 800)
    clips = {f"recordings/{i}_theo_0.wav": sound for i in range(3)}
    digest = archives.digest_members({name[11:]: one for name, one in clips.items()})
    zipped = _put(folder / "clips.zip", _zip(clips))
    spoken = DataFile("fsdd", ("clips.zip",), "recordings", digest, 3, 0.1, ())
    clip = _put(folder / "03-01-06-01-02-01-12.wav", _wav(rng, 48000, 24000))
    picture = io.BytesIO()
    Image.fromarray(rng.integers(0, 2, (100, 400, 3), dtype=np.uint8) * 255).save(picture, "PNG")
    members = {f"{name}.npy": _npy(one) for name, one in arrays.items()}
    return {
        "idx.gz": Reader(
            images,
            lambda path: content.read_gz(known, path),
            True,
            lambda rng: gzip.compress(altered(digits, rng)),
        ),
        "idx": Reader(
            _put(folder / "images.idx", digits),
            lambda path: archives.read_idx(path.read_bytes(), name=str(path)),
        ),
        "array file": Reader(
            folder / "arrays.npz",
            lambda path: content.read_arrays(array, path),
            True,
            lambda rng: _zip({**members, "x.npy": altered(members["x.npy"], rng)}),
        ),
        "archive": Reader(
            zipped,
            lambda path: content.read_members(spoken, path),
            True,
            lambda rng: _zip({**clips, "recordings/1_theo_0.wav": altered(sound, rng)}),
        ),
        "wav": Reader(
            _put(folder / "sound.wav", sound),
            lambda path: archives.read_wav(path.read_bytes(), name=str(path)),
        ),
        "RAVDESS recording": Reader(clip, ravdess_wav.clip_levels),
        "drawing": Reader(
            _put(folder / "drawing.png", picture.getvalue()),
            lambda path: nlvr._decode(path.read_bytes(), 4, str(path)),
        ),
        "mfeat text": Reader(
            _put(folder / "mfeat-mor", b"\n".join(b"1 2 0.5 -3 1e2 7" for _ in range(2000))),
            lambda path: mfeat._read_text(path.parent, "mor"),
        ),
    }


def _tables(folder: Path) -> dict[str, Reader]:
    n, rng = 60, np.random.default_rng(0)
    x = torch.from_numpy(rng.random((n, 2), dtype=np.float32))
    splits = {"train": torch.arange(40), "val": torch.arange(40, 50), "test": torch.arange(50, n)}
    data = PairedData("pairs", {"a": x, "b": x}, torch.arange(n) % 3, splits, ("cat", "dog", "owl"))
    table = pd.DataFrame(rng.random((n, 3)), columns=list(data.classes)).assign(id=range(n))
    table.to_csv(folder / "said.csv", index=False)
    table.to_json(folder / "said.json", orient="records")
    np.savez(folder / "said.npz", **{name: table[name].to_numpy() for name in table})
    columns = {f"{name}.npy": _npy(table[name].to_numpy()) for name in table}

    def read(path: Path) -> object:
        return read_answers(path, data, values="logits").outputs.arrays()

    return {
        "teacher's CSV": Reader(folder / "said.csv", read),
        "teacher's JSON": Reader(
            folder / "said.json", read, False, lambda rng: json_with(table.to_dict("records"), rng)
        ),
        "teacher's npz": Reader(
            folder / "said.npz",
            read,
            False,
            lambda rng: _zip({**columns, "cat.npy": altered(columns["cat.npy"], rng)}),
        ),
    }


def _stored(folder: Path) -> dict[str, Reader]:
    kept, key = store.ResultStore(folder), store.key(arm="no_kd", seed=0)
    kept.put(key, {"accuracy": 71.25, "history": [{"loss": 0.5}]}, {"logits": np.arange(12.0).reshape(3, 4)})
    entry = kept.path(key)
    body = {name: one for name, one in json.loads(entry.read_text()).items() if name != "sha256"}

    def get(_: Path) -> object:
        found = kept.get(key)
        return found and (dict(found.metrics), said(found.tensors))

    def signed(rng: random.Random) -> bytes:
        """An altered entry with a digest that fits, where it can have one."""
        changed = json_with(body, rng)
        try:
            other = json.loads(changed)
            return json.dumps({**other, "sha256": store._digest(other)}).encode()
        except (ValueError, TypeError):
            return changed

    toy = {"a": torch.arange(24.0).reshape(8, 3)}
    shapes = PairedData("toy", toy, torch.arange(8) % 2, {"train": torch.arange(8)}, ("no", "yes"))
    nets = Replicas.build(NetSpec(width=2, features=2), shapes, seeds=[0, 1], device="cpu")
    saved = save(nets, folder / "nets.safetensors")
    return {
        "store's entry": Reader(entry, get, True),
        "store's entry, signed anew": Reader(entry, get, False, signed),
        "store's tensors": Reader(next(entry.parent.glob("*.safetensors")), get, True),
        "networks": Reader(
            saved, lambda path: {**(one := load(path, device="cpu")).parameters, "seeds": one.seeds}, True
        ),
    }


def _pages(folder: Path) -> dict[str, Reader]:
    rows = [("s", "d", "no_kd", "student", seed, "test", "accuracy", 60.0 + seed) for seed in range(5)]
    heads = ["study", "dataset", "arm", "role", "seed", "split", "metric", "value"]
    study = Study("s", "A finding", pd.DataFrame(rows, columns=heads), "It is 62.", kind="none")
    head = study.save(folder / "run" / "00")

    def read(_: Path) -> object:
        found = Study.load(head)
        return found.table.to_csv(), found.title, found.verdict

    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "# Title"},
        {
            "cell_type": "code",
            "metadata": {},
            "source": "a",
            "outputs": [{"data": {"image/png": "aGVsbG8="}}],
        },
        {
            "cell_type": "code",
            "metadata": {"tags": ["parameters"]},
            "source": "a: int = 1  # one\nb: str = 'x'",
        },
    ]
    notebook = {"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    saved = json.loads(head.read_text(encoding="utf-8"))
    run = Run.begin(folder / "run", [Outcome("00", "T", "done")])
    run.save()
    record = json.loads((folder / "run" / "run.json").read_text())

    def settled(_: Path) -> object:
        settle(folder)
        write_index(Run.load(folder / "run"))
        return (folder / "run" / "run.json").read_bytes()

    return {
        "study": Reader(head, read, False, lambda rng: json_with(saved, rng)),
        "study's table": Reader(head.with_suffix(".csv"), read, True),
        "notebook": Reader(
            _put(folder / "n.ipynb", json.dumps(notebook).encode()),
            lambda path: str(read_notebook(path)),
            False,
            lambda rng: json_with(notebook, rng),
        ),
        "page of a study": Reader(
            head, lambda _: gather(folder / "run", "00"), False, lambda rng: json_with(saved, rng)
        ),
        "page of a notebook": Reader(
            _put(folder / "run" / "00.ipynb", json.dumps(notebook).encode()),
            lambda _: gather(folder / "run", "00"),
            False,
            lambda rng: json_with(notebook, rng),
        ),
        "page of a table": Reader(head.with_suffix(".csv"), lambda _: gather(folder / "run", "00")),
        "record of a run": Reader(
            folder / "run" / "run.json", settled, False, lambda rng: json_with(record, rng)
        ),
    }


def _sets(folder: Path) -> dict[str, Reader]:
    return {name: Reader(*one[:2], False, one[2]) for name, one in fuzz_sets.sets(folder).items()}


def _put(path: Path, found: bytes) -> Path:
    path.write_bytes(found)
    return path


def _zip(found: Mapping[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, one in found.items():
            archive.writestr(name, one)
    return held.getvalue()


def _npy(array: np.ndarray) -> bytes:
    held = io.BytesIO()
    np.save(held, array)
    return held.getvalue()


def _wav(rng: np.random.Generator, rate: int, samples: int) -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(rng.integers(-9000, 9000, samples).astype("<i2").tobytes())
    return held.getvalue()


def main() -> int:
    """Try every reader, print and store the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, help="altered files a reader")
    parser.add_argument("--published", action="store_true", help="the published sets")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        files = given.files or (25 if given.published else 1200)
        found, faults = fuzz(files, given.seed, folder, published=given.published)
    finally:
        shutil.rmtree(folder)
    print(found.to_string(index=False))
    first = {fault.partition(":")[0]: fault for fault in reversed(faults)}
    print(f"{found['files'].sum()} files, {len(faults)} faults; the first of each reader:")
    print(*first.values(), sep="\n")
    about = {"seed": given.seed, "files": int(found["files"].sum()), "readers": found.to_dict("records")}
    results = RESULTS.with_name("fuzz_published.json") if given.published else RESULTS
    results.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
