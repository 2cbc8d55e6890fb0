"""The studies whose results are stored, from one table of settings.

    python benchmarks/studies.py                           what there is
    python benchmarks/studies.py repair --jobs 2           all whose names begin so, two networks at a time
    python benchmarks/studies.py kd_vs_msd_mfeat repair_mfeat_mor

Table and head (verdict, provenance) of a study go to benchmarks/results/ as soon as it is done; finished
networks are kept, so that a run that was stopped goes on. `tables.py` prints, `figures.py` draws what is
stored. Sizes and epochs were set by time, ratios before any result was seen; learning rates and strengths of
KD against MSD are chosen in every run, on validation and with seeds that no comparison has. All but
av_digits, shapes_vl and the worlds need their files (`mmkd-lab data get`).
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmkd_lab import data, study
from mmkd_lab.distill import UnreliableTeacher
from mmkd_lab.experiments import Study
from mmkd_lab.models import REMOVALS, NetSpec
from mmkd_lab.training import Recipe

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS, RATES, DROPOUT = range(5), (1e-3, 3e-3, 1e-2, 3e-2, 1e-1), 0.3

#: Arms: of KD against MSD with other teachers, with other networks or removals; of repair without removal.
MAIN = (
    *("no_kd", "kd", "kd_drop", "kd_views", "msd_uniform", "msd_population", "msd_instance", "msd_global"),
    *("msd_learned", "msd_shuffled", "msd_wrong"),
)
FEW = ("kd", "kd_drop", "kd_views", "msd_uniform", "msd_instance")
WHOLE = ("no_kd", "cm_kd", "unaligned_kd", "aligned_kd")

#: Dataset, teacher, student, ratios: two ratios where a network takes longest.
PAIRS = (
    ("mfeat", "fac", "mor", (0.25, 0.5, 0.75)),
    ("ravdess", "audio", "video", (0.25, 0.5, 0.75)),
    ("ravdess", "video", "audio", (0.25, 0.5, 0.75)),
    ("av_digits", "image", "speech", (0.25, 0.5, 0.75)),
    ("av_digits", "speech", "image", (0.25, 0.5, 0.75)),
    ("av_mnist", "image", "speech", (0.5, 0.75)),
    ("av_mnist", "speech", "image", (0.5, 0.75)),
)

#: What tables call a dataset: what is loaded, (width, features, joint) of student and teacher, epochs.
#: Dense layers read the pictures: on one core, several times quicker than convolutions at these sizes.
SHAPES = {"n_train": 1500, "n_val": 400, "n_test": 1000}
READ_BY_BOTH: dict[str, tuple[str, dict[str, Any], tuple[int, int, int], tuple[int, int, int], int]] = {
    "mfeat": ("mfeat", {}, (1, 4, 0), (8, 32, 0), 20),
    "ravdess": ("ravdess", {}, (1, 8, 8), (8, 32, 64), 20),
    **{
        f"shapes_vl {mix}": ("shapes_vl", {"mix": mix, **SHAPES}, (2, 16, 16), (16, 32, 64), 15)
        for mix in ("image_heavy", "text_heavy", "redundant", "synergistic")
    },
    "emoji": ("emoji", {"target": "group"}, (2, 8, 0), (8, 32, 0), 25),
    "emoji keywords": ("emoji", {"target": "keywords"}, (2, 8, 0), (8, 32, 0), 25),
    "nlvr": ("nlvr", {}, (1, 16, 16), (8, 32, 64), 8),
}


@dataclass(frozen=True)
class Setting:
    """One study: which, on which data, with which options.

    Args:
        study: a function of `mmkd_lab.study`.
        dataset: a name for `data.load`; '' for a study that has its own data.
        options: its keyword arguments.
        called: what tables call the data; '' leaves the data to the study's profile.
        parameters: of `data.load`, where `called` is given.
    """

    study: str
    dataset: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    called: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def run(self, name: str, jobs: int | None) -> Iterator[Study]:
        """The study under its own name, and its rivals where it has runs."""
        given: list[Any] = [self.dataset] if self.dataset else []
        if self.called:
            given = [replace(data.load(self.dataset, **self.parameters), name=self.called)]
        options = {"seeds": SEEDS, **self.options} | ({} if self.study in QUICK else {"jobs": jobs})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnreliableTeacher)  # it is in the provenance
            found = getattr(study, self.study)(*given, **options)
        yield replace(found, name=name)
        if name.startswith("repair") and "whole" not in name:
            yield replace(study.rival_hypotheses(found.runs), name=name.replace("repair", "rivals"))


#: Studies of worlds, which train in seconds and have no jobs.
QUICK = ("figure2", "figure3", "table_2")


def settings() -> dict[str, Setting]:
    """Every study by the name of its result."""
    found = {name: Setting(name, options={"seeds": range(100)}) for name in QUICK[:2]}
    found["table_2"] = Setting("table_2", options={"seeds": range(42, 142)})
    for dataset, called, parameters in (
        ("av_digits", "av_digits", {}),
        ("av_digits", "av_digits at 0 dB", {"speech_snr_db": 0.0}),
        ("av_mnist", "av_mnist", {}),
    ):
        for who in ("speech", "image"):
            name = f"failure_cases_{called.replace(' ', '_')}_{who}"
            found[name] = Setting("failure_cases", dataset, {"student": who}, called, parameters)
    for who in ("voice", "face"):
        found[f"crowd_students_{who}"] = Setting("crowd_students", options={"student": who})
    for dataset, teacher, student, ratios in PAIRS:
        pair = {"teacher": teacher, "student": student}
        found[f"repair_{dataset}_{student}"] = Setting("repair_teachers", dataset, {**pair, "ratios": ratios})
        found[f"repair_whole_{dataset}_{student}"] = Setting(
            "repair_teachers", dataset, {**pair, "arms": WHOLE, "ratios": (0.5,)}
        )
    return found | dict(_msd())


def _msd() -> Iterator[tuple[str, Setting]]:
    """KD against MSD: plain teachers, teachers with modality dropout, every removal, and a transformer."""
    other = {"teacher_dropout": DROPOUT, "arms": MAIN}
    for called, (dataset, parameters, student, teacher, epochs) in READ_BY_BOTH.items():
        pictures = dataset in ("shapes_vl", "emoji", "nlvr")
        options = {
            "student_model": _dense(*student, pictures=pictures),
            "teacher_model": _dense(*teacher, pictures=pictures),
            "recipe": Recipe(epochs=epochs, batch_size=64),
            "rates": RATES,
        }
        yield _one(called, dataset, options, parameters)
        yield _one(f"{called}, teacher dropout", dataset, options | other, parameters)
    for removal in REMOVALS:
        # A permutation removes whole modalities, so that nothing can be trained with dropout by it.
        whole = removal == "permutation"
        options = {
            "removal": removal,
            "student_model": NetSpec(width=1, features=8, fusion="attention", baseline=True),
            "teacher_model": NetSpec(width=8, features=32, fusion="attention", baseline=True),
            "recipe": Recipe(epochs=20, batch_size=64),
            "rates": RATES,
            "teacher_dropout": 0.0 if whole else DROPOUT,
            "arms": tuple(arm for arm in FEW if not (whole and arm == "kd_drop")),
        }
        yield _one(f"ravdess by {removal}", "ravdess", options, {})
    for dropout, end in ((0.0, ""), (DROPOUT, ", teacher dropout")):
        options = {
            "removal": "attention",
            "student_model": NetSpec.single_stream("student"),
            "teacher_model": NetSpec.single_stream("teacher"),
            "recipe": Recipe(epochs=8, batch_size=64, warmup=0.1),
            "teacher_recipe": Recipe(epochs=10, batch_size=64, warmup=0.1),
            "rates": (3e-4, 1e-3, 3e-3, 1e-2),
            "teacher_dropout": dropout,
            "arms": FEW,
        }
        called = f"shapes_vl redundant, transformer{end}"
        yield _one(called, "shapes_vl", options, {"mix": "redundant", **SHAPES})


def _one(
    called: str, dataset: str, options: Mapping[str, Any], parameters: Mapping[str, Any]
) -> tuple[str, Setting]:
    name = "kd_vs_msd_" + called.replace(",", "_").replace(" ", "_")
    return name, Setting("kd_vs_msd", dataset, options, called, parameters)


def _dense(width: int, features: int, joint: int, *, pictures: bool) -> NetSpec:
    encoder = {"image": "mlp"} if pictures else "auto"
    return NetSpec(encoder=encoder, width=width, features=features, joint=joint)


def keep(found: Study, folder: Path = RESULTS) -> None:
    """Store table and head, an entry a line; figures are drawn from them when they are wanted.

    Which channels a repaired teacher kept is left out: it is most of a head, and the same run gives it again.
    """
    where = found.save(folder, overwrite=True)
    for suffix in (".png", ".svg"):
        where.with_suffix(suffix).unlink(missing_ok=True)
    head = json.loads(where.read_text(encoding="utf-8"))
    made = head.pop("provenance")
    made.pop("channels", None)
    inner = ",\n".join(f"  {_json(name)}: {_json(value)}" for name, value in made.items())
    outer = ",\n".join(f" {_json(name)}: {_json(value)}" for name, value in head.items())
    where.write_text(f'{{\n{outer},\n "provenance": {{\n{inner}\n }}\n}}\n', encoding="utf-8")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """List the studies, or run those asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="names of studies, or how they begin")
    parser.add_argument("--jobs", type=int, help="networks at a time; default: joblib.parallel_config's")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    asked, known = parser.parse_args(), settings()
    chosen = [name for name in known if name.startswith(tuple(asked.names))] if asked.names else []
    for begin in asked.names:
        if not any(name.startswith(begin) for name in known):
            parser.error(f"no study begins with {begin!r}: see `python benchmarks/studies.py`")
    if not asked.names:
        print("\n".join(known))
    for name in chosen:
        for found in known[name].run(name, asked.jobs):
            keep(found, asked.out)
            print(found.verdict, flush=True)


if __name__ == "__main__":
    main()
