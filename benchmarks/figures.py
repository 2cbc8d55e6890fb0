"""Every figure of the stored results, drawn from their tables. Nothing is trained.

python benchmarks/figures.py                       all of them, into runs/figures
python benchmarks/figures.py repair --out FOLDER   those whose names begin so
python benchmarks/figures.py --shown               anew those that README.md shows
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmkd_lab.experiments import Study

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
#: Stored as pictures too, because a page shows them.
SHOWN = ("failure_cases_av_digits_speech", "kd_vs_msd_ravdess")


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", default=[""], help="how the names of results begin")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "figures", help="folder for the figures")
    parser.add_argument("--shown", action="store_true", help="the pictures of README.md, into results")
    asked = parser.parse_args()
    folder = RESULTS if asked.shown else asked.out
    folder.mkdir(parents=True, exist_ok=True)
    for table in sorted(RESULTS.glob("*.csv")):
        head = table.with_suffix(".json")
        wanted = table.stem in SHOWN if asked.shown else table.stem.startswith(tuple(asked.names))
        if wanted and head.is_file():
            where = folder / f"{table.stem}{'.png' if asked.shown else '.svg'}"
            Study.load(head).plot().save(where)
            print(where)


if __name__ == "__main__":
    main()
