"""Readers of `fuzz.py`: every published data set in a small fixture of each of its forms.

One file of a fixture is altered, and the whole set is looked at and loaded: it is read, with fewer samples
perhaps, or refused with the name of the file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmkd_lab import data
from mmkd_lab.core.check import LabError
from mmkd_lab.core.places import PREPARED_VARIABLE
from mmkd_lab.data.published import pickles
from mmkd_lab.data.published.fixtures import crisismmd, mm_imdb, nyu_depth_v2, ravdess_clips, vggsound
from mmkd_lab.data.published.publication import publication
from mmkd_lab.data.published.verify import verify
from mmkd_lab.data.registry import DATASETS

_SMALL = {"size": (8, 8)}
_CLIP = {**_SMALL, "frames": 1, "audio_frames": 8}
_ODD = (None, -1, 10**30, float("nan"), "", "../x", [], {}, "x" * 400, b"\xff", True)


@dataclass(frozen=True)
class Form:
    """A form of a set: its files that are altered, one of each kind, and how it is loaded."""

    name: str
    samples: int
    files: tuple[str, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    write: Callable[[Path, int], None] | None = None


_NYU = "nyu_depth_v2"
_NYU_FILES = {
    "mat": ("nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat"),
    "esanet": ("train/rgb/*1.png", "train/depth/*1.png", "train/labels_13/*1.png"),
    "nicr": ("train/semantic_13/*.png",),
    "vainf": ("seg13/train/*1.png",),
    "sagate": ("train.txt", "Depth/0.npy", "Label/0.png", "RGB/0.jpg"),
    "mst": ("NYU-Depth-V2_data.mat",),
    "0jl": ("*.parquet",),
    "tanganke": ("data/train*.parquet",),
}
_MELD = tuple(f"{part}_sent_emo.csv" for part in ("train", "dev", "test"))
_IEMOCAP = "IEMOCAP_full_release/Session1"
FORMS = (
    *(
        Form(_NYU, 18, files, {**_SMALL, "labels": 13}, partial(nyu_depth_v2.write, layout=layout))  # type: ignore[arg-type]
        for layout, files in _NYU_FILES.items()
    ),
    *(Form(name, 12, ("*/Processed/*.pkl",), {"steps": "mean"}) for name in ("mosi", "mosei")),
    Form("mosi", 12, ("mosi_data.pkl",), {"steps": "mean", "form": "older"}),
    Form("mm_imdb", 12, ("mmimdb/split.json", "mmimdb/dataset/*5.json", "mmimdb/dataset/*5.jpeg"), _SMALL),
    Form("mm_imdb", 12, ("multimodal_imdb.hdf5", "metadata.npy"), _SMALL, mm_imdb.write_hdf5),
    Form("mm_imdb", 12, ("multimodal_imdb.hdf5",), {**_SMALL, "vectors": True}, mm_imdb.write_hdf5),
    Form("hateful_memes", 18, ("train.jsonl", "test_unseen.jsonl", "img/01234.png"), _SMALL),
    Form("snli_ve", 12, ("snli_ve_train.jsonl", "flickr30k_images/*.jpg"), _SMALL),
    Form(
        "vqa_v2",
        12,
        ("v2_O*.json", "v2_mscoco_train*.json", "train2014/*9.jpg"),
        {**_SMALL, "min_answers": 2},
    ),
    Form("crisismmd", 18, ("*agreed_label/*humanitarian*.tsv", "data_image/*/*/*.jpg"), _SMALL),
    Form("crisismmd", 48, ("CMMD_data.pth",), {"form": "features"}, crisismmd.write_features),
    Form("av_mnist_npy", 40, ("train_labels.npy", "image/train_data.npy", "audio/test_data.npy")),
    Form("crema_d", 60, ("train.csv", "AudioWAV/*NEU*.wav", "VideoFlash/*SAD*.flv"), _CLIP),
    Form("crema_d", 60, ("train.csv",), {**_CLIP, "split": "listed"}),
    Form("ravdess_clips", 36, ("Audio*/Actor_01/*.wav", "Video*/Actor_02/01*.mp4"), _CLIP),
    Form("ravdess_clips", 3, ("*.npy",), {**_CLIP, "form": "arrays"}, ravdess_clips.write_arrays),
    Form("vggsound", 12, ("vggsound.csv", "data/stat.csv", "video/*.mp4"), _CLIP),
    Form("vggsound", 12, ("audio/*.wav", "frames/*/*.jpg"), _CLIP, partial(vggsound.write, layout="frames")),
    Form(
        "vggsound", 12, ("*/*/*.jpg", "*/*/*.npy", "*/*/*.wav"), _CLIP, partial(vggsound.write, layout="mfh")
    ),
    Form("meld", 48, (*_MELD, "train_splits/dia1*.mp4"), _CLIP),
    Form("meld", 48, ("train_sent_emo.csv", "features/*glove*.pkl"), {"form": "features"}),
    Form("meld", 48, ("features/MELD_features_raw.pkl",), {"form": "tuple"}),
    Form(
        "iemocap",
        36,
        tuple(
            f"{_IEMOCAP}/{one}"
            for one in ("dialog/E*/S*.txt", "dialog/t*/S*.txt", "sentences/*/*/*.wav", "dialog/*/*/*.avi")
        ),
        _CLIP,
    ),
    Form("iemocap", 36, ("IEMOCAP_features_raw.pkl",), {"form": "tuple"}),
    Form("iemocap", 36, ("iemocap_features_roberta.pkl",), {"form": "roberta"}),
)


def sets(
    folder: Path,
) -> dict[str, tuple[Path, Callable[[Path], object], Callable[[random.Random], bytes] | None]]:
    """{reader: (a sound file, what reads the whole set, what alters the file inside)}."""
    found = {}
    for i, form in enumerate(FORMS):
        root = folder / f"{i}-{form.name}"
        root.mkdir()
        (form.write or publication(form.name).fixture)(root, form.samples)
        options = dict(form.options)
        if options.get("form") == "older":
            shutil.rmtree(root / "MOSI")
            del options["form"]
        for pattern in form.files:
            file = sorted(root.glob(pattern))[0]
            name = f"{form.name}: {file.relative_to(root)}"
            name += "".join(
                f", {one} {options[one]}" for one in ("form", "split", "vectors") if one in options
            )
            found[name] = (file, partial(whole, form.name, root, options), _inside(file))
    return found


def whole(name: str, root: Path, options: Mapping[str, object], file: Path) -> object:
    """What a set holds. A refusal that does not name the file, or the folder, is a fault."""
    with tempfile.TemporaryDirectory() as kept, contextlib.redirect_stderr(io.StringIO()):
        before = os.environ.get(PREPARED_VARIABLE)
        os.environ[PREPARED_VARIABLE] = kept
        try:
            recipe = DATASETS[name].recipe(root=str(root), **options)
            list(verify(publication(name), recipe, full=True))
            paired = data.load(name, root=str(root), **options)
            return paired.fingerprint, paired.ids, paired.classes
        except LabError as error:
            if file.name not in str(error) and str(root) not in str(error):
                raise RuntimeError(f"names no file: {error}") from error
            raise
        finally:
            os.environ.pop(PREPARED_VARIABLE)
            os.environ |= {PREPARED_VARIABLE: before} if before is not None else {}


def _inside(file: Path) -> Callable[[random.Random], bytes] | None:
    """What makes a whole file of the same kind with one thing in it altered."""
    content = file.read_bytes()
    kinds: dict[str, Callable[[bytes, random.Random], bytes]] = {
        ".json": _json,
        **dict.fromkeys((".jsonl", ".csv", ".tsv", ".txt"), _line),
        ".pkl": _pickle,
        ".npy": _npy,
        ".hdf5": _hdf5,
        ".mat": _hdf5,
        ".parquet": _parquet,
        ".pth": _torch,
    }
    make = kinds.get(file.suffix)
    if make is None or (make is _hdf5 and b"HDF" not in content[:600]):
        return None
    if make is _npy and not content[:80].count(b"'<f") and not content[:80].count(b"'<i"):
        return None
    return partial(make, content)


def _json(content: bytes, rng: random.Random) -> bytes:
    return json.dumps(_altered(json.loads(content), rng), default=str).encode()


def _line(content: bytes, rng: random.Random) -> bytes:
    """A line away, twice, cut, in another place, or a cell of it exchanged."""
    lines = content.splitlines(keepends=True)
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(5)
    if kind == 0:
        del lines[i]
    elif kind == 1:
        lines.insert(j, lines[i])
    elif kind == 2:
        lines[i] = lines[i][: rng.randrange(len(lines[i]))] + b"\n"
    elif kind == 3:
        lines[i], lines[j] = lines[j], lines[i]
    else:
        mark = b"\t" if b"\t" in lines[i] else b","
        cells = lines[i].split(mark)
        cells[rng.randrange(len(cells))] = str(rng.choice(_ODD)).encode()
        lines[i] = mark.join(cells)
    return b"".join(lines)


def _pickle(content: bytes, rng: random.Random) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(content)
        pickles.write(path, _altered(pickles.loads(path), rng), protocol=rng.choice([2, 4]))
        return path.read_bytes()


def _altered(value: Any, rng: random.Random) -> Any:  # noqa: ANN401 - anything
    """The same with one member away or another, at any depth."""
    if isinstance(value, np.ndarray):
        return _array(value, rng)
    if not isinstance(value, (dict, list, tuple)) or not value or rng.random() < 0.1:
        return rng.choice(_ODD)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key, gone = rng.choice(list(keys)), rng.random() < 0.2
    pairs = [(one, _altered(value[one], rng) if one == key else value[one]) for one in keys]
    pairs = [pair for pair in pairs if not (gone and pair[0] == key)]
    return dict(pairs) if isinstance(value, dict) else type(value)(one for _, one in pairs)


def _array(value: np.ndarray, rng: random.Random) -> Any:  # noqa: ANN401 - an array, or none
    """Other axes, another type, a row more or less, an odd number in one place."""
    kind = rng.randrange(7)
    if kind == 0:
        return value.T.copy()
    if kind == 1:
        return value.astype(rng.choice(["O", "S4", "U3"]))
    if kind == 2:
        return value[rng.randrange(2) :] if value.ndim else value
    if kind == 3:
        return value[..., None]
    if kind == 4:
        return value.reshape(-1)
    if kind == 5 or value.dtype.kind not in "fiu" or not value.size:
        return rng.choice([value[:0] if value.ndim else value, None, 3, []])
    value = value.copy()
    odd = [0, 1, 7] if value.dtype.kind == "u" else [-1, 99]
    value.reshape(-1)[rng.randrange(value.size)] = rng.choice(
        odd if value.dtype.kind != "f" else [np.nan, np.inf, -1e30, 1e30]
    )
    return value


def _npy(content: bytes, rng: random.Random) -> bytes:
    held = io.BytesIO()
    np.save(held, _array(np.load(io.BytesIO(content), allow_pickle=False), rng))
    return held.getvalue()


def _hdf5(content: bytes, rng: random.Random) -> bytes:
    """A dataset or an attribute away or another, or a dataset of other axes, of another type."""
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(content)
        with h5py.File(path, "r+") as file:
            name = rng.choice([one for one in file if one != "#refs#"])
            attributes = [one.attrs for one in (file, file[name]) if len(one.attrs)]
            if attributes and rng.random() < 0.3:
                held = rng.choice(attributes)
                key = rng.choice(list(held))
                del held[key]
                if rng.random() < 0.5:
                    held[key] = rng.choice([1, "x", np.zeros(3)])
            else:
                values = None if file[name].dtype.hasobject else _array(file[name][:], rng)
                del file[name]
                if isinstance(values, np.ndarray) and values.dtype.kind in "fiuS":
                    file[name] = values
                elif rng.random() < 0.5:
                    file.create_group(name)
        return path.read_bytes()


def _parquet(content: bytes, rng: random.Random) -> bytes:
    """A column away, or one value in it another."""
    import pyarrow
    from pyarrow import parquet

    held = parquet.read_table(io.BytesIO(content)).to_pydict()
    name = rng.choice(list(held))
    if rng.random() < 0.2:
        del held[name]
    else:
        i = rng.randrange(len(held[name]))
        held[name] = [_altered(x, rng) if k == i else x for k, x in enumerate(held[name])]
    out = io.BytesIO()
    try:
        parquet.write_table(pyarrow.table(held), out)
    except pyarrow.ArrowException:  # what no table can hold
        return content[: rng.randrange(len(content))]
    return out.getvalue()


def _torch(content: bytes, rng: random.Random) -> bytes:
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(content)
        torch.save(_altered(pickles.torch_arrays(path), rng), out)
    return out.getvalue()
