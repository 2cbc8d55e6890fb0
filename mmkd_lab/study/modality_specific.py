"""KD against modality-specific distillation, with the controls that tell why one is better.

Jin et al. 2021 (MSD, Findings of EMNLP) let the student also mimic what its teacher says from each modality
alone. The paper's code was never published; no number of this study is the paper's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from mmkd_lab.core.check import of_type, one_of, require
from mmkd_lab.core.progress import watched
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.teacher_views import TeacherViews
from mmkd_lab.distill.weights import Weighting
from mmkd_lab.experiments import summary
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.study import msd_notes, msd_table, msd_verdict
from mmkd_lab.study.msd_run import Ran, run, total
from mmkd_lab.study.msd_setting import MsdSetting, settle
from mmkd_lab.study.msd_sizes import PROFILES
from mmkd_lab.study.msd_tuning import Tried, rated
from mmkd_lab.study.networks import THREADS
from mmkd_lab.study.profiles import profile as profile_of
from mmkd_lab.study.report import dataset_of, file_name, load_data
from mmkd_lab.training.device import resolve, threads
from mmkd_lab.training.recipe import Recipe

NAME = "kd_vs_msd"
#: The arms whose weights differ from sample to sample, controls left out.
BY_INSTANCE = ("msd_instance", "msd_learned")


@dataclass(frozen=True, eq=False, repr=False)
class MsdStudy(Study):
    """A comparison with what its figures need; of one loaded from disk only the table is there.

    Attributes:
        reliability: the teachers under every view, on val; see `distill.reliability`.
        weights_over_time: arm, seed, step, view, value, of learned weights.
        weights_by_sample: arm, seed, sample, view, value and the data's facts, of msd_instance and, as they
            are when training ends, of msd_learned.
        outputs: {arm, or 'teacher': {view: (R, N, K)}} logits on test.
        target: the test labels.
        task: what they are.
    """

    reliability: pd.DataFrame = field(default_factory=pd.DataFrame)
    weights_over_time: pd.DataFrame = field(default_factory=pd.DataFrame)
    weights_by_sample: pd.DataFrame = field(default_factory=pd.DataFrame)
    outputs: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    target: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    task: Task = Task.SINGLE_LABEL

    def differences(
        self, *, metric: str | None = None, split: str = "test", against: Sequence[str] = ("kd",)
    ) -> pd.DataFrame:
        """Every arm against others, per view, paired by seed; see `summary.differences`."""
        return summary.differences(self.table, against=against, metric=metric, split=split)

    def scores(self, *arms: str) -> pd.DataFrame:
        """What densities are drawn of, all seeds pooled: arm, view, score; see `msd_table.scores`.

        Raises `LabError` for an arm that is not there, or a study that was loaded from disk.
        """
        require(
            len(self.outputs) > 0, "study", self.name, "has no outputs", "A loaded study has its table alone."
        )
        for arm in arms:
            one_of("arm", arm, list(self.outputs))
        parts = [
            pd.DataFrame(
                {"arm": arm, "view": view, "score": msd_table.scores(x, self.target, self.task).flatten()}
            )
            for arm in arms or self.outputs
            for view, x in self.outputs[arm].items()
        ]
        return pd.concat(parts, ignore_index=True)


@threads(THREADS)
def kd_vs_msd(
    dataset: str | PairedData,
    *,
    arms: Sequence[str] | None = None,
    seeds: Iterable[int] | None = None,
    removal: str = "zeros",
    aux: str = "only",
    weighting: Weighting | None = None,
    learned: LearnedWeights | None = None,
    temperature: float = 2.0,
    kd_weight: float = 0.5,
    msd_weight: float = 1.0,
    tune: bool = True,
    rates: Sequence[float] | None = None,
    teacher_dropout: float = 0.0,
    drop: float = 0.3,
    gate: bool = False,
    meta_share: float = 0.1,
    profile: str = "quick",
    recipe: Recipe | None = None,
    teacher_recipe: Recipe | None = None,
    student_spec: NetSpec | None = None,
    teacher_spec: NetSpec | None = None,
    store: ResultStore | None = None,
    device: str = "auto",
    progress: bool = True,
) -> MsdStudy:
    """Train a small student by every arm on paired seeds; it reads all modalities, as its teacher does.

    All arms train on the training split without its part 'meta'; the learned arms alone see the labels of
    'meta' too. Before any student, the teacher's word on each modality alone is checked (`UnreliableTeacher`
    warns). With `tune` every method's strength is chosen among five by the full input's validation score,
    meaned over three seeds of their own (`msd_tuning`); with `rates` the learning rates are too. The epoch is
    chosen on validation as well, and nothing on test. Two arms are controls of MSD's terms: 'kd_views' (same
    views and compute, but what the teacher says of the full input is the target under every view) and
    'kd_drop' (no further view at all).

    Args:
        dataset: a name for `data.load`, with the profile's parameters, or your own paired data.
        arms: names from `distill.MSD_ARMS`, 'kd' among them; None for all that can be had: what cannot, and
            why, is `provenance['left_out']`.
        seeds: distinct whole numbers; the profile's number of seeds by default.
        removal: how modalities go, in training and at test, for teacher and student alike.
        aux: the views of MSD's terms, 'only' m or all but m ('drop'); the same for two modalities.
        weighting: how saliency is measured, and the scheme of msd_instance: 'normalised' (the default),
            'softmax' or 'tanh'. The population and control arms follow it.
        learned: how the learned arms learn.
        temperature: T of all terms on outputs.
        kd_weight: rho of (1 - rho) CE + rho KD, when not tuned.
        msd_weight: c, the factor of the terms of all MSD arms and kd_views, when not tuned.
        tune: whether to choose strengths on validation.
        rates: learning rates from which those of student and teacher are chosen, by what they reach with
            labels alone on validation; None keeps the recipes'.
        teacher_dropout: train the teachers with so much modality dropout: they then know masked inputs.
        drop: modality dropout of the control kd_drop, when not tuned.
        gate: lower the weights of views by the teacher's reliability on validation.
        meta_share: part of the training split set aside, where the data has no split 'meta'; see
            `data.set_aside`, which takes whole groups.
        profile: 'quick' or 'full', see `msd_sizes`.
        recipe, teacher_recipe, student_spec, teacher_spec, store, device, progress: as in `failure_cases`.
            Text modalities get their vocabulary here.

    Returns:
        a study of kind 'msd', with the column `view`. Metrics by view: see `msd_table.metrics`; on 'train'
        also weight and ess (effective share of the samples) of MSD's terms, for the learned arms as they are
        when training ends, seconds_per_step (processor time
        on a CPU, validation included) and steps_of_kd, its ratio to KD's. `provenance['notes']` says what a
        reader must know of the comparison.

    Raises:
        LabError: an unknown dataset, arm, removal or profile; fewer than two modalities; a dense task; a
            missing split; a removal that a network cannot do; numbers out of range.
        DamagedFile: a stored entry, or a file of the dataset, is damaged.
    """
    started, size = time.perf_counter(), profile_of(profile, PROFILES)
    setting = settle(
        load_data(dataset, size),
        size,
        arms=arms,
        seeds=seeds,
        student_spec=student_spec,
        teacher_spec=teacher_spec,
        recipe=recipe,
        teacher_recipe=teacher_recipe,
        teacher_dropout=teacher_dropout,
        weighting=weighting,
        learned=learned,
        removal=removal,
        aux=aux,
        temperature=temperature,
        kd_weight=kd_weight,
        msd_weight=msd_weight,
        drop=drop,
        gate=gate,
        tune=tune,
        rates=rates,
        meta_share=meta_share,
        device=resolve(of_type("device", device, (str, torch.device), "'auto' or a torch device")),
    )
    require(store is None or isinstance(store, ResultStore), "store", store, "must be a ResultStore or None")
    counts = {"stored": 0, "trained": 0}
    with tqdm(total=total(setting), desc=NAME, unit="network", disable=not watched(progress)) as bar:

        def done(name: str, how: str) -> None:
            counts[how] += 1
            bar.set_postfix_str(f"{name}, {how}")
            bar.update(1)

        kept = ResultStore() if store is None else store
        setting, paces = rated(setting, kept, done)
        ran = run(setting, kept, done)
    return _study(setting, ran, paces, {"profile": profile, "networks": counts}, started)


def _study(
    setting: MsdSetting, ran: Ran, paces: list[Tried], extra: dict[str, object], started: float
) -> MsdStudy:
    data, seeds = setting.data, setting.seeds
    taught = _taught(setting, ran)
    table, outputs = _table(setting, ran, taught)
    views = [view.label for view in setting.looked_at]
    instance = [arm for arm in BY_INSTANCE if arm in taught]
    return MsdStudy(
        name=f"{NAME}_{file_name(data.name)}",
        title=msd_verdict.title(table, views=views),
        table=table,
        verdict=msd_verdict.sentence(table, views=views, removal=setting.removal),
        kind="msd",
        options={"metric": summary.primary_metric(table), "views": views},
        provenance={
            "study": NAME,
            **dataset_of(data),
            **setting.describe(),
            "notes": msd_notes.notes(setting, table, [*paces, *ran.tuning]),
            "strengths": ran.strengths.describe(),
            "tuning": [asdict(one) for one in [*paces, *ran.tuning]],
            "reliability": ran.school.reliability.round(6).to_dict("records"),
            "unreliable": ran.unreliable,
            "student_parameters": ran.results["kd"][0].metrics["parameters"],
            "teacher_parameters": sum(v[0].numel() for v in ran.school.networks.parameters.values()),
            **extra,
            "seconds": round(time.perf_counter() - started, 3),
        },
        reliability=ran.school.reliability,
        weights_over_time=msd_table.over_time(ran.results, seeds),
        weights_by_sample=msd_table.by_sample({arm: taught[arm] for arm in instance}, seeds, data),
        outputs=outputs,
        target=data.target[data.positions("test")].cpu(),
        task=data.task,
    )


def _taught(setting: MsdSetting, ran: Ran) -> dict[str, list[TeacherViews]]:
    """{arm: what each of its students was taught, with the weights it counts by}, for arms with a teacher."""
    found = {}
    for arm, results in ran.results.items():
        pairs = zip(ran.lessons[arm], results, strict=True)
        found[arm] = [msd_table.with_learned(one, r, setting.data) for one, r in pairs if one is not None]
    return {arm: each for arm, each in found.items() if each}


def _table(
    setting: MsdSetting, ran: Ran, taught: Mapping[str, Sequence[TeacherViews]]
) -> tuple[pd.DataFrame, dict[str, dict[str, Tensor]]]:
    data, splits, views = setting.data, ("val", "test"), setting.looked_at
    lines = msd_table.Lines(NAME, data, [])
    heard: dict[str, list[msd_table.Said]] = {"teacher": []}
    for r, seed in enumerate(setting.seeds):
        heard["teacher"].append(msd_table.said_by_teacher(ran.school.said[r], data, splits, views))
        lines.network("teacher", "teacher", seed, heard["teacher"][r])
    for arm, results in ran.results.items():
        heard[arm] = [msd_table.said_by_student(result, splits, views) for result in results]
        for r, seed in enumerate(setting.seeds):
            lines.network(arm, "student", seed, heard[arm][r], heard["teacher"][r])
            if arm in taught:
                lines.weights(arm, seed, taught[arm][r])
            lines.seconds(arm, seed, results[r], ran.results["kd"][r], setting.full.label)
    outputs = {
        arm: {view.label: torch.stack([one["test"][view.label] for one in each]) for view in views}
        for arm, each in heard.items()
    }
    return lines.table(), outputs
