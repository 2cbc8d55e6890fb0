"""Does the comparison of KD and MSD hang on the network, or on how modalities are removed?

    python benchmarks/msd_networks.py                the single-stream transformer, then the removal operators
    python benchmarks/msd_networks.py transformer    one of them
    python benchmarks/msd_networks.py --show         what is stored, without training

The first part trains the vision-language transformer (one sequence of words and patches, modalities removed
by attention mask) in its teacher and student sizes. The second asks the same question of one pair, RAVDESS,
under every removal operator; its networks attend over modalities and have learned stand-ins, so that they can
do all five. Writes to benchmarks/results/ as soon as each comparison is done. Nothing was chosen by results.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

from mmkd_lab import data, study
from mmkd_lab.distill.reliability import UnreliableTeacher
from mmkd_lab.models import REMOVALS, NetSpec
from mmkd_lab.training.recipe import Recipe

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS = range(5)
FEW = ("kd", "kd_drop", "kd_views", "msd_uniform", "msd_instance")


def transformer() -> None:
    """The single-stream transformer on shapes_vl, teachers with and without modality dropout."""
    paired = data.load("shapes_vl", mix="redundant", n_train=1500, n_val=400, n_test=1000)
    for dropout in (0.0, 0.3):
        name = "shapes_vl redundant, transformer" + (", teacher dropout" if dropout else "")
        _compare(
            replace(paired, name=name),
            removal="attention",
            student_spec=NetSpec.single_stream("student"),
            teacher_spec=NetSpec.single_stream("teacher"),
            recipe=Recipe(epochs=8, batch_size=64, warmup=0.1),
            teacher_recipe=Recipe(epochs=10, batch_size=64, warmup=0.1),
            rates=(3e-4, 1e-3, 3e-3, 1e-2),
            teacher_dropout=dropout,
        )


def removals() -> None:
    """RAVDESS under the five removal operators.

    A permutation removes whole modalities, so that nothing can be trained with modality dropout by it: its
    teachers have seen complete inputs only.
    """
    paired = data.load("ravdess")
    for removal in REMOVALS:
        whole = removal == "permutation"
        _compare(
            replace(paired, name=f"ravdess by {removal}"),
            removal=removal,
            student_spec=NetSpec(width=1, features=8, fusion="attention", baseline=True),
            teacher_spec=NetSpec(width=8, features=32, fusion="attention", baseline=True),
            recipe=Recipe(epochs=20, batch_size=64),
            rates=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
            teacher_dropout=0.0 if whole else 0.3,
            arms=tuple(arm for arm in FEW if not (whole and arm == "kd_drop")),
        )


def _compare(paired: data.PairedData, **options: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableTeacher)  # it is in the provenance
        found = study.kd_vs_msd(paired, **{"arms": FEW, "seeds": SEEDS, "device": "cpu", **options})  # type: ignore[arg-type]
    found.save(RESULTS)
    show(found)


def show(found: study.Study) -> None:
    """One comparison as text."""
    part = found.table[(found.table["split"] == "test") & (found.table["metric"] == found.options["metric"])]
    print(found.verdict)
    print(part.pivot_table(index="arm", columns="view", values="value", sort=False).round(1), flush=True)


PARTS = {"transformer": transformer, "removals": removals}


def main() -> None:
    """Run the parts, or show what is stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"any of {', '.join(PARTS)}")
    parser.add_argument("--show", action="store_true", help="show the stored results instead")
    options = parser.parse_args()
    if options.show:
        for pattern in ("kd_vs_msd_*transformer*.json", "kd_vs_msd_ravdess_by_*.json"):
            for path in sorted(RESULTS.glob(pattern)):
                show(study.Study.load(path))
        return
    for name in options.parts:
        PARTS[name]()


if __name__ == "__main__":
    main()
