"""Estimators of alpha, beta and gamma against declared truth, and the speed of the PID solver.

Run from the repository root: `OMP_NUM_THREADS=1 python benchmarks/venn.py`; results go to
benchmarks/results/. Settings are chosen on development worlds (seeds from 9000), everything reported comes
from other worlds.

Families. linear: modalities show their latents as columns. synergy: a share of the labels is the XOR of the
signs of one more latent of a and one of b. tanh: each modality is tanh of a random rotation of its latents
and noise.
two_layer: another rotation follows. All have 25 and 50 columns.
noisy: the label is the sign of one latent that both modalities see, blurred in each so that the two columns
predict each other with a given R^2; gamma is 1 whatever that is. Estimators with a threshold on R^2 tip over.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from mmkd_lab.data.datasets.gaussian import World, worlds
from mmkd_lab.shares import (
    ModalityShares,
    commonality_shares,
    decisive_channels,
    declared,
    information_shares,
    performance_shares,
    pid_stack,
    world_pid,
)
from mmkd_lab.shares.samples import drop_constant
from mmkd_lab.shares.sides import cross_fitted

RESULTS = Path(__file__).parent / "results"
#: Milliseconds that one table of 10 x 10 x 2 may take on one thread.
LIMIT = 100.0
FAMILIES = {"linear": 64, "synergy": 20, "tanh": 20, "two_layer": 20}
#: R^2 between the two blurred views of family noisy, and how many worlds of each.
NOISY, NOISY_WORLDS = (0.05, 0.1, 0.3, 0.6), 5
DEVELOPMENT = {"linear": 8, "synergy": 4, "tanh": 4, "two_layer": 4}
QUANTITIES = ("alpha", "beta", "gamma_union")


@dataclass(frozen=True, eq=False)
class Case:
    """One world's data and its truths."""

    family: str
    seed: int
    spec: World
    a: np.ndarray
    b: np.ndarray
    y: np.ndarray
    truths: dict[str, ModalityShares]
    synergy: float


def draw_spec(rng: np.random.Generator, hyperplane: str, n: int) -> World:
    union, hidden = int(rng.choice([8, 12, 16])), int(rng.choice([0, 4, 8]))
    shared, own_a, own_b = rng.multinomial(union, rng.dirichlet(np.ones(3)))
    return World(int(shared), int(own_a), int(own_b), hidden, hyperplane=hyperplane, n_train=n, n_test=1)


def case(family: str, seed: int, *, n: int) -> Case:
    rng = np.random.default_rng([7, seed])
    spec = draw_spec(rng, ("ones", "random")[seed % 2], n)
    drawn = worlds(spec, [seed])
    a, b = (x[0][:n].astype(float) for x in (drawn.a, drawn.b))
    y, delta, synergy = drawn.target[0][:n].copy(), drawn.hyperplane[0], 0.0
    if family == "synergy":
        q = float(rng.choice([0.3, 0.5, 0.7, 0.9]))
        exclusive = ((a[:, -1] > 0) ^ (b[:, -1] > 0)).astype(y.dtype)  # the last columns are noise otherwise
        y = np.where(rng.random(n) < q, exclusive, y)
        single = (1 - q) ** 2 * 2 / np.pi * spec.rho("ab", delta) ** 2
        synergy = (q * 2 / np.pi) ** 2 / ((q * 2 / np.pi) ** 2 + single)
    if family in ("tanh", "two_layer"):
        a, b = (np.tanh(x @ rotation(rng, x.shape[1])) for x in (a, b))
    if family == "two_layer":
        a, b = (x @ rotation(rng, x.shape[1]) for x in (a, b))
    return Case(family, seed, spec, a, b, y, truths_of(spec, delta), synergy)


def noisy_case(r2: float, seed: int, *, n: int) -> Case:
    """Two blurred views of the one decisive latent: each correlates with it by the fourth root of r2."""
    rng, spec = np.random.default_rng([8, seed]), World(1, 0, 0, 0, hyperplane="ones", n_train=n, n_test=1)
    drawn, kept = worlds(spec, [seed]), r2**0.25
    a, b = (x[0][:n].astype(float) for x in (drawn.a, drawn.b))
    for name, x in (("a", a), ("b", b)):
        where = spec.columns(name, "shared")
        x[:, where] = kept * x[:, where] + np.sqrt(1 - kept**2) * rng.standard_normal((n, len(where)))
    truths = truths_of(spec, drawn.hyperplane[0])
    return Case(f"noisy, R2 {r2:g}", seed, spec, a, b, drawn.target[0][:n].copy(), truths, 0.0)


def truths_of(spec: World, delta: np.ndarray) -> dict[str, ModalityShares]:
    parts = world_pid(spec, hyperplane=delta)
    single = parts.redundancy + parts.unique_1 + parts.unique_2
    pid = [one / single for one in (parts.unique_1, parts.unique_2, parts.redundancy)]
    return {
        "count": declared(spec),
        "energy": declared(spec, hyperplane=delta, by="energy"),
        "pid": ModalityShares(*pid, "PID"),
    }


def rotation(rng: np.random.Generator, width: int) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal((width, width)))
    return q * np.sign(np.diag(r))


@cache
def probes(one: Case) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of cross-fitted linear probes of each modality."""
    scores = [cross_fitted(x, one.y, seed=one.seed) for x in (one.a, one.b)]
    return scores[0][:, 1] - scores[0][:, 0], scores[1][:, 1] - scores[1][:, 0]


@cache
def accuracies(one: Case, *, repeats: int = 5) -> np.ndarray:
    """(3, repeats) accuracy in percent of cross-fitted linear probes of a, b and both."""
    views = (one.a, one.b, np.column_stack([one.a, one.b]))
    return np.array(
        [
            [100 * (cross_fitted(x, one.y, seed=s).argmax(1) == one.y).mean() for s in range(repeats)]
            for x in views
        ]
    )


def estimators(bins: int = 5, halves: int = 60) -> dict[str, Callable[[Case], ModalityShares]]:
    fast = {"permutations": 100, "resamples": halves}
    return {
        "decisive, probe, count": lambda c: decisive_channels(c.a, c.b, c.y, **fast).shares,
        "decisive, marginal, count": lambda c: (
            decisive_channels(c.a, c.b, c.y, test="marginal", **fast).shares
        ),
        "decisive, marginal, energy": lambda c: (
            decisive_channels(c.a, c.b, c.y, test="marginal", weight="energy", **fast).shares
        ),
        "decisive, canonical, energy": lambda c: (
            decisive_channels(
                c.a, c.b, c.y, test="marginal", basis="canonical", weight="energy", **fast
            ).shares
        ),
        "decisive, canonical of ranks, energy": lambda c: (
            decisive_channels(
                c.a, c.b, c.y, test="marginal", basis="canonical", weight="energy", ranks=True, **fast
            ).shares
        ),
        "commonality": lambda c: commonality_shares(c.a, c.b, c.y),
        "commonality of ranks": lambda c: commonality_shares(c.a, c.b, c.y, ranks=True),
        "information, recentred": lambda c: information_shares(*probes(c), c.y, bins=bins),
        "information, percentile": lambda c: information_shares(
            *probes(c), c.y, bins=bins, interval="percentile"
        ),
        "information, basic": lambda c: information_shares(*probes(c), c.y, bins=bins, interval="basic"),
        "performance, accuracy": lambda c: performance_shares(*accuracies(c)),
        "performance, latent": lambda c: performance_shares(*accuracies(c), scale="latent"),
    }


def run(cases: list[Case], chosen: dict[str, Callable[[Case], ModalityShares]]) -> pd.DataFrame:
    rows = []
    for number, one in enumerate(cases):
        for name, estimate in chosen.items():
            begin = time.perf_counter()
            shares = estimate(one)
            seconds = time.perf_counter() - begin
            for truth, true in one.truths.items():
                for quantity in QUANTITIES:
                    ends = shares.intervals.get(quantity)
                    rows.append(
                        {
                            "family": one.family,
                            "seed": one.seed,
                            "hyperplane": one.spec.hyperplane,
                            "estimator": name,
                            "truth": truth,
                            "quantity": quantity,
                            "true": true.value(quantity),
                            "value": shares.value(quantity),
                            "low": ends.low if ends else np.nan,
                            "high": ends.high if ends else np.nan,
                            "synergy": shares.value("synergy"),
                            "true_synergy": one.synergy,
                            "xor_type": shares.xor_type,
                            "seconds": seconds,
                        }
                    )
        print(f"{number + 1}/{len(cases)} {one.family}", flush=True)
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    table = table.assign(
        error=(table["value"] - table["true"]).abs(),
        bias=table["value"] - table["true"],
        undefined=table["value"].isna(),
        covered=np.where(
            table["low"].isna(),
            np.nan,
            (table["low"] <= table["true"] + 1e-9) & (table["high"] >= table["true"] - 1e-9),
        ),
        width=table["high"] - table["low"],
    )
    keys = ["family", "truth", "quantity", "estimator"]
    found = table.groupby(keys, sort=False)[
        ["error", "bias", "covered", "width", "undefined", "seconds"]
    ].mean()
    found["worst"] = table.groupby(keys, sort=False)["error"].max()
    found["worlds"] = table.groupby(keys, sort=False)["seed"].nunique()
    return found.reset_index()


def synergy_summary(table: pd.DataFrame) -> list[dict[str, object]]:
    part = table[(table["quantity"] == "alpha") & (table["truth"] == "energy")].copy()
    part["error"] = (part["synergy"] - part["true_synergy"]).abs()
    part["found"] = part["synergy"] > 0.02
    part["flag_right"] = part["xor_type"] == (part["true_synergy"] > 0.5)
    columns = ["error", "found", "flag_right"]
    found = part.groupby(["family", "estimator"], sort=False)[columns].mean().reset_index()
    return found.to_dict("records")


def develop(*, n: int) -> list[dict[str, object]]:
    """Settings tried on development worlds: bins of the information estimator, FDR rate, least shared."""
    rows = []
    cases = [case(family, 9000 + i, n=n) for family, count in DEVELOPMENT.items() for i in range(count)]
    options: dict[str, Callable[[Case], ModalityShares]] = {
        f"information, bins {k}": (lambda c, k=k: information_shares(*probes(c), c.y, bins=k, bootstrap=0))
        for k in (3, 5, 8)
    }
    for rate in (0.01, 0.05, 0.2):
        for least in (0.02, 0.1, 0.3):
            options[f"decisive, probe, count, rate {rate}, least {least}"] = (
                lambda c, rate=rate, least=least: (
                    decisive_channels(
                        c.a, c.b, c.y, rate=rate, least_shared=least, permutations=100, resamples=0
                    ).shares
                )
            )
    table = summary(run(cases, options))
    table = table[table["quantity"] == "gamma_union"]
    for row in table.to_dict("records"):
        rows.append({key: row[key] for key in ("family", "truth", "estimator", "error", "bias")})
    return rows


def solver_speed() -> list[dict[str, object]]:
    rng, rows = np.random.default_rng(0), []
    for shape, stack in (
        ((10, 10, 2), 1),
        ((20, 20, 10), 1),
        ((50, 50, 2), 1),
        ((5, 5, 2), 200),
        ((10, 10, 2), 200),
    ):
        tables = rng.dirichlet(np.ones(int(np.prod(shape))), size=stack).reshape(stack, *shape)
        pid_stack(tables[:1])
        seconds, found = [], None
        for _ in range(15 if stack == 1 and shape[2] == 2 else 3):
            begin = time.perf_counter()
            found = pid_stack(tables)
            seconds.append(time.perf_counter() - begin)
        rows.append(
            {
                "shape": shape,
                "tables": stack,
                "median_ms": 1e3 * float(np.median(seconds)),
                "best_ms": 1e3 * min(seconds),
                "largest_gap_bits": max(one.gap for one in found),
            }
        )
    one = rows[0]
    held = "within" if one["median_ms"] <= LIMIT else "BEYOND"
    print(f"one 10 x 10 x 2 table: {one['median_ms']:.1f} ms, {held} the limit of {LIMIT:.0f} ms", flush=True)
    one["limit_ms"] = LIMIT
    return rows


def sample_sizes(
    sizes: tuple[int, ...] = (200, 500, 1000, 2000, 5000), count: int = 24
) -> list[dict[str, object]]:
    """How the best estimators depend on the number of samples (linear worlds of their own seeds)."""
    chosen = {
        name: f for name, f in estimators().items() if name in ("decisive, probe, count", "commonality")
    }
    chosen["decisive, probe, count"] = lambda c: (
        decisive_channels(c.a, c.b, c.y, permutations=100, resamples=0).shares
    )
    rows = []
    for n in sizes:
        part = summary(run([case("linear", 500 + i, n=n) for i in range(count)], chosen))
        part = part[(part["quantity"] == "gamma_union") & (part["truth"] != "pid")]
        rows += [
            {"n": n, **{k: row[k] for k in ("truth", "estimator", "error", "bias", "covered", "undefined")}}
            for row in part.to_dict("records")
        ]
    return rows


def real(folder: Path) -> list[dict[str, object]]:
    """Human votes on CREMA-D clips and RAVDESS features, by every estimator that fits; intervals by actor."""
    votes = np.load(folder / "crema_votes.npz", allow_pickle=False)
    y, actor = votes["y"].astype(int), votes["actor"].astype(int)
    voice, face, both = (votes["votes"][:, i].argmax(1) for i in range(3))
    scores = [100 * (code == y).mean() for code in (voice, face, both)]
    found = {
        "crema votes, voice and face: information": information_shares(voice, face, y, subjects=actor),
        "crema votes, voice and face: performance": performance_shares(*scores, chance=100 / 6),
    }
    clips = np.load(folder / "ravdess_av.npz", allow_pickle=False)
    y, actor = clips["emotion"].astype(int), clips["actor"].astype(int)
    a, b = (drop_constant(clips[name].astype(float)) for name in ("audio_stats", "video_au"))
    heard, seen = (cross_fitted(x, y, groups=actor, folds=6, strength=0.01) for x in (a, b))
    joint = cross_fitted(np.column_stack([a, b]), y, groups=actor, folds=6, strength=0.01)
    scores = [100 * (p.argmax(1) == y).mean() for p in (heard, seen, joint)]
    name = "ravdess, audio statistics and action units"
    found[f"{name}: information"] = information_shares(heard.argmax(1), seen.argmax(1), y, subjects=actor)
    found[f"{name}: performance"] = performance_shares(*scores, chance=100 / 8)
    found[f"{name}: commonality"] = commonality_shares(a, b, y, subjects=actor)
    found[f"{name}: decisive"] = decisive_channels(a, b, y, test="marginal", subjects=actor).shares
    found[f"{name}: decisive, canonical"] = decisive_channels(
        a, b, y, test="marginal", basis="canonical", weight="energy", subjects=actor
    ).shares
    return [
        {
            "case": key,
            "shares": str(shares),
            **{q: shares.value(q) for q in (*QUANTITIES, "synergy", "unobserved")},
        }
        for key, shares in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument(
        "--part", choices=["all", "speed", "develop", "test", "noisy", "sizes", "real"], default="all"
    )
    parser.add_argument("--features", type=Path, help="folder of crema_votes.npz and ravdess_av.npz")
    asked = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "venn.json"
    done = json.loads(path.read_text()) if path.exists() else {}
    done["machine"] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "threads": 1,
        "n": asked.n,
    }
    if asked.part in ("all", "speed"):
        done["solver"] = solver_speed()
    if asked.part in ("all", "develop"):
        done["develop"] = develop(n=asked.n)
    if asked.part in ("all", "sizes"):
        done["sample_sizes"] = sample_sizes()
    if asked.features is not None and asked.part in ("all", "real"):
        done["real"] = real(asked.features)
    if asked.part in ("all", "noisy"):
        blurred = [noisy_case(r2, 600 + i, n=asked.n) for r2 in NOISY for i in range(NOISY_WORLDS)]
        done["noisy"] = summary(run(blurred, estimators())).to_dict("records")
    if asked.part in ("all", "test"):
        cases = [
            case(family, 100 * (k + 1) + i, n=asked.n)
            for k, (family, count) in enumerate(FAMILIES.items())
            for i in range(count)
        ]
        table = run(cases, estimators())
        done["test"] = summary(table).to_dict("records")
        done["synergy"] = synergy_summary(table)
        by = table[(table["family"] == "linear") & (table["quantity"] == "gamma_union")]
        done["linear_by_hyperplane"] = [
            {"hyperplane": h, **{k: row[k] for k in ("truth", "estimator", "error", "covered")}}
            for h, part in by.groupby("hyperplane")
            for row in summary(part).to_dict("records")
        ]
    path.write_text(json.dumps(clean(done), indent=1))


def clean(value: object) -> object:
    """Plain JSON: numpy scalars unpacked, NaN as null, numbers cut to 5 digits."""
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if not np.isfinite(value) else float(f"{value:.5g}")
    return value


if __name__ == "__main__":
    main()
