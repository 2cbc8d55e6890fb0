"""Estimated shares against declared ones, in worlds where the truth is known.

Union and hidden latents stay as many in all worlds; the declared gamma is the share of the union that both
modalities see, and the rest is dealt to them in equal parts. All latents weigh alike, so that the declared
shares by count and by energy are one. Source: Xue et al. 2023 (MFH), section 3 and its Gaussian worlds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from mmkd_lab.core import check
from mmkd_lab.core.check import one_of, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.datasets.gaussian import World, worlds
from mmkd_lab.experiments.report import versions
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.shares import declared, world_pid
from mmkd_lab.shares.estimators import ESTIMATORS
from mmkd_lab.shares.sides import Floats, Sides

NAME = "known_shares"
ENCODERS = ("none", "tanh")
#: Decisive latents that at least one modality sees, and how many of them both see, world by world.
UNION, SHARED, HIDDEN = 16, (0, 4, 8, 12, 16), 4


def known_shares(
    *,
    methods: Sequence[str] = ("canonical", "commonality", "count", "performance", "information"),
    encoder: str = "none",
    seeds: Iterable[int] = range(4),
    samples: int = 2000,
) -> Study:
    """Every method's alpha, beta and gamma in worlds of declared gamma 0, 0.25, 0.5, 0.75 and 1.

    Args:
        methods: names from `shares.ESTIMATORS`.
        encoder: what the modalities look like. 'none': every latent is a column. 'tanh': tanh of a random
            rotation of the columns, drawn once a seed, so that no column is a latent any more.
        seeds: of the worlds; each draws its own samples.
        samples: in each world.

    Returns:
        a study of kind 'recovery': a row per method (as arm), seed, declared gamma (column `gamma`) and
        quantity alpha, beta, gamma_union. Undefined quantities have no row: `provenance['undefined']` counts
        the worlds by method, and the verdict says so beside the error, which is over the others alone.
        `provenance['pid']` is what the partial information decomposition says in truth of each world:
        R / (R + U1 + U2).

    Raises:
        LabError: an unknown method or encoder, repeated seeds, fewer than 200 samples; samples of which no
            method can tell anything in any world.
    """
    started = time.perf_counter()
    chosen = [str(name) for name in check.flat("methods", methods, "a list of methods")]
    for name in chosen:
        one_of("method", name, list(ESTIMATORS))
    one_of("encoder", encoder, ENCODERS)
    check.whole("samples", samples, at_least=200)
    numbers = check.seeds("seeds", seeds)
    rows: list[tuple[object, ...]] = []
    truth = {}
    for shared in SHARED:
        spec = world_of(shared, samples=samples)
        parts = world_pid(spec)
        gamma = declared(spec).gamma
        truth[f"{gamma:g}"] = parts.redundancy / (parts.redundancy + parts.unique_1 + parts.unique_2)
        for seed in numbers:
            sides = sides_of(spec, seed, encoder=encoder)
            for name in chosen:
                found = ESTIMATORS[name](sides, seed)
                for quantity in ("gamma_union", "alpha", "beta"):
                    if found.defined:
                        head = (NAME, "gaussian", name, "shares", seed, "all", quantity)
                        rows.append((*head, found.value(quantity), gamma))
    table = pd.DataFrame(rows, columns=[*COLUMNS, "gamma"])
    errors, undefined, tried = mean_errors(table), {}, len(SHARED) * len(numbers)
    for name in chosen:
        known = int(((table["arm"] == name) & (table["metric"] == "gamma_union")).sum())
        undefined[name] = tried - known
    labels = ", ".join(ESTIMATORS[name].label for name in chosen)
    rule = f"leaves gamma undefined in all {tried} worlds by {labels}"
    require(len(errors) > 0, "samples", samples, rule, "Use more samples or other methods.")
    return Study(
        name=f"{NAME}_{'columns' if encoder == 'none' else encoder}",
        title=_title(errors),
        table=table,
        verdict=_verdict(errors, undefined, encoder, tried, samples),
        kind="recovery",
        options={"samples": samples, "encoder": encoder},
        provenance={
            "study": NAME,
            "encoder": encoder,
            "seeds": list(numbers),
            "samples": samples,
            "latents": {"union": UNION, "shared": list(SHARED), "hidden": HIDDEN},
            "pid": truth,
            "errors": errors,
            "undefined": undefined,
            "versions": versions(),
            "seconds": round(time.perf_counter() - started, 3),
        },
    )


def world_of(shared: int, *, samples: int) -> World:
    """The world in which so many of the 16 latents of the union are seen by both."""
    own = (UNION - shared) // 2
    return World(
        shared=shared,
        specific_a=own,
        specific_b=own,
        hidden=HIDDEN,
        hyperplane="ones",
        n_train=samples,
        n_test=1,
        stream="independent",
    )


def sides_of(spec: World, seed: int, *, encoder: str = "none") -> Sides:
    """One world's training samples as the estimators want them."""
    drawn = worlds(spec, [seed])
    rows = drawn.rows("train")
    a, b = (np.asarray(x[0][rows], dtype=float) for x in (drawn.a, drawn.b))
    if encoder == "tanh":
        stream = np.random.default_rng(derive(seed, NAME, "encoder"))
        a, b = (np.tanh(x @ _rotation(stream, x.shape[1])) for x in (a, b))
    return Sides.of(a, b, np.asarray(drawn.target[0][rows]), seed=seed)


def mean_errors(table: pd.DataFrame) -> dict[str, float]:
    """{method: mean absolute error of gamma}, over all worlds in which it gave one."""
    part = table[table["metric"] == "gamma_union"]
    error = (part["value"] - part["gamma"]).abs()
    return {str(name): float(error[part["arm"] == name].mean()) for name in dict.fromkeys(part["arm"])}


def _rotation(stream: np.random.Generator, width: int) -> Floats:
    q, r = np.linalg.qr(stream.standard_normal((width, width)))
    return np.asarray(q * np.sign(np.diag(r)))


def _title(errors: dict[str, float]) -> str:
    best, worst = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    said = f"The declared gamma: {ESTIMATORS[best].label} off by {errors[best]:.2f}"
    return said if best == worst else f"{said}, {ESTIMATORS[worst].label} by {errors[worst]:.2f}"


def _verdict(errors: dict[str, float], undefined: dict[str, int], encoder: str, n: int, samples: int) -> str:
    seen = "latents as columns" if encoder == "none" else "latents behind tanh of a rotation"
    said = []
    for name, missing in undefined.items():
        left = f" (undefined in {missing} world{'s' if missing > 1 else ''})" if missing else ""
        if name in errors:
            said.append(f"{errors[name]:.3f} by {ESTIMATORS[name].label}{left}")
    head = f"In {n} Gaussian worlds of {samples:,} samples ({seen}), gamma is off by"
    sentence = f"{head} {', '.join(said)} on average"
    never = [ESTIMATORS[name].label for name in undefined if name not in errors]
    return f"{sentence}; undefined in all of them by {', '.join(never)}." if never else f"{sentence}."
