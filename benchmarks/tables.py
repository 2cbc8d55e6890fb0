"""The tables of benchmarks/README.md, from the stored results. Nothing is trained.

    python benchmarks/tables.py            all of them, as Markdown
    python benchmarks/tables.py msd        those whose names begin so
    python benchmarks/tables.py --write    put them into README.md, between their markers

Bold: the 95 % interval leaves out zero.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import judged
import pandas as pd

from mmkd_lab.core.stats import Interval
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.claims import claim, label

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results", HERE / "README.md"
LOSSES = ("kd alone", "ce + kd")

#: (arm, against, whether with a modality missing)
MSD = (
    ("msd_uniform", "kd", False),
    ("msd_uniform", "kd", True),
    ("kd_views", "kd", True),
    ("kd_drop", "kd", True),
    ("msd_uniform", "kd_views", True),
    ("msd_instance", "msd_uniform", True),
)
REPAIR = tuple(
    ("mg_kd", other) for other in ("cm_kd", "random_kd", "ms_kd", "aligned_kd", "weight_kd", "no_kd")
)
WHOLE = (
    ("unaligned_kd", "cm_kd"),
    ("aligned_kd", "unaligned_kd"),
    ("aligned_kd", "cm_kd"),
    ("aligned_kd", "no_kd"),
)
ROOMS = ("no_kd", "um_kd", "cm_kd", "aligned_kd", "mg_kd")
#: What each estimator means by a share.
TARGETS = {
    "count": "count",
    "canonical": "energy",
    "commonality": "energy",
    "performance": "energy",
    "information": "pid",
}


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def shown(found: Interval, digits: int = 1) -> str:
    """An interval as a cell."""
    text = found.show(signed=True, digits=digits)
    return f"**{text}**" if found.side else text


def stored(begin: str) -> Iterator[Study]:
    """The results whose names begin so."""
    for path in sorted(RESULTS.glob(f"{begin}*.csv")):
        yield Study.load(path.with_suffix(".json"))


def failure() -> str:
    """Teachers and students that read one modality."""
    head = ("data, student", "teacher: own / other / both", "no KD", "unimodal KD")
    pairs = (("cm_kd", "um_kd"), ("mm_kd", "um_kd"))
    rows = []
    for found in stored("failure_cases_"):
        means = found.summary().set_index(["role", "arm"])["mean"]
        teachers = " / ".join(f"{means['teacher', arm]:.1f}" for arm in ("um_kd", "cm_kd", "mm_kd"))
        name = f"{found.table['dataset'].iloc[0]}, {found.provenance['student']}"
        students = [f"{means['student', arm]:.1f}" for arm in ("no_kd", "um_kd")]
        rows.append(
            [name, teachers, *students, *(shown(claim(found.table, *pair).found, 2) for pair in pairs)]
        )
    return markdown([*head, *map(_versus, pairs)], rows)


def rooms(heads: Sequence[str], cells: Callable[[Mapping[str, Any], str], list[str]]) -> Callable[[], str]:
    """Failure case 2: a row for each setting and student, with the cells of both."""

    def table() -> str:
        found = json.loads((RESULTS / "rooms.json").read_text(encoding="utf-8"))
        trained = [(name, arm) for name in found for arm in ROOMS if f"student {arm}" in found[name]["rows"]]
        rows = [[name, label(arm), *cells(found[name], arm)] for name, arm in trained]
        return markdown(["setting", "student", *heads], [row for row in rows if len(row) > 2])

    return table


def _of_rooms(one: Mapping[str, Any], row: str, metric: str, what: str) -> str:
    found = one["rows"].get(row, {}).get(metric, {}).get(what)
    return "" if found is None else shown(Interval(*found, n=one["seeds"]), 2)


def _scores(one: Mapping[str, Any], arm: str) -> list[str]:
    """Means of teacher and student, and what the student is worth more than the two controls."""
    rows = [one["rows"].get(f"{role} {arm}", {}).get("miou") for role in ("teacher", "student")]
    means = [f"{row['mean'][0]:.1f}" if row else "" for row in rows]
    return means + [_of_rooms(one, f"student {arm}", "miou", f"less {other}") for other in ("um_kd", "no_kd")]


def _kinds(one: Mapping[str, Any], arm: str) -> list[str]:
    """The same of the classes of each kind, against unimodal KD; of the controls nothing."""
    if arm in ("um_kd", "no_kd"):
        return []
    at = {kind: f"miou of {kind}" if share else "" for kind, share in one["shares"].items()}
    return [_of_rooms(one, f"student {arm}", metric, "less um_kd") for metric in at.values()]


def rooms_shares() -> str:
    """What each estimator says of the objects of rooms, under what is declared."""
    found = json.loads((RESULTS / "rooms.json").read_text(encoding="utf-8"))
    quantities = ("gamma_union", "alpha", "beta", "synergy")
    rows = [
        [name, method, *("" if one not in told else f"{told[one]:.2f}" for one in quantities)]
        for name in found
        for method, told in found[name].get("estimators", {}).items()
    ]
    return markdown(["setting", "method", "γ", "α", "β", "synergy"], rows)


def msd(kind: str) -> Callable[[], str]:
    """KD against MSD, one row a comparison; `kind` is in the name of the data, '' for the plain ones."""

    def table() -> str:
        rows = []
        for found in stored("kd_vs_msd_"):
            name = str(found.table["dataset"].iloc[0])
            kinds = [one for one in ("transformer", " by ", "teacher dropout") if one in name]
            if (kinds[0] if kinds else "") != kind:
                continue
            views, arms = list(found.options["views"]), set(found.table["arm"])
            cells = [
                shown(claim(found.table, arm, other, at={"view": views[1:] if gone else views[:1]}).found)
                if {arm, other} <= arms
                else ""
                for arm, other, gone in MSD
            ]
            rows.append([name, *cells])
        heads = [
            f"{_versus((arm, other))}, {'missing' if gone else 'full input'}" for arm, other, gone in MSD
        ]
        return markdown(["data", *heads], rows)

    return table


def repair(ratio: float) -> Callable[[], str]:
    """Students of repaired teachers, by the teacher alone / by labels and teacher."""

    def table() -> str:
        found = (one for one in stored("repair_") if "whole" not in one.name)
        rows = [_pair(one, REPAIR, ratio) for one in found]
        return markdown(["data, teacher → student", *map(_versus, REPAIR)], rows)

    return table


def whole() -> str:
    """Teachers that lost no channel, likewise."""
    rows = [_pair(found, WHOLE, 0.5) for found in stored("repair_whole_")]
    return markdown(["data, teacher → student", *map(_versus, WHOLE)], rows)


def _pair(found: Study, pairs: Sequence[tuple[str, str]], ratio: float) -> list[str]:
    made = found.provenance
    at = [{"ratio": ratio, "loss": loss} for loss in LOSSES]
    cells = [" / ".join(shown(claim(found.table, *pair, at=one).found) for one in at) for pair in pairs]
    return [f"{made['dataset']}, {made['teacher']} → {made['student']}", *cells]


def _versus(pair: tuple[str, str]) -> str:
    return " − ".join(label(arm) for arm in pair).replace("|", "\\|")


def shares() -> str:
    """Estimators of gamma: mean error, and how often the interval holds what the estimator means."""
    table = pd.read_csv(RESULTS / "venn.csv").query("quantity == 'gamma_union'")
    families = [one for one in dict.fromkeys(table["family"]) if "noisy" not in one]
    at = table.set_index(["estimator", "truth", "family"])
    rows = []
    for name, truth in TARGETS.items():
        cells = [at.loc[(name, truth, family)] for family in families]
        rows.append([f"{name} ({truth})", *(f"{c['error']:.3f} ({c['covered']:.2f})" for c in cells)])
    worlds = [int(at.loc[("count", "count", family), "worlds"]) for family in families]
    return markdown(
        ["estimator (truth)", *(f"{f}, {n}" for f, n in zip(families, worlds, strict=True))], rows
    )


def noisy() -> str:
    """The same where both modalities see one latent through noise: mean error of gamma, which is 1."""
    table = pd.read_csv(RESULTS / "venn.csv").query("quantity == 'gamma_union' and truth == 'energy'")
    noisy = table[table["family"].str.contains("noisy")]
    table = noisy.pivot_table(index="family", columns="estimator", values="error", sort=False)
    rows = [
        [str(r2).removeprefix("noisy, R2 "), *(f"{row[n]:.2f}" for n in TARGETS)]
        for r2, row in table.iterrows()
    ]
    return markdown(["R²", *TARGETS], rows)


def networks() -> str:
    """The default networks beside plain classifiers."""
    rows = []
    for one in pd.read_csv(RESULTS / "default_networks.csv").to_dict("records"):
        cells = [f"{one[kind]:.1f}" for kind in ("logistic regression", "RBF SVM")]
        for who in ("student", "teacher"):
            gap, said = one[f"{who} gap"], ", said" * one[f"{who} noted"]
            cell = f"{one[who]:.1f} ({gap:+.1f}{said})".replace("-", "−")
            cells.append(f"**{cell}**" if gap < -3 else cell)
        rows.append([one["set"], f"{one['n_train']} / {one['n_val']}", *cells])
    head = ["set", "n: training / validation", "logistic regression", "RBF SVM", "student", "teacher"]
    return markdown(head, rows)


TABLES: dict[str, Callable[[], str]] = {
    "failure": failure,
    "rooms": rooms(("teacher", "mean IoU", "− unimodal KD", "− no KD"), _scores),
    "rooms_kinds": rooms(("told by colour", "told by depth", "told by either", "told by both"), _kinds),
    "rooms_shares": rooms_shares,
    "default_networks": networks,
    "shares": shares,
    "shares_noisy": noisy,
    "repair_half": repair(0.5),
    "repair_three_quarters": repair(0.75),
    "repair_whole": whole,
    "msd": msd(""),
    "msd_teacher_dropout": msd("teacher dropout"),
    "msd_removals": msd(" by "),
    "msd_transformer": msd("transformer"),
    "forecast": lambda: markdown(*judged.rivals()),
    "forecast_sets": lambda: markdown(*judged.sets()),
    "forecast_arms": lambda: markdown(*judged.arms()),
}


def put(name: str, table: str, page: str) -> str:
    """The page with what is between the markers of a name replaced."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{table}\n{end}", page)


def main() -> None:
    """Print the tables, or put them into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", default=[""], help=f"how they begin: {', '.join(TABLES)}")
    parser.add_argument("--write", action="store_true", help="into README.md")
    asked = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        if name.startswith(tuple(asked.names)):
            text = table()
            page = put(name, text, page)
            if not asked.write:
                print(f"\n{name}\n\n{text}")
    if asked.write:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
