"""What the engine must stand: other processors, several jobs, a cluster that loses a worker, sudden ends.

    python benchmarks/trials.py jobs                KD against MSD: one job, two, two workers of Dask
    python benchmarks/trials.py kills --times 60    studies with two jobs, killed at random and taken up again
    python benchmarks/trials.py machines            studies and notebooks with other instructions and threads

Each compares tables and writes benchmarks/results/trials_<name>.json; the exit code is 1 when one differs.
The clock of `jobs` tells something on a quiet machine alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
STUDIES = ("failure", "repair", "msd")
TIMES = ("seconds_per_step", "steps_of_kd")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
#: As on other processors, with other instructions, and with two threads where there was one.
MACHINES = {
    **{f"oneDNN {isa}": {"ONEDNN_MAX_CPU_ISA": isa} for isa in ("SSE41", "AVX", "AVX2")},
    "ATen default": {"ATEN_CPU_CAPABILITY": "default"},
    "two threads": dict.fromkeys(THREADS, "2"),
    "no vectors": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
}
#: The notebooks at sizes that show every cell; {notebook: what -p sets}.
NOTEBOOKS = {"00": ["seeds=2"], "01": ["seeds=1", "worlds=5"], "02": ["seeds=2"]}
NOTEBOOKS |= {"03": ["seeds=1", "worlds=5", "epochs=3"], "04": ["seeds=2"]}


def table(
    which: str, store: Path, jobs: int | None, *, data: str = "av_digits", large: bool = False
) -> pd.DataFrame:
    """The table of one small study, without the times that no two runs share."""
    from mmkd_lab import data as sets
    from mmkd_lab import study
    from mmkd_lab.training import Recipe

    small: dict[str, Any] = (
        {} if large else {"recipe": Recipe(epochs=2, batch_size=32, lr=3e-3), "seeds": range(2)}
    )
    given = {**small, "store": store, "jobs": jobs, "device": "cpu", "progress": False}
    sized = {"n_train": 240, "n_val": 100, "n_test": 200} if not large and data == "av_digits" else {}
    pairs = sets.load(data, **sized)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if which == "failure":
            found: Any = study.failure_cases(pairs, student="image", **given)
        elif which == "repair":
            found = study.repair_teachers(pairs, student="image", ratios=[0.5], **given)
        else:
            found = study.kd_vs_msd(
                pairs, arms=["no_kd", "kd", "kd_drop", "msd_uniform", "msd_instance"], **given
            )
    kept: pd.DataFrame = found.table[~found.table["metric"].isin(TIMES)]
    return kept.reset_index(drop=True)


def start(
    which: str, store: Path, out: Path, jobs: int, env: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """The study as a process of its own."""
    command = [sys.executable, __file__, "study", which, str(store), str(out), str(jobs)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})})


def jobs(_: argparse.Namespace) -> dict[str, object]:
    """Wall time of two jobs, and of a cluster that loses a worker, against one."""
    found: dict[str, object] = {}
    for name in ("av_digits", "mfeat"):
        took, tables = {}, {}
        for how, run in HOWS.items():
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                tables[how] = run(name, Path(folder))
                took[how] = time.perf_counter() - began
        found[name] = {
            "seconds": {how: round(value, 1) for how, value in took.items()},
            "two / one": round(took["two"] / took["one"], 3),
            "dask / one": round(took["dask"] / took["one"], 3),
            "equal": bool(tables["one"].equals(tables["two"]) and tables["one"].equals(tables["dask"])),
        }
        print(name, found[name], flush=True)
    return found


def _large(name: str, store: Path, count: int | None) -> pd.DataFrame:
    return table("msd", store, count, data=name, large=True)


def _dask(name: str, store: Path) -> pd.DataFrame:
    """Two workers, one of which is killed when a third of the networks is there."""
    import threading

    import joblib
    from distributed import Client, LocalCluster

    from mmkd_lab.experiments.store import ResultStore

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,  # type: ignore[no-untyped-call]
        Client(cluster) as client,  # type: ignore[no-untyped-call]
        joblib.parallel_config(backend="dask"),
    ):
        victim = next(iter(client.run(os.getpid).values()))

        def kill() -> None:
            while len(ResultStore(store)) < 30:
                time.sleep(0.1)
            os.kill(victim, signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        return _large(name, store, None)


#: How the same study is run.
HOWS: dict[str, Callable[[str, Path], pd.DataFrame]] = {
    "one": lambda name, store: _large(name, store, 1),
    "two": lambda name, store: _large(name, store, 2),
    "dask": _dask,
}


def kills(given: argparse.Namespace) -> dict[str, object]:
    """Studies with two jobs, killed at random until one ends; their tables against undisturbed ones."""
    import psutil

    rng, left, rounds, orphans, equal = random.Random(0), given.times, 0, 0, True
    with tempfile.TemporaryDirectory() as folder:
        whole, lengths = {}, {}
        for which in STUDIES:
            began, out = time.perf_counter(), Path(folder) / f"{which}.csv"
            start(which, Path(folder) / which, out, 2).wait()
            whole[which], lengths[which] = out.read_bytes(), time.perf_counter() - began
        while left > 0:
            which, store = STUDIES[rounds % len(STUDIES)], Path(folder) / f"store{rounds}"
            out, rounds = Path(folder) / f"out{rounds}.csv", rounds + 1
            while not out.exists():
                process = start(which, store, out, 2)
                try:
                    process.wait(rng.uniform(0.2, 1.0) * lengths[which] if left else None)
                except subprocess.TimeoutExpired:
                    family = psutil.Process(process.pid).children(recursive=True)
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    orphans += len(psutil.wait_procs(family, timeout=20)[1])
                    left -= 1
            equal &= out.read_bytes() == whole[which]
            locks = [path.name for path in store.rglob("*.lock")] if left == 0 else []
    return {
        "kills": given.times - left,
        "studies": rounds,
        "orphans": orphans,
        "locks": locks,
        "equal": equal,
    }


def machines(given: argparse.Namespace) -> dict[str, object]:
    """The largest difference of any number in any table from this machine's own."""
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        here = _tables(Path(folder) / "here", {}, given.notebooks)
        for name, env in {**MACHINES, "two jobs": {"TRIAL_JOBS": "2"}}.items():
            there = _tables(Path(folder) / name.replace(" ", "_"), env, given.notebooks)
            assert set(there) == set(here), set(there) ^ set(here)
            gaps = {path: _gap(here[path], there[path]) for path in here}
            worst = max(gaps, key=lambda path: gaps[path])
            found[name] = {"tables": len(gaps), "largest": gaps[worst], "of": worst}
            print(name, found[name], flush=True)
    return {**found, "equal": all(one["largest"] <= 1e-6 for one in found.values())}  # type: ignore[index]


def _tables(folder: Path, env: dict[str, str], notebooks: bool) -> dict[str, pd.DataFrame]:
    folder.mkdir()
    own = {"MMKD_LAB_STORE": str(folder / "store"), "MMKD_LAB_RESULTS": str(folder / "results")}
    env = {**dict.fromkeys(THREADS, "1"), **own, **env}
    count = int(env.pop("TRIAL_JOBS", "1"))
    for which in STUDIES:
        start(which, folder / which, folder / f"{which}.csv", count, env).wait()
    for notebook, parameters in NOTEBOOKS.items() if notebooks else ():
        options = [word for one in parameters for word in ("-p", *one.split("=", 1))]
        command = [sys.executable, "-m", "mmkd_lab", "run", "--jobs", "1", notebook, *options]
        subprocess.run(
            [*command, "--out", str(folder / f"run{notebook}")],
            cwd=ROOT,
            env={**os.environ, **env},
            check=True,
        )
    return {
        path.relative_to(folder).name: pd.read_csv(path)
        for path in sorted(folder.rglob("*.csv"))
        if "run" not in path.parts
    }


def _gap(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """The largest difference of two tables' numbers; infinite where anything else differs."""
    numbers = list(one.select_dtypes("number"))
    apart = one.drop(columns=numbers).equals(other.drop(columns=numbers)) and list(one) == list(other)
    if not apart:
        return float("inf")
    gaps = np.abs(one[numbers].to_numpy(float) - other[numbers].to_numpy(float))
    return float(np.nanmax(gaps, initial=0.0))


def main() -> int:
    """Run a trial, print and store what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    which = parser.add_subparsers(dest="trial", required=True)
    which.add_parser("jobs")
    which.add_parser("kills").add_argument("--times", type=int, default=60)
    which.add_parser("machines").add_argument(
        "--notebooks", action=argparse.BooleanOptionalAction, default=True
    )
    one = which.add_parser("study")
    for name in ("which", "store", "out", "jobs"):
        one.add_argument(name)
    given = parser.parse_args()
    if given.trial == "study":
        text = table(given.which, Path(given.store), int(given.jobs)).to_csv(index=False)
        from mmkd_lab.core import atomic

        atomic.write_text(Path(given.out), text)
        return 0
    trials: dict[str, Callable[[argparse.Namespace], dict[str, object]]] = {
        "jobs": jobs,
        "kills": kills,
        "machines": machines,
    }
    found = trials[given.trial](given)
    print(json.dumps(found, indent=2))
    (RESULTS / f"trials_{given.trial}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    equal = [found["equal"]] if "equal" in found else [one["equal"] for one in found.values()]  # type: ignore[index]
    return int(not all(equal))


if __name__ == "__main__":
    sys.exit(main())
