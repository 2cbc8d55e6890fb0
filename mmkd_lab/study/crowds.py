"""People as teachers: raters of CREMA-D's clips who heard the voice, saw the face, or both (Cao et al. 2014).

Their votes are soft labels, and their logarithms the logits of a teacher. The student is a small network that
reads nothing but the votes of the voice's raters: what can it be taught by its own crowd, by the one that saw
the face, and by the one that had both?
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from mmkd_lab import __version__
from mmkd_lab import data as datasets
from mmkd_lab.core import check
from mmkd_lab.core.check import LabError, listing, one_of, real, require
from mmkd_lab.data.crema_votes import SENSES, soft_labels
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import Objective, TeacherCache, kd_divergence
from mmkd_lab.distill import arms as arms_of
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.experiments.summary import COLUMNS, difference, summarise
from mmkd_lab.models import NetSpec
from mmkd_lab.study.networks import Network, Workshop
from mmkd_lab.study.report import score_rows
from mmkd_lab.training.device import resolve
from mmkd_lab.training.metrics import score
from mmkd_lab.training.recipe import Recipe

NAME = "crowd_students"
ARMS = ("no_kd", "um_kd", "cm_kd", "mm_kd")
STUDENT = NetSpec(encoder="mlp", width=4, features=16)
RECIPE = Recipe(epochs=10, batch_size=64, lr=3e-3)
#: Votes added to every emotion, so that one that nobody named has a logit: Jeffreys' prior.
SMOOTHING = 0.5


def crowd_teacher(
    data: PairedData,
    sense: str = "audiovisual",
    *,
    smoothing: float = SMOOTHING,
    mirror: str | Path | None = None,
    path: str | Path | None = None,
) -> TeacherCache:
    """The raters of one sense as a teacher (R = 1) for every clip of a dataset.

    Args:
        data: clips by the sample index of `data.load("crema_votes")`, with its six emotions; the modalities
            may be your own.
        sense: 'voice', 'face' or 'audiovisual': what the raters were given.
        smoothing: votes added to every emotion. A logit is the logarithm of a smoothed share, so that at
            T = 1 `kd_divergence` is the cross-entropy with the shares less their entropy.
        mirror, path: as in `data.load`.

    Raises:
        LabError: an unknown sense, a smoothing that is not above 0, other classes, a sample that is no clip.
        DamagedFile: the file of votes is missing or damaged.
    """
    one_of("sense", sense, SENSES)
    real("smoothing", smoothing, above=0.0)
    shares = soft_labels(data.sample_index, smoothing=smoothing, mirror=mirror, path=path)
    rule = "must be the emotions that the raters could choose"
    require(data.num_classes == shares.shape[2], "data.classes", data.classes, rule)
    return TeacherCache(data.sample_index.cpu(), shares[:, SENSES.index(sense)].log()[None])


def crowd_students(
    *,
    student: str = "voice",
    seeds: Iterable[int] = range(5),
    kd_weight: float = 0.5,
    temperature: float = 1.0,
    recipe: Recipe = RECIPE,
    mirror: str | Path | None = None,
    store: ResultStore | None = None,
    device: str = "auto",
) -> Study:
    """What a student of one crowd's votes learns from labels, and from each crowd besides.

    Arms: no_kd learns from labels (the emotion that the actor was asked for), um_kd also from its own crowd,
    cm_kd from the crowd of the other sense, mm_kd from the one that had both. A seed draws the split of
    actors, the student's weights and its order of samples; arms of a seed share all three.

    Args:
        student: 'voice' or 'face', whose votes it reads.
        seeds: distinct whole numbers.
        kd_weight: rho of (1 - rho) CE + rho T² KL.
        temperature: T; 1 leaves the votes as they are.
        recipe: the training.
        mirror: as in `data.load`.
        store: where finished networks are kept; the default store when None.
        device: 'auto' or a torch device.

    Returns:
        a study of kind 'arms'; 'teacher' rows are the crowd itself. Beside accuracy (percent) and nll (nats)
        'divergence' is the mean KL from the audiovisual crowd's shares to the student's, or the crowd's own,
        in nats. Test actors of different seeds overlap, so that the intervals are a little too narrow.

    Raises:
        LabError: an unknown sense, repeated seeds, a weight or temperature out of range.
        DamagedFile: the file of votes is missing or damaged.
    """
    started = time.perf_counter()
    one_of("student", student, ("voice", "face"))
    numbers = check.seeds("seeds", seeds)
    require(store is None or isinstance(store, ResultStore), "store", store, "must be a ResultStore or None")
    kept, where = ResultStore() if store is None else store, resolve(device)
    other = "face" if student == "voice" else "voice"
    senses = {"um_kd": student, "cm_kd": other, "mm_kd": "audiovisual"}
    folder = None if mirror is None else str(mirror)
    rows: list[tuple[object, ...]] = []
    for seed in numbers:
        data = datasets.load("crema_votes", senses=("voice", "face"), seed=seed, mirror=folder)
        crowds = {arm: crowd_teacher(data, sense, mirror=mirror) for arm, sense in senses.items()}
        objectives = Objective.of_arms(arms_of(ARMS), kd_weight=kd_weight, temperature=temperature)
        networks = [
            Network("student", arm, seed, seed, objectives[i], crowds.get(arm)) for i, arm in enumerate(ARMS)
        ]
        workshop = Workshop(data, STUDENT.on(student), recipe, where, kept, keep=("test",))
        found = dict(zip(ARMS, workshop.train(networks, done=lambda network, how: None), strict=True))
        for arm in ARMS:
            if arm in crowds:
                rows += _crowd_rows(data, crowds[arm], crowds["mm_kd"], arm, seed)
            rows += score_rows(NAME, data.name, arm, "student", seed, found[arm])
            logits = torch.tensor(found[arm].tensors["logits/test"])[None]
            head = (NAME, data.name, arm, "student", seed, "test", "divergence")
            rows.append((*head, _divergence(crowds["mm_kd"], data, logits)))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Study(
        name=f"{NAME}_{student}",
        title=_title(table, student, senses),
        table=table,
        verdict=_verdict(table, student, senses, len(numbers)),
        kind="arms",
        options={"metric": "accuracy", "reference": "no_kd"},
        provenance={
            "study": NAME,
            "dataset": "crema_votes",
            "student": student,
            "seeds": list(numbers),
            "kd_weight": kd_weight,
            "temperature": temperature,
            "smoothing": SMOOTHING,
            "student_spec": STUDENT.on(student).as_dict(),
            "recipe": recipe.as_dict(),
            "device": str(where),
            "versions": {
                "mmkd_lab": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "seconds": round(time.perf_counter() - started, 3),
        },
    )


def _crowd_rows(
    data: PairedData, crowd: TeacherCache, both: TeacherCache, arm: str, seed: int
) -> list[tuple[object, ...]]:
    """The crowd's own scores on the test split, as a teacher's."""
    at = data.positions("test")
    logits = crowd.rows(data.sample_index[at])
    found = {name: float(value[0]) for name, value in score(logits, data.target[at], task=data.task).items()}
    found["divergence"] = _divergence(both, data, logits)
    return [(NAME, data.name, arm, "teacher", seed, "test", name, value) for name, value in found.items()]


def _divergence(both: TeacherCache, data: PairedData, logits: Tensor) -> float:
    """Mean KL in nats from the audiovisual crowd's shares to the softmax of logits (1, n, K), on test."""
    target = both.rows(data.sample_index[data.positions("test")])
    if logits.shape != target.shape:
        raise LabError("logits", tuple(logits.shape), f"must be {tuple(target.shape)}, one row a test clip")
    return float(kd_divergence(logits, target)[0])


def _title(table: pd.DataFrame, student: str, senses: dict[str, str]) -> str:
    better = [sense for arm, sense in senses.items() if difference(table, arm, "no_kd").side > 0]
    who = listing(better).replace(" or ", " and ") if better else "no crowd"
    return f"What people teach a {student} student: {who} is shown to teach more than labels do"


def _verdict(table: pd.DataFrame, student: str, senses: dict[str, str], n: int) -> str:
    splits = f"{n} split{'s' if n > 1 else ''} of the actors"
    means = summarise(table).set_index(["role", "arm"])["mean"]
    nats = summarise(table, metric="divergence").set_index(["role", "arm"])["mean"]
    changes = [
        f"{difference(table, arm, 'no_kd').show(signed=True)} points with the {sense} crowd"
        for arm, sense in senses.items()
    ]
    away = [f"{nats['student', arm]:.2f} with the {sense} crowd" for arm, sense in senses.items()]
    return (
        f"On crema_votes ({student} student, {splits}, test accuracy), labels alone reach "
        f"{means['student', 'no_kd']:.2f} %; beside them, {', '.join(changes)}. Divergence from the "
        f"audiovisual crowd, in nats: {nats['teacher', 'um_kd']:.2f} of the {student} crowd itself, "
        f"{nats['student', 'no_kd']:.2f} of the student by labels alone, {', '.join(away)}."
    )
