"""Every registered estimator of alpha, beta and gamma against declared truth; the speed of the PID solver.

    python benchmarks/venn.py                    everything, some minutes on one thread
    python benchmarks/venn.py speed              the solver alone

Families of worlds, all with 25 and 50 columns. linear: modalities show their latents as columns. synergy: a
share of the labels is the XOR of the signs of one more latent of a and one of b. tanh: each modality is tanh
of a random rotation of its latents and noise. two_layer: another rotation follows. noisy: the label is the
sign of one latent that both modalities see, blurred in each so that the two columns predict each other with a
given R^2; gamma is 1 whatever that is, and estimators with a threshold on R^2 tip over. The settings of the
lab's estimators were chosen on other worlds. Writes benchmarks/results/venn.csv and venn.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mmkd_lab.data import gaussian
from mmkd_lab.shares import ESTIMATORS, ModalityShares, Sides, declared, pid_stack, world_pid

RESULTS = Path(__file__).parent / "results"
SAMPLES, RESAMPLES = 2000, 60
#: Families, and how many worlds of each; of the noisy ones, by R^2.
FAMILIES = {"linear": 64, "synergy": 20, "tanh": 20, "two_layer": 20}
NOISY, NOISY_WORLDS = (0.05, 0.1, 0.3, 0.6), 5
QUANTITIES = ("alpha", "beta", "gamma_union")
#: Tables whose decomposition is timed: shape, how many at once.
TABLES = (((10, 10, 2), 1), ((20, 20, 10), 1), ((50, 50, 2), 1), ((5, 5, 2), 200), ((10, 10, 2), 200))


@dataclass(frozen=True, eq=False)
class Case:
    """One world's data, and its truth by what an estimator may mean by a share."""

    family: str
    seed: int
    sides: Sides
    truths: dict[str, ModalityShares]


def case(family: str, seed: int) -> Case:
    """A world of declared shares behind an encoder, or with synergy."""
    rng = np.random.default_rng([7, seed])
    union, hidden = int(rng.choice([8, 12, 16])), int(rng.choice([0, 4, 8]))
    shared, own_a, own_b = (int(n) for n in rng.multinomial(union, rng.dirichlet(np.ones(3))))
    spec = gaussian.World(
        shared, own_a, own_b, hidden, hyperplane=("ones", "random")[seed % 2], n_train=SAMPLES, n_test=1
    )
    a, b, y, delta = drawn(spec, seed)
    if family == "synergy":
        share = float(rng.choice([0.3, 0.5, 0.7, 0.9]))
        exclusive = ((a[:, -1] > 0) ^ (b[:, -1] > 0)).astype(y.dtype)  # the last columns are noise otherwise
        y = np.where(rng.random(len(y)) < share, exclusive, y)
    if family in ("tanh", "two_layer"):
        a, b = (np.tanh(x @ rotation(rng, x.shape[1])) for x in (a, b))
    if family == "two_layer":
        a, b = (x @ rotation(rng, x.shape[1]) for x in (a, b))
    return Case(family, seed, Sides.of(a, b, y, seed=seed), truths(spec, delta))


def noisy_case(r2: float, seed: int) -> Case:
    """Two blurred views of the one decisive latent: each correlates with it by the fourth root of r2."""
    rng = np.random.default_rng([8, seed])
    spec, kept = gaussian.World(1, 0, 0, 0, hyperplane="ones", n_train=SAMPLES, n_test=1), r2**0.25
    a, b, y, delta = drawn(spec, seed)
    for name, x in (("a", a), ("b", b)):
        where = spec.columns(name, "shared")
        x[:, where] = kept * x[:, where] + np.sqrt(1 - kept**2) * rng.standard_normal((len(y), len(where)))
    return Case(f"noisy, R2 {r2:g}", seed, Sides.of(a, b, y, seed=seed), truths(spec, delta))


def drawn(spec: gaussian.World, seed: int) -> tuple[np.ndarray, ...]:
    """The columns of a and b, the labels and the hyperplane of one world."""
    one = gaussian.worlds(spec, [seed])
    a, b = (x[0][:SAMPLES].astype(float) for x in (one.a, one.b))
    return a, b, one.target[0][:SAMPLES].copy(), one.hyperplane[0]


def truths(spec: gaussian.World, delta: np.ndarray) -> dict[str, ModalityShares]:
    """By counted latents, by their energy, and by the partial information decomposition."""
    parts = world_pid(spec, hyperplane=delta)
    single = parts.redundancy + parts.unique_1 + parts.unique_2
    shares = [one / single for one in (parts.unique_1, parts.unique_2, parts.redundancy)]
    energy = declared(spec, hyperplane=delta, by="energy")
    return {"count": declared(spec), "energy": energy, "pid": ModalityShares(*shares, "PID")}


def rotation(rng: np.random.Generator, width: int) -> np.ndarray:
    """A random rotation of so many columns."""
    q, r = np.linalg.qr(rng.standard_normal((width, width)))
    return q * np.sign(np.diag(r))


def measure(cases: Iterable[Case]) -> pd.DataFrame:
    """One row per world, estimator, truth and quantity."""
    rows = []
    for one in cases:
        for name, estimate in ESTIMATORS.items():
            begin = time.process_time()
            found = estimate(one.sides, one.seed, RESAMPLES)
            seconds = time.process_time() - begin
            for truth, true in one.truths.items():
                for quantity in QUANTITIES:
                    ends = found.intervals.get(quantity)
                    low, high = (ends.low, ends.high) if ends else (np.nan, np.nan)
                    values = (true.value(quantity), found.value(quantity), low, high, seconds)
                    rows.append((one.family, truth, quantity, name, *values))
        print(f"{one.family}, seed {one.seed}", flush=True)
    heads = ("family", "truth", "quantity", "estimator", "true", "value", "low", "high", "seconds")
    return pd.DataFrame(rows, columns=list(heads))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Errors, coverage and widths of intervals by family, truth, quantity and estimator."""
    inside = (table["low"] <= table["true"] + 1e-9) & (table["high"] >= table["true"] - 1e-9)
    table = table.assign(
        error=(table["value"] - table["true"]).abs(),
        bias=table["value"] - table["true"],
        covered=inside.where(table["low"].notna()).astype(float),
        width=table["high"] - table["low"],
        undefined=table["value"].isna(),
    )
    groups = table.groupby(["family", "truth", "quantity", "estimator"], sort=False)
    means = groups[["error", "bias", "covered", "width", "undefined"]].mean()
    more = {"worst": groups["error"].max(), "worlds": groups.size(), "seconds": groups["seconds"].mean()}
    return means.assign(**more).reset_index()


def solver_speed() -> list[dict[str, object]]:
    """Milliseconds of CPU time per call of the decomposition."""
    rng, rows = np.random.default_rng(0), []
    for shape, stack in TABLES:
        tables = rng.dirichlet(np.ones(int(np.prod(shape))), size=stack).reshape(stack, *shape)
        pid_stack(tables[:1])
        times = []
        for _ in range(15 if stack == 1 and shape[2] == 2 else 3):
            begin = time.process_time()
            found = pid_stack(tables)
            times.append(1e3 * (time.process_time() - begin))
        rows.append(
            {
                "shape": shape,
                "tables": stack,
                "median_ms": round(float(np.median(times)), 3),
                "best_ms": round(min(times), 3),
                "largest_gap_bits": max(one.gap for one in found),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", nargs="?", choices=["all", "speed", "worlds", "noisy"], default="all")
    part, tables = parser.parse_args().part, []
    if part in ("all", "worlds"):
        counted = enumerate(FAMILIES.items())
        cases = (case(name, 100 * (k + 1) + i) for k, (name, count) in counted for i in range(count))
        tables.append(summary(measure(cases)))
    if part in ("all", "noisy"):
        blurred = (noisy_case(r2, 600 + i) for r2 in NOISY for i in range(NOISY_WORLDS))
        tables.append(summary(measure(blurred)))
    if tables:
        before = pd.read_csv(RESULTS / "venn.csv")
        found = pd.concat(tables)
        kept = before[~before["family"].isin(found["family"])]
        pd.concat([found, kept]).to_csv(
            RESULTS / "venn.csv", index=False, float_format="%.5g", lineterminator="\n"
        )
    if part in ("all", "speed"):
        machine = {"python": platform.python_version(), "numpy": np.__version__, "clock": "CPU time"}
        head = {"machine": machine, "solver": solver_speed()}
        (RESULTS / "venn.json").write_text(json.dumps(head, indent=1) + "\n")


if __name__ == "__main__":
    main()
