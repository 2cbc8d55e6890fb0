"""Teacher repair: does a teacher reduced to its modality-general channels make the better student?

The modality focusing hypothesis of Xue et al. 2023 (MFH) on any paired data. Their released code has no
independent teacher among its arms, one random draw and one seed; here all of them are paired by seed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm.auto import tqdm

from mmkd_lab.attribution import by_channel
from mmkd_lab.attribution.layers import SIDES, module_named
from mmkd_lab.core import check
from mmkd_lab.core.check import LabError, one_of, require
from mmkd_lab.core.progress import watched
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import ARMS, REPAIRS
from mmkd_lab.distill.arms import WHOLE
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.store import Result, ResultStore
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.models import NetSpec, build
from mmkd_lab.study.channels import REPLACEMENTS, Channels, Joint, kept_channels, ratios_of, truth_of
from mmkd_lab.study.hypotheses import Run
from mmkd_lab.study.networks import THREADS
from mmkd_lab.study.profiles import profile as profile_of
from mmkd_lab.study.repair_verdict import sentence, title
from mmkd_lab.study.repairs import LOSSES, WITH_LABELS, Done, Lesson, Pair, Repairs, Trained
from mmkd_lab.study.report import file_name, load_data, provenance, score_rows
from mmkd_lab.study.setting import Setting, settle
from mmkd_lab.training.device import resolve, threads
from mmkd_lab.training.recipe import Recipe

NAME = "repair"
KNOWN = {name: ARMS[name] for name in ("no_kd", "cm_kd")} | REPAIRS


@dataclass(frozen=True, eq=False, repr=False)
class RepairStudy(Study):
    """A study of repaired teachers, with its runs for `rival_hypotheses`; a loaded one has neither.

    `pairs` are the jointly trained teachers and students by seed: `study.pairs[0].saliency` is Algorithm 1's
    ranking, `study.pairs[0].nets` are the networks.
    """

    runs: tuple[Run, ...] = ()
    pairs: Mapping[int, Pair] = field(default_factory=dict)


@threads(THREADS)
def repair_teachers(
    dataset: str | PairedData,
    *,
    student: str,
    teacher: str | None = None,
    seeds: Iterable[int] | None = None,
    arms: Sequence[str] | None = None,
    ratios: Sequence[float] = (0.25, 0.5, 0.75),
    losses: Sequence[str] = LOSSES,
    layer: str | None = None,
    side: str = "output",
    axis: int = 1,
    replace: str = "mean",
    draws: int = 3,
    truth: Sequence[int] | None = None,
    joint: Joint | None = None,
    profile: str = "quick",
    recipe: Recipe | None = None,
    teacher_recipe: Recipe | None = None,
    student_spec: NetSpec | None = None,
    teacher_spec: NetSpec | None = None,
    kd_weight: float = 0.5,
    temperature: float = 4.0,
    convention: str = "kl",
    store: ResultStore | None = None,
    device: str = "auto",
    progress: bool = True,
) -> RepairStudy:
    """Train students from a crossmodal teacher before and after its repair, on paired seeds.

    Per seed one regular teacher is trained alone (cm_kd), and one jointly with a student (`attribute.align`),
    by a recipe of its own (aligned_kd). A third has that recipe without the agreement (unaligned_kd): what
    the agreement does can then be told from what the recipe does. The channels of the aligned one are ranked
    on the training split by `attribute.by_channel`, in closed form at the input of the head. int(r d) of its
    d channels are removed: the least modality-general (mg_kd), the most (ms_kd), some at random (random_kd),
    those the head weighs least (weight_kd), or all but the declared ones (oracle_kd, whatever r). Dead
    channels count among the d, so that a random choice is a weaker edit where many are dead;
    `provenance['living_removed']` counts the living ones that each teacher lost. Nothing about the students
    is tuned. Source: Xue et al. 2023 (MFH), Algorithm 1. Every seed has the same split of the samples:
    intervals say what training anew would give, not what other samples or, where splits part people, other
    people would.

    Args:
        dataset, student, teacher, seeds: as in `failure_cases`.
        arms: no_kd, cm_kd (the regular teacher) and names from `distill.REPAIRS`; by default all of them, the
            oracle only with `truth`. no_kd must be among them.
        ratios: shares of the channels to remove, each in [0, 1).
        losses: 'ce + kd', 'kd alone', or both.
        layer: a layer of the teacher by name; None for the input of its head.
        side, axis: of that layer, see `attribute.by_channel`.
        replace: what stands in for a removed channel: its training 'mean', 'zeros', or 'retrain' for a new
            head on the remaining ones, by `teacher_recipe`, which whole teachers then get too.
        draws: random choices of channels per seed and ratio.
        truth: the channels of the layer declared to be shared, for oracle_kd.
        joint: how the aligned pair is trained.
        profile, recipe, teacher_recipe, student_spec, teacher_spec, kd_weight, temperature, convention,
            store, device, progress: as in `failure_cases`.

    Returns:
        a study of kind 'repair' with columns `ratio` and `loss`. Arms without a ratio stand at each of them
        and no_kd under both losses, so that everything has its control beside it; random_kd is the mean over
        its draws, one number per seed. `study.runs` has every student by itself, `study.pairs` the rankings.

    Raises:
        LabError: what `failure_cases` refuses; a task other than single-label; a layer that does not exist
            (those that do are listed); a ratio outside [0, 1), or one that removes nothing; an oracle without
            declared truth; 'retrain' away from the head; |W| where no linear head reads the layer.
        DamagedFile: a stored entry, or a file of the dataset, is damaged.
    """
    started, size = time.perf_counter(), profile_of(profile)
    default = tuple(name for name in KNOWN if name != "oracle_kd" or truth is not None)
    setting = settle(
        load_data(dataset, size),
        size,
        student=student,
        teacher=teacher,
        arms=default if arms is None else arms,
        seeds=seeds,
        student_spec=student_spec,
        teacher_spec=teacher_spec,
        recipe=recipe,
        teacher_recipe=teacher_recipe,
        kd_weight=kd_weight,
        temperature=temperature,
        convention=convention,
        device=resolve(device),
        known=KNOWN,
    )
    require(store is None or isinstance(store, ResultStore), "store", store, "must be a ResultStore or None")
    require(joint is None or isinstance(joint, Joint), "joint", joint, "must be a Joint or None")
    one_of("replace", replace, REPLACEMENTS)
    one_of("side", side, SIDES)
    here = replace != "retrain" or layer is None
    rule = "'retrain' trains a new head, and this layer is not what the head reads"
    require(here, "layer", layer, rule, "Use layer=None, or replace by 'mean' or 'zeros'.")
    shares = ratios_of(ratios)
    repairs = Repairs(
        setting=setting,
        ratios=shares,
        losses=_losses(losses),
        layer=layer,
        side=side,
        axis=axis,
        replace=replace,
        draws=check.whole("draws", draws),
        truth=_tried(setting, layer, side, axis, ratios=shares, truth=truth),
        joint=joint or Joint(),
        store=ResultStore() if store is None else store,
    )
    counts = {"stored": 0, "trained": 0}
    with tqdm(total=repairs.total, desc=NAME, unit="network", disable=not watched(progress)) as bar:

        def done(what: str, how: str) -> None:
            counts[how] += 1
            bar.set_postfix_str(f"{what}, {how}")
            bar.update(1)

        trained = _train(repairs, done)
    table = _table(repairs, trained)
    return RepairStudy(
        name=f"{NAME}_{file_name(setting.data.name)}_{file_name(student)}",
        title=title(table, student=student),
        table=table,
        verdict=sentence(table, student=student, teacher=setting.teacher),
        kind="repair",
        options={"loss": repairs.losses[0], "reference": "cm_kd" if "cm_kd" in setting.names else "no_kd"},
        provenance={
            **provenance(setting, study=NAME, profile=profile),
            **repairs.describe(),
            "channels": trained.channels,
            "living_removed": trained.living,
            "networks": counts,
            "seconds": round(time.perf_counter() - started, 3),
        },
        runs=tuple(_runs(repairs, trained)),
        pairs=trained.pairs,
    )


def _train(repairs: Repairs, done: Done) -> Trained:
    trained = Trained()
    repairs.teach(trained, done)
    repairs.train_students(trained, done)
    return trained


def _losses(losses: Sequence[str]) -> tuple[str, ...]:
    sound = not isinstance(losses, str) and len(losses) > 0
    require(sound, "losses", losses, "must be a list of at least one loss")
    for loss in losses:
        one_of("losses", loss, LOSSES)
    require(len(set(losses)) == len(losses), "losses", list(losses), "must not name a loss twice")
    return tuple(losses)


def _tried(
    setting: Setting,
    layer: str | None,
    side: str,
    axis: int,
    *,
    ratios: Sequence[float],
    truth: Sequence[int] | None,
) -> Channels | None:
    """Whatever is wrong with the channels is found on untrained networks, before hours of training."""
    data = setting.data
    require(
        "no_kd" in setting.names, "arms", setting.names, "must have 'no_kd', from which gains are counted"
    )
    require(data.task is Task.SINGLE_LABEL, "dataset", data.task.value, "must be single-label data")
    nets = [
        build(spec.on(name), data.shapes, data.num_classes, seed=0)
        for spec, name in ((setting.teacher_spec, setting.teacher), (setting.student_spec, setting.student))
    ]
    if layer is not None:
        module_named(nets[0], layer)
    few = data.batch(data.positions("train")[:8])
    few = {name: values.cpu() for name, values in few.items()}
    found = by_channel(nets[0], nets[1], few, layer=layer, side=side, axis=axis, permutations=1)
    declared = None if truth is None else truth_of(truth, len(found))
    for ratio in (one for one in ratios if 0 < one * len(found) < 1):
        rule = f"removes none of the {len(found)} channels"
        raise LabError("ratios", ratio, rule, f"Use 0, or at least {1 / len(found):.3g}.")
    for arm in (name for name in setting.names if name not in ("no_kd", "cm_kd", *WHOLE)):
        kept_channels(arm, found, ratio=0.0, seed=0, truth=declared)
    return declared


def _table(repairs: Repairs, trained: Trained) -> pd.DataFrame:
    rows: list[tuple[object, ...]] = []
    data, setting = repairs.setting.data.name, repairs.setting
    for arm in setting.names:
        for loss in repairs.losses:
            for ratio in repairs.ratios:
                for lesson in repairs.lessons(arm, loss, ratio):
                    for i, seed in enumerate(setting.seeds):
                        at = (ratio, loss)
                        if lesson.teacher is not None:
                            found = trained.teachers[lesson.teacher][i]
                            rows += [
                                (*row, *at) for row in score_rows(NAME, data, arm, "teacher", seed, found)
                            ]
                        found = trained.students[lesson][i]
                        rows += [(*row, *at) for row in score_rows(NAME, data, arm, "student", seed, found)]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "ratio", "loss"])
    keys = [name for name in table.columns if name != "value"]
    means = table.groupby(keys, sort=False)["value"].mean().reset_index()  # over the draws of random_kd
    return means[list(table.columns)]


def _runs(repairs: Repairs, trained: Trained) -> list[Run]:
    """Every taught student, with what its teacher says and knows on the probe split."""
    data, probe = repairs.setting.data, repairs.probe
    target = data.target[data.positions(probe)].cpu().numpy()
    alone = trained.students[Lesson("no_kd", None, 0, WITH_LABELS, None)]
    runs = []
    for lesson, results in trained.students.items():
        if lesson.teacher is None:
            continue
        for i, (seed, result) in enumerate(zip(repairs.setting.seeds, results, strict=True)):
            said = trained.teachers[lesson.teacher][i]
            gain = (
                result.metrics["scores"]["test"]["accuracy"] - alone[i].metrics["scores"]["test"]["accuracy"]
            )
            runs.append(
                Run(
                    dataset=data.name,
                    student=repairs.setting.student,
                    arm=lesson.arm,
                    loss=lesson.loss,
                    ratio=lesson.ratio,
                    draw=lesson.draw,
                    seed=seed,
                    split=probe,
                    gain=gain,
                    teacher_features=_floats(said, f"features/{probe}"),
                    teacher_logits=_floats(said, f"logits/{probe}"),
                    head=_floats(said, "head"),
                    student_features=_floats(alone[i], f"features/{probe}"),
                    student_logits=_floats(alone[i], f"logits/{probe}"),
                    target=target,
                )
            )
    return runs


def _floats(result: Result, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(result.tensors[name], dtype=np.float64)
