"""To how many digits do the tables of two folders agree?

    python benchmarks/compare.py OLD NEW [--within 1e-6]

Every CSV that both folders have is joined on all but its values; the largest difference of each metric is
printed. Exit 1 when one is larger than asked for. Times are left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

_TIMES = ("seconds_per_step", "steps_of_kd")


def compare(old: Path, new: Path) -> pd.DataFrame:
    """table, metric, rows that both have, rows that only one has, largest difference."""
    found = []
    for path in sorted(old.glob("*.csv")):
        if not (new / path.name).is_file():
            continue
        one, other = (pd.read_csv(folder / path.name) for folder in (old, new))
        keys = [name for name in one.columns if name != "value" and name in other.columns]
        both = one.merge(other, on=keys, how="outer", suffixes=("_old", "_new"), indicator=True)
        for metric, rows in both[~both["metric"].isin(_TIMES)].groupby("metric", sort=False):
            paired = rows[rows["_merge"] == "both"]
            gap = float(np.abs(paired["value_old"] - paired["value_new"]).max()) if len(paired) else np.nan
            found.append((path.stem, metric, len(paired), len(rows) - len(paired), gap))
    return pd.DataFrame(found, columns=["table", "metric", "both", "only one", "largest difference"])


def main() -> int:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--within", type=float, default=1e-6, help="the largest difference allowed")
    given = parser.parse_args()
    found = compare(given.old, given.new)
    print(found.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
    worst = found["largest difference"].max()
    print(f"largest of all: {worst:.3g}")
    return int(not len(found) or bool(worst > given.within))


if __name__ == "__main__":
    sys.exit(main())
