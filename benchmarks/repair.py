"""Does a repaired teacher teach better? On real pairs, with the rival hypotheses on the same runs.

    python benchmarks/repair.py                        all pairs, hours; all but av_digits need their files
    python benchmarks/repair.py mfeat ravdess          some datasets
    python benchmarks/repair.py --whole                is it the agreement, or the recipe that comes with it?
    python benchmarks/repair.py --show                 the tables of the stored results, without training
    python benchmarks/repair.py --redraw               figures and verdicts anew from the stored tables

Writes table, figure, verdict and provenance of each study, and of its rivals, to benchmarks/results/. With
--whole only teachers that lost no channel are compared, in studies of their own (repair_whole_*): the regular
one, the aligned one, and one trained by the aligned one's recipe without the agreement.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mmkd_lab import study
from mmkd_lab.distill.arms import WHOLE
from mmkd_lab.study import repair_verdict
from mmkd_lab.study.rivals import retold

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS = range(5)
RATIOS = (0.25, 0.5, 0.75)
#: What the students of modality-general teachers are compared with.
CONTROLS = ("cm_kd", "random_kd", "ms_kd", "aligned_kd", "weight_kd", "no_kd")
#: (dataset, teacher, student, ratios), the cheapest first; two ratios where a network takes longest.
PAIRS = (
    ("mfeat", "fac", "mor", RATIOS),
    ("ravdess", "audio", "video", RATIOS),
    ("ravdess", "video", "audio", RATIOS),
    ("av_digits", "image", "speech", RATIOS),
    ("av_digits", "speech", "image", RATIOS),
    ("av_mnist", "image", "speech", RATIOS[1:]),
    ("av_mnist", "speech", "image", RATIOS[1:]),
)


def main() -> None:
    """Run the studies, or show what is stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    known = list(dict.fromkeys(pair[0] for pair in PAIRS))
    parser.add_argument("datasets", nargs="*", default=known, help=f"any of {', '.join(known)}")
    parser.add_argument("--whole", action="store_true", help="only teachers that lost no channel")
    parser.add_argument("--show", action="store_true", help="show the stored results instead")
    parser.add_argument("--redraw", action="store_true", help="draw and tell the stored results anew")
    options = parser.parse_args()
    unknown = [name for name in options.datasets if name not in known]
    if unknown:
        parser.error(f"unknown dataset {unknown[0]!r}: must be any of {', '.join(known)}")
    for dataset, teacher, student, ratios in (pair for pair in PAIRS if pair[0] in options.datasets):
        if options.whole:
            whole(dataset, teacher, student, again=not options.show)
            continue
        name = f"{dataset}_{student}"
        if (options.show or options.redraw) and not (RESULTS / f"repair_{name}.json").exists():
            print(f"{dataset} ({teacher} teacher, {student} student): no result is stored")
            continue
        if options.redraw:
            repair_verdict.retold(study.Study.load(RESULTS / f"repair_{name}")).save(RESULTS)
            retold(study.Study.load(RESULTS / f"rivals_{name}")).save(RESULTS)
        if options.show or options.redraw:
            show(*(study.Study.load(RESULTS / f"{kind}_{name}") for kind in ("repair", "rivals")))
            continue
        found = study.repair_teachers(dataset, teacher=teacher, student=student, ratios=ratios, seeds=SEEDS)
        found.save(RESULTS)
        rivals = study.rival_hypotheses(found.runs)
        rivals.save(RESULTS)
        show(found, rivals)


def whole(dataset: str, teacher: str, student: str, *, again: bool) -> None:
    """Regular, unaligned and aligned teachers of one pair."""
    path = RESULTS / f"repair_whole_{dataset}_{student}"
    if again:
        arms = ("no_kd", "cm_kd", *WHOLE)
        found = study.repair_teachers(
            dataset, teacher=teacher, student=student, arms=arms, ratios=[0.5], seeds=SEEDS
        )
        replace(found, name=path.name, title=f"{dataset}, {student} student: whole teachers").save(RESULTS)
    elif not path.with_suffix(".json").exists():
        print(f"{dataset} ({teacher} teacher, {student} student): no result is stored")
        return
    seen = study.Study.load(path)
    print(f"{dataset}, {teacher} teacher, {student} student")
    worth = seen.differences(against=("cm_kd", "unaligned_kd", "no_kd"))
    print(worth.drop(columns=["metric", "ratio"]).round(2).to_string(index=False), flush=True)


def show(found: study.Study, rivals: study.Study) -> None:
    """One study and its rivals as text."""
    print(found.verdict, flush=True)
    print(
        found.summary().pivot_table(index=["role", "arm"], columns=["loss", "ratio"], values="mean").round(2)
    )
    worth = found.differences(against=CONTROLS).query("arm == 'mg_kd'")
    print(worth.drop(columns=["arm", "metric"]).round(2).to_string(index=False))
    print(rivals.verdict)
    rows = [
        {"rival": one["rival"], "loss": one["loss"]}
        | {f"within {end}": one["within"][end] for end in ("mean", "low", "high")}
        | {"pooled": one["pooled"]["mean"], "auc": one["auc"], "gained": one["gained"], "lost": one["lost"]}
        for one in rivals.provenance["prediction"]
    ]
    print(pd.DataFrame(rows).round(2).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
