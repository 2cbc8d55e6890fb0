"""Failure case 2 on rooms: does an RGB-D teacher make the better RGB student, at which declared shares?

    python benchmarks/rooms.py                      every setting (an hour or more on a core)
    python benchmarks/rooms.py "no overlap"         one setting; the others' rows are kept
    python benchmarks/rooms.py --shares             estimators of shares on the objects

Xue et al. 2023 (MFH, table 1) report for NYU Depth V2 a teacher 4.64 points of mean IoU better and a student
0.22 worse than unimodal KD's, and with a modality-general teacher a student 1.04 better. Here the shares of
objects that colours, depth, either or both together tell are declared. Teachers: of colours (um_kd), of both
alone (cm_kd), and of both trained jointly with a student (aligned_kd), also without the half of its channels
that is least modality-general (mg_kd).
Beside the mean IoU there is that of the two classes of each kind of object. The setting "eo_patch" is its
one scene in blocks, with a student of height and a teacher of height and optical bands. Writes
benchmarks/results/rooms.json; tables.py --write puts it into the page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from mmkd_lab.attribution import Joint
from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.stats import mean_interval
from mmkd_lab.data import Task, load
from mmkd_lab.data.datasets.rooms import KINDS, VIEWS, declared, objects
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.study import modality_shares, repair_teachers
from mmkd_lab.training import Recipe, threads
from mmkd_lab.training.metrics import register_metric

RESULTS = Path(__file__).parent / "results" / "rooms.json"
#: {setting: shares of rgb, depth, redundant, synergy}
SETTINGS = {
    "no overlap": (0.5, 0.5, 0.0, 0.0),
    "half overlap": (0.25, 0.25, 0.5, 0.0),
    "most overlap": (0.05, 0.05, 0.9, 0.0),
    "a quarter each": (0.25, 0.25, 0.25, 0.25),
}
ARMS = ("no_kd", "um_kd", "cm_kd", "aligned_kd", "mg_kd")
SIZES = {"n_train": 150, "n_val": 50, "n_test": 200, "height": 24, "width": 24}
#: For the estimators, which see objects one by one: enough of them for intervals.
MANY = {**SIZES, "n_train": 400, "n_val": 100, "n_test": 400}
QUANTITIES = ("gamma_union", "alpha", "beta", "synergy")
#: The one scene of eo_patch in blocks, a student of height.
SCENE = "eo_patch"
RECIPE = Recipe(epochs=60, batch_size=8, lr=1e-2, precision="32-true")
JOINT = Joint(epochs=60, batch_size=8, lr=0.2)


def _of_kind(number: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The mean IoU of the two classes of a kind; 100 where it does not occur and is not named."""

    def measured(logits: Tensor, target: Tensor) -> Tensor:
        said, known = logits.argmax(1), target >= 0
        found = []
        for one in (2 * number + 1, 2 * number + 2):
            mine, theirs = (said == one) & known, target == one
            either = (mine | theirs).sum()
            found.append((mine & theirs).sum() / either.clamp(min=1) if either else torch.ones(()))
        return 100.0 * torch.stack(found).mean()

    return measured


for _number, _kind in enumerate(KINDS):
    register_metric(f"miou of {_kind}", task=Task.DENSE)(_of_kind(_number))


def _ends(values: pd.Series) -> list[float]:
    """Mean, low, high over seeds."""
    found = mean_interval(values.tolist())
    return [round(one, 4) for one in (found.mean, found.low, found.high)]


def run(setting: str, *, seeds: int, store: str | None) -> dict[str, object]:
    """Teachers and students of a setting: means, and paired differences from um_kd and from no_kd."""
    shares, ceilings, recipe, joint = {}, {}, replace(RECIPE, epochs=70), replace(JOINT, epochs=70)
    if setting == SCENE:
        data, student, teacher = load(SCENE), "height", ("height", "optical")
    else:
        shares, recipe, joint = dict(zip(KINDS, SETTINGS[setting], strict=True)), RECIPE, JOINT
        data, student, teacher = load("rooms", **SIZES, **shares), "rgb", ("rgb", "depth")
        ceilings = {view: round(declared(data).mean_iou(view), 2) for view in VIEWS}
    with threads(1):
        study = repair_teachers(
            data,
            student=student,
            teacher=teacher,
            arms=ARMS,
            seeds=range(seeds),
            ratios=(0.5,),
            draws=1,
            losses=("ce + kd",),
            recipe=recipe,
            joint=joint,
            store=None if store is None else ResultStore(store),
            progress=False,
        )
    test = study.table.query("split == 'test' and role != 'baseline'")
    if setting == SCENE:
        test = test[~test["metric"].str.startswith("miou of")]  # kinds of objects are those of rooms
    wide = test.pivot_table(index=["role", "arm", "metric"], columns="seed", values="value")
    rows = {f"{role} {arm}": {} for role, arm, _ in wide.index}
    for (role, arm, metric), values in wide.iterrows():
        row = {"mean": _ends(values)}
        for control in ("um_kd", "no_kd"):
            if (role, control, metric) in wide.index and arm != control:
                apart = values - wide.loc[(role, control, metric)]
                row[f"less {control}"] = _ends(apart)
        rows[f"{role} {arm}"][metric] = row
    return {
        "shares": shares,
        "ceilings": ceilings,
        "seeds": seeds,
        "rows": rows,
        "notes": study.provenance["notes"],
        "rankings": [repr(one) for one in study.rankings.values()],
    }


def estimated(setting: str, *, seeds: int, store: str | None) -> dict[str, dict[str, float]]:
    """{'declared' or a method: {quantity: share}} of depth (a) and colours (b); the mean over seeds."""
    data = load("rooms", **MANY, **dict(zip(KINDS, SETTINGS[setting], strict=True)))
    one, other, both, together = SETTINGS[setting]
    alone = 1.0 - together
    truth = zip(QUANTITIES, (both / alone, other / alone, one / alone, together), strict=True)
    with threads(1):
        found = modality_shares(
            objects(data),
            modalities=("depth", "rgb"),
            layer="features",
            seeds=range(seeds),
            store=None if store is None else ResultStore(store),
        )
    means = found.table.pivot_table(index="arm", columns="metric", values="value").reindex(columns=QUANTITIES)
    told = {method: row.dropna().round(4).to_dict() for method, row in means.iterrows()}
    return {"declared": {name: round(value, 4) for name, value in truth}, **told}


def main() -> None:
    """Run, and keep the rows of the settings that were not asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("settings", nargs="*", help=f"of {', '.join([*SETTINGS, SCENE])}; all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--store", help="where finished networks are kept; the default store otherwise")
    parser.add_argument("--shares", action="store_true", help="the estimators alone")
    asked = parser.parse_args()
    for setting in asked.settings or [*SETTINGS, SCENE]:
        if asked.shares and setting == SCENE:
            continue  # nothing is declared of it
        how = {"seeds": asked.seeds, "store": asked.store}
        found = {"estimators": estimated(setting, **how)} if asked.shares else run(setting, **how)
        kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
        kept[setting] = {**kept.get(setting, {}), **found}
        whole = {name: kept[name] for name in (*SETTINGS, SCENE) if name in kept}
        write_text(RESULTS, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
        print(setting, json.dumps(found, indent=1, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
