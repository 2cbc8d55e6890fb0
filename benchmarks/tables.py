"""The tables of benchmarks/README.md, written anew from the stored results.

    python benchmarks/tables.py            all of them, as Markdown
    python benchmarks/tables.py msd        only those of KD against MSD

Nothing is trained. A number is bold where its 95 % interval leaves out zero.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmkd_lab.core.stats import Interval
from mmkd_lab.experiments import Study
from mmkd_lab.study.msd_verdict import paired

RESULTS = Path(__file__).resolve().parent / "results"
#: (arm, against, whether with a modality missing)
MSD = (
    ("msd_uniform", "kd", False),
    ("msd_uniform", "kd", True),
    ("kd_views", "kd", True),
    ("kd_drop", "kd", True),
    ("msd_uniform", "kd_views", True),
    ("msd_instance", "msd_uniform", True),
)
REPAIR = ("cm_kd", "random_kd", "ms_kd", "aligned_kd", "no_kd")
PAIRS = ("av_digits_speech", "av_mnist_speech", "mfeat_mor", "ravdess_video", "ravdess_audio")
WHOLE = (
    ("unaligned_kd", "cm_kd"),
    ("aligned_kd", "unaligned_kd"),
    ("aligned_kd", "cm_kd"),
    ("aligned_kd", "no_kd"),
)


def shown(found: Interval, digits: int = 1) -> str:
    """An interval as a cell."""
    text = found.show(signed=True, digits=digits)
    return f"**{text}**" if found.side else text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def msd() -> None:
    """KD against MSD, one row a comparison."""
    rows: dict[str, list[list[str]]] = {"plain": [], "dropout": [], "transformer": [], "by": []}
    for path in sorted(RESULTS.glob("kd_vs_msd_*.json")):
        found = Study.load(path)
        views = found.options["views"]
        arms = set(found.table["arm"])
        cells = [
            shown(paired(found.table, arm, other, views=views[1:] if missing else views[:1]))
            if {arm, other} <= arms
            else ""
            for arm, other, missing in MSD
        ]
        name = str(found.table["dataset"].iloc[0])
        kind = next((one for one in ("transformer", " by ", "dropout") if one in name), "plain").strip()
        rows[kind].append([name, *cells])
    for kind, some in rows.items():
        print(f"\n{kind}\n")
        print(table(["data", *(f"{arm} − {other}{', missing' * m}" for arm, other, m in MSD)], some))


def repair() -> None:
    """Students of the repaired teacher against others', by the teacher alone / by labels and teacher."""
    for ratio in (0.5, 0.75):
        rows = []
        for name in PAIRS:
            worth = Study.load(RESULTS / f"repair_{name}").differences(against=REPAIR)
            worth = worth[(worth["arm"] == "mg_kd") & (worth["ratio"] == ratio)]
            cells = {
                (row["against"], row["loss"]): shown(Interval(row["mean"], row["low"], row["high"], row["n"]))
                for _, row in worth.iterrows()
            }
            rows.append([name, *(f"{cells[one, 'kd alone']} / {cells[one, 'ce + kd']}" for one in REPAIR)])
        print(f"\nmodality-general KD minus others, {ratio:.0%} removed\n")
        print(table(["data", *REPAIR], rows))


def whole() -> None:
    """Teachers that lost no channel."""
    rows = []
    for path in sorted(RESULTS.glob("repair_whole_*.json")):
        worth = Study.load(path).differences(against=tuple({other for _, other in WHOLE}))
        cells = {
            (row["arm"], row["against"], row["loss"]): shown(
                Interval(row["mean"], row["low"], row["high"], row["n"])
            )
            for _, row in worth.iterrows()
        }
        name = path.stem.removeprefix("repair_whole_")
        rows.append([name, *(f"{cells[*one, 'kd alone']} / {cells[*one, 'ce + kd']}" for one in WHOLE)])
    print("\nwhole teachers\n")
    print(table(["data", *(f"{arm} − {other}" for arm, other in WHOLE)], rows))


PARTS = {"msd": msd, "repair": repair, "whole": whole}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"any of {', '.join(PARTS)}")
    for name in parser.parse_args().parts:
        PARTS[name]()


if __name__ == "__main__":
    main()
