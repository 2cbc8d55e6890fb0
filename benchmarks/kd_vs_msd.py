"""KD against MSD with all controls and other methods, on pictures with captions and on real pairs.

    python benchmarks/kd_vs_msd.py                  all datasets; the real ones need their files
    python benchmarks/kd_vs_msd.py ravdess mfeat    some of them
    python benchmarks/kd_vs_msd.py --dropout        main arms, teachers trained with modality dropout
    python benchmarks/kd_vs_msd.py --show           the verdicts of the stored results, without training

Writes table, figure, verdict and provenance of each comparison to benchmarks/results/ as soon as it is done.
Sizes and epochs were set by time. Learning rates are chosen anew in every run, for students and teachers
trained on labels alone, by validation accuracy over three seeds that no comparison has; strengths likewise.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmkd_lab import data, study
from mmkd_lab.data import PairedData
from mmkd_lab.distill.reliability import UnreliableTeacher
from mmkd_lab.models import NetSpec
from mmkd_lab.training.recipe import Recipe

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS = range(5)
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
#: The arms of a second look, at teachers that know masked inputs.
MAIN = (
    "no_kd",
    "kd",
    "kd_drop",
    "kd_views",
    "msd_uniform",
    "msd_population",
    "msd_instance",
    "msd_global",
    "msd_learned",
)
MAIN += ("msd_shuffled", "msd_wrong")
#: Pictures are read by dense layers: on one core, several times quicker than convolutions at these sizes.
PICTURE = {"image": "mlp"}


@dataclass(frozen=True)
class Size:
    """The networks of one dataset, and how long they are trained."""

    load: Callable[[], PairedData]
    student: NetSpec
    teacher: NetSpec
    epochs: int


def _shapes(mix: str) -> Size:
    def load() -> PairedData:
        found = data.load("shapes_vl", mix=mix, n_train=1500, n_val=400, n_test=1000)
        return replace(found, name=f"shapes_vl {mix}")

    return Size(
        load,
        NetSpec(encoder=PICTURE, width=2, features=16, joint=16),
        NetSpec(encoder=PICTURE, width=16, features=32, joint=64),
        15,
    )


def _emoji(target: str, name: str) -> Size:
    """The keywords are a multi-label target, told from picture and name; the score is macro-F1."""
    return Size(
        lambda: replace(data.load("emoji", target=target), name=name),
        NetSpec(encoder=PICTURE, width=2, features=8),
        NetSpec(encoder=PICTURE, width=8, features=32),
        25,
    )


SIZES: dict[str, Size] = {
    "mfeat": Size(
        lambda: data.load("mfeat"),
        NetSpec(width=1, features=4),
        NetSpec(width=8, features=32),
        20,
    ),
    "ravdess": Size(
        lambda: data.load("ravdess"),
        NetSpec(width=1, features=8, joint=8),
        NetSpec(width=8, features=32, joint=64),
        20,
    ),
    **{f"shapes_vl {mix}": _shapes(mix) for mix in ("image_heavy", "text_heavy", "redundant", "synergistic")},
    "emoji": _emoji("group", "emoji"),
    "emoji keywords": _emoji("keywords", "emoji keywords"),
    "nlvr": Size(
        lambda: data.load("nlvr"),
        NetSpec(encoder=PICTURE, width=1, features=16, joint=16),
        NetSpec(encoder=PICTURE, width=8, features=32, joint=64),
        8,
    ),
}


def compare(name: str, *, dropout: bool) -> study.Study:
    """One comparison, saved."""
    size = SIZES[name]
    paired = size.load()
    options: dict[str, Any] = {}
    if dropout:
        paired = replace(paired, name=f"{paired.name}, teacher dropout")
        options = {"teacher_dropout": 0.3, "arms": MAIN}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableTeacher)  # it is in the provenance
        found = study.kd_vs_msd(
            paired,
            seeds=SEEDS,
            student_spec=size.student,
            teacher_spec=size.teacher,
            recipe=Recipe(epochs=size.epochs, batch_size=64),
            rates=RATES,
            device="cpu",
            **options,
        )
    found.save(RESULTS)
    return found


def show(found: study.Study) -> None:
    """One comparison as text."""
    print(found.verdict, flush=True)
    for sentence in found.provenance["unreliable"]:
        print(f"  {sentence}")
    part = found.table[found.table["split"] == "test"]
    wide = part[part["metric"].isin([found.options["metric"], "js"])]
    shown = wide.pivot_table(index="arm", columns=["metric", "view"], values="value", sort=False)
    print(shown.round(2).to_string(), flush=True)


def main() -> None:
    """Run the comparisons, or show what is stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("datasets", nargs="*", default=list(SIZES), help=f"any of {', '.join(SIZES)}")
    parser.add_argument("--dropout", action="store_true", help="teachers trained with modality dropout")
    parser.add_argument("--show", action="store_true", help="show the stored results instead")
    options = parser.parse_args()
    if options.show:
        for path in sorted(RESULTS.glob("kd_vs_msd_*.json")):
            show(study.Study.load(path))
        return
    for name in options.datasets:
        show(compare(name, dropout=options.dropout))


if __name__ == "__main__":
    main()
