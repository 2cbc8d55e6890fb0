"""Does Algorithm 1 find the shared channels where they are declared? In the worlds of Table 2.

Source: Xue et al. 2023 (MFH), Algorithm 1 and table 2.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict

import pandas as pd
import torch
from torch import Tensor

from mmkd_lab.attribution import align_linear, closed_form, top_k_precision, weight_magnitude
from mmkd_lab.core.stats import Interval, mean_interval
from mmkd_lab.data.gaussian import TABLE2, World, Worlds, worlds
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.report import versions
from mmkd_lab.study.table2 import FIRST

#: Ways to rank the channels of the teacher, in words.
SALIENCY, ALIGNED, ALONE, SKIPPED = RANKINGS = (
    "Algorithm 1",
    "|W|, trained jointly",
    "|W|, trained alone",
    "Algorithm 1 without step 1",
)


def table_2_channels(seeds: Iterable[int] = FIRST) -> Study:
    """How many of the k channels ranked highest are truly shared, k being their true number.

    Four rankings of the 50 input channels of linear teachers: saliency in closed form after joint training
    (Algorithm 1), |W| of the same teacher, |W| of one that was trained alone, and saliency of the pair that
    was trained alone (step 1 left out). Chance gives the share of shared channels, 10 to 60 %.

    Args:
        seeds: distinct whole numbers.

    Returns:
        a study without a figure. Role 'teacher', metric 'precision' in percent, with the columns gamma and
        `ranked_by`.

    Raises:
        LabError: bad seeds.
    """
    started = time.perf_counter()
    drawn = worlds(TABLE2, seeds)
    each = len(set(drawn.seeds))
    rows: list[dict[str, object]] = []
    for i, spec in enumerate(TABLE2):
        mine = slice(i * each, (i + 1) * each)
        for ranked_by, precision in _precision(drawn, mine, spec).items():
            rows += [
                {
                    "study": "table2_channels",
                    "dataset": "gaussian",
                    "arm": "mg_kd",
                    "role": "teacher",
                    "seed": seed,
                    "split": "train",
                    "metric": "precision",
                    "value": 100.0 * value,
                    "gamma": spec.gamma_union,
                    "ranked_by": ranked_by,
                }
                for seed, value in zip(drawn.seeds[mine], precision.tolist(), strict=True)
            ]
    table = pd.DataFrame(rows)
    found = {name: _over_all(table, name) for name in RANKINGS}
    return Study(
        name="table2_channels",
        title=(
            f"Algorithm 1 finds {found[SALIENCY].mean:.0f} % of the shared channels, "
            f"{found[SKIPPED].mean:.0f} % without joint training"
        ),
        table=table,
        verdict=(
            f"Of the channels ranked highest, {found[SALIENCY].show()} % are truly shared by Algorithm 1, "
            f"{found[ALIGNED].show()} % by |W| of the same teacher, {found[ALONE].show()} % by |W| of a "
            f"teacher trained alone, and {found[SKIPPED].show()} % by Algorithm 1 without joint training "
            f"({each} seeds, means over {len(TABLE2)} worlds)."
        ),
        kind="none",
        provenance={
            "study": "table 2, channels",
            "dataset": "gaussian",
            "fingerprint": drawn.fingerprint,
            "worlds": [asdict(spec) for spec in TABLE2],
            "seeds": list(dict.fromkeys(drawn.seeds)),
            "versions": versions(),
            "seconds": round(time.perf_counter() - started, 3),
        },
    )


def _precision(drawn: Worlds, mine: slice, spec: World) -> dict[str, Tensor]:
    """{ranking: (seeds,) share of truly shared channels among the highest}."""
    rows, seeds = drawn.rows("train"), drawn.seeds[mine]
    a, b = (torch.from_numpy(values[mine, rows]) for values in (drawn.a, drawn.b))
    target = drawn.target[mine, rows]
    truth = torch.zeros(len(seeds), a.shape[2], dtype=torch.bool)
    truth[:, spec.columns("a", "shared")] = True
    joint = align_linear(a, b, target, seeds=seeds)
    alone = align_linear(a, b, target, seeds=seeds, agreement=0.0)
    ranked = {
        SALIENCY: closed_form(a, joint.weight_a, joint.logits_a(a) - joint.logits_b(b)),
        ALIGNED: weight_magnitude(joint.weight_a),
        ALONE: weight_magnitude(alone.weight_a),
        SKIPPED: closed_form(a, alone.weight_a, alone.logits_a(a) - alone.logits_b(b)),
    }
    return {name: top_k_precision(values, truth) for name, values in ranked.items()}


def _over_all(table: pd.DataFrame, ranked_by: str) -> Interval:
    """A seed's mean over the worlds, then over seeds."""
    rows = table[table["ranked_by"] == ranked_by]
    return mean_interval(rows.groupby("seed")["value"].mean().to_numpy())
