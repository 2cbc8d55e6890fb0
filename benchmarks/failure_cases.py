"""The studies the README quotes: who makes the better student, on real images and speech.

    python benchmarks/failure_cases.py                 all of them; those on av_mnist need its files
    python benchmarks/failure_cases.py av_digits       one dataset
    python benchmarks/failure_cases.py --show          the tables of the stored results, without training

Writes table, figure, verdict and provenance of each study to benchmarks/results/.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mmkd_lab import data, study
from mmkd_lab.data import PairedData

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS = range(5)


def settings(dataset: str) -> Iterator[PairedData]:
    """The conditions a dataset is looked at in."""
    yield data.load(dataset)
    if dataset == "av_digits":
        yield replace(data.load(dataset, speech_snr_db=0.0), name="av_digits at 0 dB")


def main() -> None:
    """Run the studies, or show what is stored."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("datasets", nargs="*", default=["av_digits", "av_mnist"])
    parser.add_argument("--show", action="store_true", help="show the stored results instead")
    options = parser.parse_args()
    if options.show:
        for path in sorted(RESULTS.glob("failure_cases_*.json")):
            show(study.Study.load(path))
        return
    for dataset in options.datasets:
        for paired in settings(dataset):
            for student in ("speech", "image"):
                found = study.failure_cases(paired, student=student, seeds=SEEDS)
                found.save(RESULTS)
                show(found)


def show(found: study.Study) -> None:
    """One study as text."""
    print(found.verdict, flush=True)
    print(found.summary().round(2).to_string(index=False))
    print(found.differences().round(2).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
