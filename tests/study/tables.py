"""Tables with a declared outcome."""

from __future__ import annotations

import pandas as pd

from mmkd_lab.experiments.summary import COLUMNS

#: Seed noise shared by every arm under a seed, so that paired differences are far narrower than the arms.
SEEDS = (0.0, 3.0, -2.0, 1.0, -4.0)


def table(students, teachers=None, *, seeds=SEEDS, wobble=0.1, metric="accuracy", dataset="toy"):
    """`students` and `teachers`: {arm: mean}. Differences scatter by `wobble` around the declared ones."""
    rows = []
    for role, means in (("student", students), ("teacher", teachers or {})):
        for a, (arm, mean) in enumerate(means.items()):
            own = [wobble * ((a + 2 * s) % 3) for s in range(len(seeds))]
            for s, noise in enumerate(seeds):
                value = mean + noise + own[s] - sum(own) / len(own)
                rows.append(("failure_cases", dataset, arm, role, s, "test", metric, value))
    return pd.DataFrame(rows, columns=list(COLUMNS))
