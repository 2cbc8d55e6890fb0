"""Do the default networks keep up with plain classifiers, and does a study say so where they do not?

    python benchmarks/default_networks.py                  every set whose files are there
    python benchmarks/default_networks.py joints mfeat     those whose names begin so

The default student and teacher of `failure_cases`, from labels alone, beside scikit-learn's logistic
regression and RBF support vectors on the same samples, standardised and flattened, text as counts of words.
Of each classifier the strength with the best validation score is taken, of each network the best epoch.
Writes benchmarks/results/default_networks.csv, where the rows of other sets stay; the exit code is 1 when a
network lies more than `MARGIN` points below the better classifier on validation and the study has no note
that says so. Some sets need files of their own (`mmkd-lab data get`, or MMKD_LAB_MIRROR).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from mmkd_lab import data
from mmkd_lab.data import PairedData
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.study import failure_cases

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS, MARGIN = 3, 3.0
SIZES = {"train": 240, "val": 1000, "test": 1000}
LINEAR, KERNEL = "logistic regression", "RBF SVM"
STRENGTHS = {LINEAR: (1e-3, 1e-2, 1e-1, 1.0, 10.0), KERNEL: (1e-1, 1.0, 10.0, 100.0)}
#: How the note begins that speaks of it, and whom it names.
NOTE = "A plain classifier on the same input has the better score"
SAID = {"student": "students of no KD", "teacher": "teachers of unimodal KD"}

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def paired(name: str, x: Floats, target: Labels, sizes: Mapping[str, int] = SIZES) -> PairedData:
    """Samples as paired data: modality 'x', beside one that tells nothing and nobody here reads."""
    ends = np.cumsum([0, *sizes.values()])
    splits = {split: np.arange(*ends[i : i + 2]) for i, split in enumerate(sizes)}
    classes = tuple(map(str, range(int(target.max()) + 1)))
    return PairedData(name, {"x": x, "none": np.zeros((len(x), 1))}, target, splits, classes)


def _labels(classes: int, sizes: Mapping[str, int] = SIZES) -> Labels:
    return np.arange(sum(sizes.values())) % classes


def _waves(target: Labels, rng: np.random.Generator) -> Floats:
    """(N, 32): a wave a sample, of its class's frequency and nearly known phase."""
    phase = rng.uniform(-0.5, 0.5, size=(len(target), 1))
    found: Floats = np.sin((1 + target)[:, None] * 2 * np.pi * np.arange(32) / 32 + phase)
    return found


def joints(rng: np.random.Generator) -> PairedData:
    """20 joints in metres, far from zero; classes are in how they move by centimetres."""
    target = _labels(3)
    place = np.array([3.0, -40.0, 1200.0]) + rng.normal(size=(20, 3))
    way = 0.02 * rng.normal(size=(3, 20, 3))[target]
    x = place + _waves(target, rng)[:, :, None, None] * way[:, None]
    return paired("joints", x + 0.13 * rng.normal(size=x.shape), target)


def sensors(rng: np.random.Generator) -> PairedData:
    """An accelerometer in g that tells the classes, beside a gyroscope in degrees a second that does not."""
    target = _labels(4)
    x = rng.normal(size=(len(target), 32, 6))
    x[..., :3] = 3.0 * x[..., :3] + _waves(target, rng)[:, :, None] * rng.normal(size=(4, 3))[target][:, None]
    units = np.array([0.02] * 3 + [100.0] * 3)
    return paired("sensors", np.array([0, 0, 1.0, 0, 0, 0]) + units * x, target)


def spreads(rng: np.random.Generator) -> PairedData:
    """Sequences of mean zero, whose classes differ in how much each of 4 channels varies."""
    target = _labels(4)
    scale = np.exp(0.2 * rng.normal(size=(4, 4)))[target]
    return paired("spreads", scale[:, None] * rng.normal(size=(len(target), 16, 4)), target)


def radii(rng: np.random.Generator) -> PairedData:
    """Vectors of mean zero in two classes, one of which lies farther out."""
    target = _labels(2)
    return paired("radii", np.array([1.0, 1.5])[target][:, None] * rng.normal(size=(len(target), 8)), target)


def few(rng: np.random.Generator) -> PairedData:
    """323 training samples of 27 classes."""
    sizes = {**SIZES, "train": 323}
    target = _labels(27, sizes)
    centre = rng.normal(size=(27, 20))
    return paired("few", centre[target] + 0.7 * rng.normal(size=(len(target), 20)), target, sizes)


def copies(rng: np.random.Generator) -> PairedData:
    """Nine columns of which six decide, each given three times with a little noise of its own."""
    columns = rng.normal(size=(sum(SIZES.values()), 9))
    target = (columns[:, :6].sum(1) + rng.normal(size=len(columns)) > 0).astype(int)
    return paired(
        "copies", np.hstack([columns + 0.1 * rng.normal(size=columns.shape) for _ in "abc"]), target
    )


def topics(rng: np.random.Generator) -> PairedData:
    """Ten proportions that sum to one, five of which go with the five classes."""
    target = _labels(5)
    amounts = rng.gamma(0.5 + 2.0 * np.eye(10)[target])
    return paired("topics", amounts / amounts.sum(1, keepdims=True), target)


def units(rng: np.random.Generator) -> PairedData:
    """Twelve columns in units from nano to giga, far from zero."""
    target = _labels(3)
    x = 0.7 * rng.normal(size=(3, 12))[target] + rng.normal(size=(len(target), 12))
    return paired("units", (x + 30) * 10.0 ** rng.integers(-9, 10, size=12), target)


def leaks(rng: np.random.Generator) -> PairedData:
    """Features whose extractor has seen the training labels: there alone they tell the class well."""
    target = _labels(4)
    x = 0.4 * rng.normal(size=(4, 30))[target] + rng.normal(size=(len(target), 30))
    seen = np.arange(len(target)) < SIZES["train"]
    x[seen, :4] += 2.0 * np.eye(4)[target[seen]]
    return paired("leaks", x, target)


GENERATED: dict[str, Callable[[np.random.Generator], PairedData]] = {
    one.__name__: one for one in (joints, sensors, spreads, radii, few, copies, topics, units, leaks)
}
#: The lab's own: dataset, parameters of `data.load`, modalities.
LOADED: tuple[tuple[str, dict[str, object], tuple[str, ...]], ...] = (
    ("gaussian", {}, ("a", "b")),
    ("av_digits", {}, ("speech", "image")),
    ("shapes_vl", {}, ("image", "text")),
    ("mfeat", {}, ("fac", "mor")),
    ("mfeat", {"views": ("zer", "pix")}, ("zer", "pix")),
    ("ravdess", {}, ("audio", "video")),
    ("crema_votes", {}, ("voice", "face")),
)


def sets(begin: Sequence[str]) -> Iterator[tuple[str, PairedData, str]]:
    """(name, samples, modality) of every set that begins so and whose files are there."""
    for i, (name, make) in enumerate(GENERATED.items()):
        if name.startswith(tuple(begin)):
            yield name, make(np.random.default_rng(i)), "x"
    for dataset, parameters, modalities in LOADED:
        wanted = [one for one in modalities if f"{dataset} {one}".startswith(tuple(begin))]
        if wanted:
            try:
                found = data.load(dataset, **parameters)
            except data.DamagedFile as error:
                print(f"{dataset} is left out: {error}", file=sys.stderr)
                continue
            yield from ((f"{dataset} {one}", found, one) for one in wanted)


def columns(samples: PairedData, modality: str) -> Floats:
    """(N, D): a modality flattened, text as counts of words."""
    values = samples.modalities[modality].numpy()
    if modality not in samples.vocabularies:
        return values.reshape(len(values), -1).astype(float)
    most = int(values.max()) + 1
    return np.stack([np.bincount(row.ravel(), minlength=most)[1:] for row in values]).astype(float)


def classifiers(samples: PairedData, modality: str) -> dict[str, float]:
    """{classifier: validation accuracy in percent}, each at its best strength."""
    where = {split: at.numpy() for split, at in samples.splits.items()}
    x, target = columns(samples, modality), samples.target.numpy()
    x = StandardScaler().fit(x[where["train"]]).transform(x)
    found = {}
    for name, strengths in STRENGTHS.items():
        make = partial(LogisticRegression, max_iter=1000) if name == LINEAR else SVC
        fits = [make(C=c).fit(x[where["train"]], target[where["train"]]) for c in strengths]
        found[name] = max(100 * fit.score(x[where["val"]], target[where["val"]]) for fit in fits)
    return found


def networks(samples: PairedData, modality: str, store: ResultStore) -> Study:
    """The default student and teacher, from labels alone."""
    asked = {"arms": ["no_kd", "um_kd"], "seeds": range(SEEDS), "device": "cpu", "progress": False}
    other = next(name for name in samples.modalities if name != modality)
    return failure_cases(samples, student=modality, teacher=other, store=store, **asked)


def row(name: str, samples: PairedData, modality: str, store: ResultStore) -> dict[str, object]:
    """One line of the table: validation accuracies in percent, and who is said to lie below."""
    study = networks(samples, modality, store)
    means = study.summary(split="val").set_index(["role", "arm"])["mean"]
    plain = classifiers(samples, modality)
    told = " ".join(note for note in study.provenance["notes"] if note.startswith(NOTE))
    mine = {"student": means["student", "no_kd"], "teacher": means["teacher", "um_kd"]}
    return {
        "set": name,
        "n_train": len(samples.positions("train")),
        "n_val": len(samples.positions("val")),
        **mine,
        **plain,
        **{f"{who} gap": score - max(plain.values()) for who, score in mine.items()},
        **{f"{who} noted": SAID[who] in told for who in mine},
    }


def silent(table: pd.DataFrame) -> list[str]:
    """The networks that lie far below, of which no note says so."""
    return [
        f"{one['set']}, {who}"
        for one in table.to_dict("records")
        for who in SAID
        if one[f"{who} gap"] < -MARGIN and not one[f"{who} noted"]
    ]


def main() -> None:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", default=[""], help="how the sets begin")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the table")
    asked = parser.parse_args()
    where = asked.out / "default_networks.csv"
    table = pd.read_csv(where) if where.exists() else pd.DataFrame(columns=["set"])
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        for name, *rest in sets(asked.names):
            made = pd.DataFrame([row(name, *rest, ResultStore(folder))]).round(2)
            table = pd.concat([table[table["set"] != name], made], ignore_index=True)
            table.to_csv(where, index=False)
            print(made.to_dict("records")[0], flush=True)
    sys.exit(f"far below, without a note: {'; '.join(left)}" if (left := silent(table)) else 0)


if __name__ == "__main__":
    main()
