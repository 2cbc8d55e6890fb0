"""Do public loaders read the published data sets as the lab does? A fixture of each, read by both, compared.

    python benchmarks/oracles.py FOLDER [name ...]

FOLDER holds clones of the public repositories in `ORACLES`, each under its own name. Their code runs there,
in a process of its own, and hands back arrays; networks and other packages that they import beside their
loaders are stood in for. Two want OpenCV. Exit 1 where anything is not as stated. Nothing of theirs is here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab import data
from mmkd_lab.core.places import PREPARED_VARIABLE
from mmkd_lab.data.published import pickles, vqa
from mmkd_lab.data.published.fixtures import (
    av_mnist_npy,
    crisismmd,
    iemocap,
    meld,
    mm_imdb,
    mosei,
    mosi,
    nyu_depth_v2,
    ravdess_clips,
    vqa_v2,
)

Found = Mapping[str, np.ndarray]
#: What was compared, and whether it is equal.
Answers = Iterator[tuple[str, bool]]
_SPLITS = {"train": "train", "valid": "val", "test": "test"}
#: Before their code: the clone, the fixture and the file of answers, and stand-ins for what is not installed.
_BEFORE = """
import sys, types, os, numpy as np
from pathlib import Path
from unittest.mock import MagicMock
CLONE, FIXTURE, OUT = sys.argv[1:]
os.chdir(CLONE)
sys.path.insert(0, CLONE)
np.seterr(all="ignore")
def stand_in(*names):
    for name in names:
        sys.modules[name] = MagicMock(name=name, __path__=[], __spec__=None)
def hand_back(**arrays):
    np.savez(OUT, **{name: np.asarray(one) for name, one in arrays.items()})
"""


@dataclass(frozen=True)
class Oracle:
    """A public loader: the set, the repository, what writes the fixture, the calls of their code, and what
    compares."""

    set: str
    repository: str
    write: Callable[[Path], object]
    theirs: str
    compared: Callable[[Path, Found], Answers]


def rows(paired: Any, name: str) -> np.ndarray:  # noqa: ANN401 - paired data
    """All rows of a modality."""
    return paired.modalities[name][list(range(len(paired)))].numpy()


def same(ours: np.ndarray, theirs: np.ndarray, within: float = 1e-5) -> bool:
    """Equal shapes and values."""
    return ours.shape == theirs.shape and bool(
        np.allclose(ours.astype(float), theirs.astype(float), rtol=0, atol=within)
    )


# --- sentiment -------------------------------------------------------------------------------------------

_MMSA = """
sys.path.insert(0, "src/MMSA")
import data_loader
out = {}
for part in ("train", "valid", "test"):
    args = dict(dataset_name=NAME, custom_feature=None, feature_T=None, feature_A=None, feature_V=None,
        featurePath=next(str(one) for one in Path(FIXTURE).rglob("aligned_50.pkl")), need_data_aligned=True,
        feature_dims=[0, 0, 0])
    found = data_loader.MMDataset(args, part)
    out |= {f"{part}_{name}": getattr(found, name) for name in ("text", "audio", "vision")}
    out |= {f"{part}_score": found.labels["M"], f"{part}_id": np.array(found.ids, dtype=str)}
hand_back(**out)
"""


def _sentiment(name: str, folder: Path, theirs: Found) -> Answers:
    ours = data.load(name, root=str(folder))
    parts = [part for part in _SPLITS if f"{part}_score" in theirs]
    for modality in ("text", "audio", "vision"):
        joined = np.concatenate([theirs[f"{part}_{modality}"] for part in parts])
        yield f"{modality}, all steps", same(rows(ours, modality), joined)
    score = np.concatenate([theirs[f"{part}_score"].reshape(-1) for part in parts])
    yield "scores", same(ours.target.numpy()[:, 0], score)
    ids = [one for part in parts for one in theirs[f"{part}_id"].tolist()]
    yield "names", list(ours.ids) == ids
    yield "splits", all(len(ours.splits[_SPLITS[part]]) == len(theirs[f"{part}_score"]) for part in parts)


_MULT = """
from src.dataset import Multimodal_Datasets
out = {}
for part in ("train", "valid", "test"):
    found = Multimodal_Datasets(FIXTURE, "mosi", part, True)
    every = [found[i] for i in range(len(found))]
    out |= {f"{part}_{name}": np.stack([x[i].numpy() for x, _, _ in every])
        for i, name in enumerate(("text", "audio", "vision"), start=1)}
    out |= {f"{part}_score": [y.item() for _, y, _ in every]}
    out |= {f"{part}_id": [f"{part}/{x[0]}" for x, _, _ in every]}
hand_back(**out)
"""


def _older(folder: Path) -> None:
    mosi.write(folder, 12)
    next(folder.rglob("aligned_50.pkl")).unlink()


def _wordless(folder: Path) -> None:
    """One training row has no words at all."""
    _older(folder)
    held = pickles.loads(folder / "mosi_data.pkl")
    held["train"]["text"] = held["train"]["text"].copy()
    held["train"]["text"][2] = 0
    pickles.write(folder / "mosi_data.pkl", held, protocol=2)


_AFFECT = """
stand_in("torchtext", "robustness", "robustness.text_robust", "robustness.timeseries_robust")
from datasets.affect import get_data
import pickle
held = pickle.load(open(f"{FIXTURE}/mosi_data.pkl", "rb"))
out = {}
for part in ("train", "valid", "test"):
    found = get_data.Affectdataset(get_data.drop_entry(held[part]), False, data_type="mosi")
    every = [found[i] for i in range(len(found))]
    out |= {f"{part}_{name}": np.stack([x[i].numpy() for x in every])
        for i, name in enumerate(("vision", "audio", "text"))}
    out |= {f"{part}_score": [x[4].item() for x in every]}
hand_back(**out)
"""


def _affect(folder: Path, theirs: Found) -> Answers:
    ours = data.load("mosi", root=str(folder))
    kept = np.array([i for i in range(len(ours)) if i != 2])
    for modality in ("text", "audio", "vision"):
        joined = np.concatenate([theirs[f"{part}_{modality}"] for part in _SPLITS])
        yield f"{modality}, all steps, without a row of no words", same(rows(ours, modality)[kept], joined)
    score = np.concatenate([theirs[f"{part}_score"] for part in _SPLITS])
    yield "scores", same(ours.target.numpy()[kept, 0], score)


# --- conversations ---------------------------------------------------------------------------------------

_TALKS = """
sys.path.insert(0, "DialogueRNN")
import dataloader
out = {}
for part, train in (("train", True), ("test", False)):
    found = MAKE(dataloader, train)
    every = sorted((found[i] for i in range(len(found))), key=lambda one: str(one[-1]))
    for i, name in enumerate(NAMES):
        out[f"{part}_{name}"] = np.concatenate([one[i].numpy() for one in every])
    out[f"{part}_label"] = np.concatenate([one[-2].numpy() for one in every])
    out[f"{part}_talk"] = np.array([str(one[-1]) for one in every for _ in range(len(one[-2]))])
hand_back(**out)
"""
_IEMOCAP = """
MAKE = lambda module, train: module.IEMOCAPDataset(f"{FIXTURE}/IEMOCAP_features_raw.pkl", train)
NAMES = ("text", "visual", "audio")
"""
_MELD = """
MAKE = lambda module, train: module.MELDDataset(f"{FIXTURE}/features/MELD_features_raw.pkl", 7, train)
NAMES = ("text", "audio")
"""


def _talks(name: str, names: tuple[str, ...], folder: Path, theirs: Found) -> Answers:
    """The rows of both sides, by dialogue; validation is theirs to draw, so that it counts as training."""
    ours = data.load(name, root=str(folder), form="tuple")
    test = np.sort(ours.splits["test"].numpy())
    train = np.setdiff1d(np.arange(len(ours)), test)
    for part, mine in (("train", train), ("test", test)):
        order = mine[np.argsort([_talk(ours.ids[i]) for i in mine], kind="stable")]
        for modality in names:
            yield f"{modality} of {part}", same(rows(ours, modality)[order], theirs[f"{part}_{modality}"])
        yield f"labels of {part}", same(ours.target.numpy()[order], theirs[f"{part}_label"])


def _talk(one: str) -> str:
    """The dialogue of an id, as text, by which they are sorted here."""
    return one.rpartition("_")[0] if one.startswith("Ses") else one.replace(":", "/").split("/")[0]


_COSMIC = """
import pickle, tempfile
folder = Path(tempfile.mkdtemp())
(folder / "iemocap").mkdir()
for name in ("iemocap_features_roberta.pkl",):
    os.symlink(Path(FIXTURE, name), folder / "iemocap" / name)
held = pickle.load(open(Path(FIXTURE, "iemocap_features_roberta.pkl"), "rb"))
nothing = {name: np.zeros((len(x), 1)) for name, x in held[1].items()}
pickle.dump((nothing,) * 9, open(folder / "iemocap" / "iemocap_features_comet.pkl", "wb"))
sys.path.insert(0, f"{CLONE}/COSMIC/erc-training")
import dataloader
os.chdir(folder)
out = {}
for part in ("train", "valid", "test"):
    found = dataloader.IEMOCAPRobertaCometDataset(part)
    every = sorted((found[i] for i in range(len(found))), key=lambda one: one[-1])
    out[f"{part}_text"] = np.concatenate([(one[0] + one[1] + one[2] + one[3]).numpy() / 4 for one in every])
    out[f"{part}_label"] = np.concatenate([one[-2].numpy() for one in every])
hand_back(**out)
"""


def _cosmic(folder: Path, theirs: Found) -> Answers:
    ours = data.load("iemocap", root=str(folder), form="roberta")
    for part, split in _SPLITS.items():
        at = ours.splits[split].numpy()
        order = at[np.argsort([ours.ids[i].partition("/")[0] for i in at], kind="stable")]
        yield f"mean of four layers, {split}", same(rows(ours, "text")[order], theirs[f"{part}_text"])
        yield f"labels, {split}", same(ours.target.numpy()[order], theirs[f"{part}_label"])


# --- questions -------------------------------------------------------------------------------------------

_PRINTS = """
import re, builtins
def printed(path):
    return re.sub(r"(?m)^(\\s*)print (.*)$", r"\\1print(\\2)", Path(path).read_text()).expandtabs(8)
def python_2(path, name):
    module = types.ModuleType(name)
    exec(compile(printed(path), path, "exec"), module.__dict__)
    sys.modules[name] = module
    return module
"""
_VQA = """
VQA = python_2("PythonHelperTools/vqaTools/vqa.py", "vqa").VQA
Eval = python_2("PythonEvaluationTools/vqaEvaluation/vqaEval.py", "vqaEval").VQAEval
names = ("v2_mscoco_val2014_annotations.json", "v2_OpenEnded_mscoco_val2014_questions.json")
files = [f"{FIXTURE}/{name}" for name in names]
whole = VQA(*files)
result = Eval(whole, whole.loadRes(f"{FIXTURE}/results.json", files[1]), n=6)
result.evaluate()
numbers = sorted(whole.getQuesIds())
kinds = sorted(result.accuracy["perAnswerType"])
hand_back(numbers=numbers, each=[result.evalQA[one] for one in numbers], overall=result.accuracy["overall"],
    kinds=kinds, by_kind=[result.accuracy["perAnswerType"][one] for one in kinds],
    images=[whole.qa[one]["image_id"] for one in numbers])
"""


def _answers(folder: Path) -> None:
    """Questions of validation with answers that differ in every way that the counting knows, and results."""
    vqa_v2.write(folder, 600)
    draw = np.random.default_rng(0)
    file = folder / "v2_mscoco_val2014_annotations.json"
    held = json.loads(file.read_text("utf-8"))
    said = [
        "two",
        "2",
        "Two dogs",
        "a dog",
        "the dog.",
        "dont",
        "don't",
        "isnt it",
        "1,000",
        "1, 000",
        "3.5",
        "3.",
    ]
    said += [
        "yes",
        "no",
        "Yes!",
        "on/off",
        "t-shirt",
        "none",
        "0",
        "im here",
        "somebody'd",
        "red\tcar",
        " red ",
        ".",
    ]
    said += [
        "10.",
        "u.s.a.",
        "what's up?",
        "youve",
        "(left)",
        "left",
        "an apple",
        "apple",
        "",
        "it's",
        "its",
        "x,y",
    ]
    found = []
    for i, one in enumerate(held["annotations"]):
        few = draw.choice(said, 1 + i % 4)
        for answer in one["answers"]:
            answer["answer"] = str(draw.choice(few))
        found.append(
            {"question_id": one["question_id"], "answer": str(draw.choice([*few, draw.choice(said)]))}
        )
    file.write_text(json.dumps(held), "utf-8")
    (folder / "results.json").write_text(json.dumps(found), "utf-8")


def _counted(folder: Path, theirs: Found) -> Answers:
    annotations = folder / "v2_mscoco_val2014_annotations.json"
    given = vqa.results(folder / "results.json")
    found = vqa.evaluated(given, annotations)
    yield "accuracy over all", abs(found["overall"] - float(theirs["overall"])) < 1e-5
    kinds = dict(zip(theirs["kinds"].tolist(), theirs["by_kind"].tolist(), strict=True))
    yield "accuracy by type of answer", all(abs(found[one] - x) < 1e-5 for one, x in kinds.items())
    asked = vqa.entries(annotations, "annotations", ("question_id", "answers"))
    each = [
        100 * vqa.accuracy(given[n], vqa.people(annotations, n, asked[n])) for n in theirs["numbers"].tolist()
    ]
    yield f"accuracy of each of {len(each)} questions", same(np.array(each), theirs["each"])
    paired = data.load("vqa_v2", root=str(folder), size=(8, 8), min_answers=1)
    test = {int(paired.ids[i]) for i in paired.splits["test"].tolist()}
    yield "numbers of the test's questions", test <= set(theirs["numbers"].tolist())


# --- films -----------------------------------------------------------------------------------------------

_FUEL = """
stand_in("gensim", "gensim.models", "datasets.imdb.vgg", "robustness", "robustness.text_robust",
    "robustness.visual_robust")
from datasets.imdb import get_data
import h5py
many = h5py.File(f"{FIXTURE}/multimodal_imdb.hdf5")["genres"].shape[0]
out = {}
for name, vgg in (("image", False), ("vgg", True)):
    found = get_data.IMDBDataset(f"{FIXTURE}/multimodal_imdb.hdf5", 0, many, vgg)
    every = [found[i] for i in range(len(found))]
    out |= {"text": np.stack([x[0] for x in every]), name: np.stack([x[1] for x in every]),
        "genres": np.stack([x[2] for x in every])}
hand_back(**out)
"""


def _films(folder: Path, theirs: Found) -> Answers:
    vectors = data.load("mm_imdb", root=str(folder), vectors=True)
    yield "word2vec of the plot", same(rows(vectors, "text"), theirs["text"])
    yield "VGG of the poster", same(rows(vectors, "image"), theirs["vgg"])
    order = [mm_imdb.GENRES.index(one) for one in vectors.classes]
    yield "genres, in our order", same(vectors.target.numpy(), theirs["genres"][:, order])
    shown = data.load("mm_imdb", root=str(folder), size=(256, 160))
    level = (theirs["image"] + np.array([103.939, 116.779, 123.68])[:, None, None])[:, ::-1]
    yield "posters, red first, mean added back", same(rows(shown, "image"), np.rint(level))


_MMBT = """
sys.path.insert(0, "scripts")
import mmimdb, json, shutil
shutil.copytree(FIXTURE, Path(OUT).parent / "copy")
mmimdb.format_mmimdb_dataset(str(Path(OUT).parent / "copy"))
told = [(part, json.loads(line)) for part in ("train", "dev", "test")
    for line in open(Path(OUT).parent / "copy" / f"{part}.jsonl")]
hand_back(part=[part for part, _ in told], id=[one["id"] for _, one in told],
    text=[one["text"] for _, one in told], label=["|".join(sorted(one["label"])) for _, one in told])
"""


def _listed_films(folder: Path, theirs: Found) -> Answers:
    ours = data.load("mm_imdb", root=str(folder), films="mmbt", size=(8, 8))
    split = {i: name for name, at in ours.splits.items() for i in at.tolist()}
    named = {"train": "train", "val": "dev", "test": "test"}
    yield "films", list(ours.ids) == theirs["id"].tolist()
    yield "splits", [named[split[i]] for i in range(len(ours))] == theirs["part"].tolist()
    genres = ["|".join(sorted(np.array(ours.classes)[row > 0])) for row in ours.target.numpy()]
    yield "genres", genres == theirs["label"].tolist()
    yield "the longest plot", [ours.caption("text", i) for i in range(len(ours))] == theirs["text"].tolist()


# --- MST-Distill's loaders of four sets ------------------------------------------------------------------

_MST = """
stand_in("models", *(f"models.{one}" for one in ("CNNs", "LeNet5", "FuseNet", "SeqNets", "CPSP", "MLPs")))
import utils
found = getattr(utils, CALL)(FIXTURE + "/")
hand_back(first=np.nan_to_num(found[0].numpy()), second=found[1].numpy(), label=found[2].numpy())
"""


def _scaled(values: np.ndarray, *axes: int) -> np.ndarray:
    """From 0 to 1 over these axes, as they do: each row alone, or each colour over the whole set."""
    low, high = (turn(values.astype(float), axis=axes, keepdims=True) for turn in (np.min, np.max))
    with np.errstate(invalid="ignore"):  # of a colour that is the same everywhere
        return np.nan_to_num((values - low) / (high - low))


def _arrays(folder: Path, theirs: Found) -> Answers:
    ours = data.load("av_mnist_npy", root=str(folder))
    for name, mine in (("first", "image"), ("second", "audio")):
        yield f"{mine}, scaled as they do", same(_scaled(rows(ours, mine), 1, 2, 3), theirs[name])
    yield "labels", same(ours.target.numpy(), theirs["label"])


def _faces(folder: Path, theirs: Found) -> Answers:
    ours = data.load("ravdess_clips", root=str(folder), form="arrays", frames=15, size=(16, 16))
    video = rows(ours, "video").reshape(len(ours), 15, 3, 16, 16)[:, :, ::-1]  # theirs are blue first
    yield "video, all frames, scaled as they do", same(_scaled(video, 0, 1, 3, 4), theirs["first"])
    yield "audio, scaled as they do", same(_scaled(rows(ours, "audio"), 1, 2, 3)[:, 0], theirs["second"])
    yield "labels", same(ours.target.numpy(), theirs["label"])


def _posts(folder: Path, theirs: Found) -> Answers:
    ours = data.load("crisismmd", root=str(folder), form="features")
    yield "pictures", same(rows(ours, "image"), theirs["first"])
    yield "texts", same(rows(ours, "text"), theirs["second"])
    yield "labels", same(ours.target.numpy(), theirs["label"])


def _scenes(folder: Path, theirs: Found) -> Answers:
    root = str(folder / "NYU-Depth-V2")
    ours = data.load("nyu_depth_v2", root=root, size=theirs["label"].shape[1:])
    yield "pictures, scaled as they do", same(_scaled(rows(ours, "rgb"), 0, 2, 3), theirs["first"])
    yield "depth, scaled as they do", same(_scaled(rows(ours, "depth"), 1, 2, 3), theirs["second"])
    yield "40 classes, 0 for none", same(ours.target.numpy() + 1, theirs["label"])


# --- rooms -----------------------------------------------------------------------------------------------

_ESANET = """
sys.path.insert(0, "src/datasets/nyuv2")
import runpy, cv2
file = f"{FIXTURE}/nyu_depth_v2_labeled.mat"
sys.argv = ["prepare_dataset.py", f"{Path(OUT).parent}/made", "--mat_filepath", file]
runpy.run_path("src/datasets/nyuv2/prepare_dataset.py", run_name="__main__")
out = {}
sys.argv = [""]
stand_in("cityscapesscripts", "cityscapesscripts.helpers", "cityscapesscripts.helpers.labels")
from src.datasets.nyuv2.pytorch_dataset import NYUv2
for side in ("train", "test"):
    for classes in (40, 13):
        found = NYUv2(f"{Path(OUT).parent}/made", classes, side)
        every = range(0, len(found), 9)
        out[f"{side}_{classes}"] = np.stack([found.load_label(i) for i in every])
    out[f"{side}_number"] = [int(found._filenames[i]) for i in every]
    out[f"{side}_all"] = [int(one) for one in found._filenames]
    out[f"{side}_rgb"] = np.stack([found.load_image(i) for i in every])
    out[f"{side}_depth"] = np.stack([found.load_depth(i) for i in every])
out["names"] = np.array(found.class_names_without_void)
hand_back(**out)
"""


def _whole_mat(folder: Path) -> None:
    """1,449 frames, so that the official split applies."""
    nyu_depth_v2.write(folder, 1449)
    for name in ("splits.mat", "classMapping40.mat", "class13Mapping.mat"):
        (folder / name).unlink()


def _rooms(folder: Path, theirs: Found) -> Answers:
    for classes in (40, 13):
        ours = data.load("nyu_depth_v2", root=str(folder), size=(120, 160), labels=classes)
        number = np.array([int(one) for one in ours.ids])
        for side in ("train", "test"):
            at = np.searchsorted(number, theirs[f"{side}_number"])
            yield (
                f"{classes} labels of {side}",
                same(ours.target.numpy()[at] + 1, theirs[f"{side}_{classes}"]),
            )
    test = sorted(int(ours.ids[i]) for i in ours.splits["test"].tolist())
    yield "the official test, 654 frames", test == sorted(theirs["test_all"].tolist())
    for side in ("train", "test"):
        at = np.searchsorted(number, theirs[f"{side}_number"]).tolist()
        rgb = ours.modalities["rgb"][at].numpy().transpose(0, 2, 3, 1)
        yield f"pictures of {side}", same(rgb, theirs[f"{side}_rgb"])
        depth = ours.modalities["depth"][at].numpy()[:, 0]
        yield f"depth of {side}, to a millimetre", same(depth, theirs[f"{side}_depth"] / 1000, 1.1e-3)
    yield "13 names", list(ours.classes) == [one.lower() for one in theirs["names"].tolist()]


_SAGATE = """
sys.path.insert(0, "furnace")
from datasets.BaseDataset import BaseDataset
out = {}
for side, name in (("train", "train"), ("val", "test")):
    setting = dict(img_root=FIXTURE, gt_root=FIXTURE, train_source=f"{FIXTURE}/train.txt",
        eval_source=f"{FIXTURE}/test.txt")
    found = BaseDataset(setting, side)
    every = [found[i] for i in range(len(found))]
    out[f"{name}_rgb"] = np.stack([np.asarray(one["data"]) for one in every])
    out[f"{name}_label"] = np.stack([np.asarray(one["label"]) for one in every])
    out[f"{name}_number"] = [int(one["fn"]) + 1 for one in every]
hand_back(**out)
"""


def _gates(folder: Path, theirs: Found) -> Answers:
    ours = data.load("nyu_depth_v2", root=str(folder), size=theirs["test_label"].shape[1:])
    number = [int(one) for one in ours.ids]
    for side in ("train", "test"):
        at = [number.index(one) for one in theirs[f"{side}_number"].tolist()]
        yield f"labels of {side}", same(ours.target.numpy()[at] + 1, theirs[f"{side}_label"])
        rgb = ours.modalities["rgb"][at].numpy().transpose(0, 2, 3, 1)
        yield f"pictures of {side}, within 2 levels", same(rgb, theirs[f"{side}_rgb"], 2)
    yield (
        "the test",
        sorted(ours.ids[i] for i in ours.splits["test"].tolist())
        == sorted(map(str, theirs["test_number"].tolist())),
    )


def _below(name: str, write: Callable[..., object], *given: Any) -> Callable[[Path], None]:  # noqa: ANN401 - of a fixture
    def made(folder: Path) -> None:
        (folder / name).mkdir(parents=True)
        write(folder / name, *given)

    return made


def _call(name: str) -> str:
    return f'CALL = "{name}"\n{_MST}'


ORACLES = {
    "mosi": Oracle(
        "mosi",
        "thuiar/MMSA",
        partial(mosi.write, samples=12),
        f'NAME = "mosi"\n{_MMSA}',
        partial(_sentiment, "mosi"),
    ),
    "mosei": Oracle(
        "mosei",
        "thuiar/MMSA",
        partial(mosei.write, samples=12),
        f'NAME = "mosei"\n{_MMSA}',
        partial(_sentiment, "mosei"),
    ),
    "mosi_mult": Oracle(
        "mosi", "yaohungt/Multimodal-Transformer", _older, _MULT, partial(_sentiment, "mosi")
    ),
    "mosi_multibench": Oracle("mosi", "pliang279/MultiBench", _wordless, _AFFECT, _affect),
    "iemocap": Oracle(
        "iemocap",
        "declare-lab/conv-emotion",
        partial(iemocap.write, samples=60),
        _IEMOCAP + _TALKS,
        partial(_talks, "iemocap", ("text", "audio", "visual")),
    ),
    "iemocap_roberta": Oracle(
        "iemocap", "declare-lab/conv-emotion", partial(iemocap.write, samples=90), _COSMIC, _cosmic
    ),
    "meld": Oracle(
        "meld",
        "declare-lab/conv-emotion",
        partial(meld.write, samples=60),
        _MELD + _TALKS,
        partial(_talks, "meld", ("text", "audio")),
    ),
    "vqa_v2": Oracle("vqa_v2", "GT-Vision-Lab/VQA", _answers, _PRINTS + _VQA, _counted),
    "mm_imdb_hdf5": Oracle(
        "mm_imdb", "pliang279/MultiBench", partial(mm_imdb.write_hdf5, samples=12), _FUEL, _films
    ),
    "mm_imdb": Oracle(
        "mm_imdb", "facebookresearch/mmbt", partial(mm_imdb.write, samples=24), _MMBT, _listed_films
    ),
    "av_mnist_npy": Oracle(
        "av_mnist_npy",
        "Gray-OREO/MST-Distill",
        _below("avmnist", av_mnist_npy.write, 80),
        _call("get_av_mnist"),
        _arrays,
    ),
    "ravdess_arrays": Oracle(
        "ravdess_clips",
        "Gray-OREO/MST-Distill",
        _below("RAVDESS_preprocessed_npy", ravdess_clips.write_arrays),
        _call("get_ravdess"),
        _faces,
    ),
    "crisismmd_features": Oracle(
        "crisismmd",
        "Gray-OREO/MST-Distill",
        _below("CMMD-V2", crisismmd.write_features),
        _call("get_cmmd_v2"),
        _posts,
    ),
    "nyu_mst": Oracle(
        "nyu_depth_v2",
        "Gray-OREO/MST-Distill",
        _below("NYU-Depth-V2", nyu_depth_v2.write, 30, "mst"),
        _call("get_nyu_depth_v2"),
        _scenes,
    ),
    "nyu_mat": Oracle("nyu_depth_v2", "TUI-NICR/ESANet", _whole_mat, _ESANET, _rooms),
    "nyu_sagate": Oracle(
        "nyu_depth_v2",
        "charlesCXK/RGBD_Semantic_Segmentation_PyTorch",
        partial(nyu_depth_v2.write, samples=18, layout="sagate"),
        _SAGATE,
        _gates,
    ),
}


def asked(oracle: Oracle, clones: Path, folder: Path) -> tuple[str, list[tuple[str, bool]]]:
    """The commit of their code, and what was compared."""
    clone = (clones / oracle.repository.partition("/")[2]).resolve()
    fixture, out = folder / "fixture", folder / "out.npz"
    fixture.mkdir()
    oracle.write(fixture)
    command = [sys.executable, "-c", _BEFORE + oracle.theirs, str(clone), str(fixture), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if not out.is_file():
        raise RuntimeError(f"{oracle.repository} did not answer:\n{done.stderr[-2000:]}")
    commit = ["git", "-C", str(clone), "rev-parse", "--short", "HEAD"]
    told = subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip()
    os.environ[PREPARED_VARIABLE] = str(folder / "prepared")
    with np.load(out, allow_pickle=False) as theirs:
        return told, list(oracle.compared(fixture, dict(theirs)))


def main() -> int:
    """Ask every oracle, or those named, and print what is equal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("clones", type=Path)
    parser.add_argument("names", nargs="*", help=", ".join(ORACLES))
    given = parser.parse_args()
    wrong = 0
    for name in given.names or ORACLES:
        with tempfile.TemporaryDirectory() as folder:
            commit, found = asked(ORACLES[name], given.clones, Path(folder))
        odd = [what for what, equal in found if not equal]
        wrong += len(odd)
        print(f"{name}: {ORACLES[name].set}, {ORACLES[name].repository} at {commit}")
        print(f"  equal: {'; '.join(what for what, equal in found if equal)}")
        print(*[f"  NOT EQUAL: {what}" for what in odd], sep="\n", end="\n" if odd else "")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
