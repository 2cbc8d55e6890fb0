"""What the engine must stand: other processors, several jobs, a cluster that loses a worker, sudden ends.

    python benchmarks/trials.py jobs                KD against MSD: one job, two, two workers of Dask
    python benchmarks/trials.py kills --times 60    studies with two jobs, killed at random and taken up again
    python benchmarks/trials.py machines            studies and notebooks with other instructions and threads

Each compares tables and writes benchmarks/results/trials_<name>.json; the exit code is 1 when one differs.
The clock of `jobs` tells something on a quiet machine alone.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TIMES = ("seconds_per_step", "steps_of_kd")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
#: As on other processors, with other instructions, and with two threads where there was one.
MACHINES: dict[str, dict[str, str]] = {
    **{f"oneDNN {isa}": {"ONEDNN_MAX_CPU_ISA": isa} for isa in ("SSE41", "AVX", "AVX2")},
    "ATen default": {"ATEN_CPU_CAPABILITY": "default"},
    "two threads": dict.fromkeys(THREADS, "2"),
    "no vectors, two threads": {
        **dict.fromkeys(THREADS, "2"),
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
    },
}
#: The notebooks at sizes that show every cell; {notebook: what -p sets}.
NOTEBOOKS = {
    "00": ["seeds=2"],
    "01": ["seeds=1", "worlds=5"],
    "02": ["seeds=2"],
    "03": ["seeds=1", "worlds=5", "epochs=3"],
    "04": ["seeds=2"],
}


def studies(store: Path, jobs: int, env: dict[str, str]) -> subprocess.Popen[str]:
    """All three studies on tiny data as a process that prints their table."""
    code = "from tests.experiments.elsewhere import tables; "
    code += f"print(tables({str(store)!r}, {jobs}).to_csv(index=False), end='')"
    command = [sys.executable, "-c", code]
    env = {**os.environ, **dict.fromkeys(THREADS, "1"), **env}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)


def jobs(_: argparse.Namespace) -> dict[str, object]:
    """Wall time of two jobs, and of a cluster that loses a worker, against one; whether tables are equal."""
    found: dict[str, object] = {}
    for name in ("av_digits", "mfeat"):
        took: dict[str, float] = {}
        tables: dict[str, pd.DataFrame] = {}
        for how, run in HOWS.items():
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                tables[how] = run(name, Path(folder))
                took[how] = time.perf_counter() - began
        found[name] = {
            "seconds": {how: round(value, 1) for how, value in took.items()},
            "two / one": round(took["two"] / took["one"], 3),
            "dask / one": round(took["dask"] / took["one"], 3),
            "equal": all(tables["one"].equals(tables[how]) for how in HOWS),
        }
        print(name, found[name], flush=True)
    return found


def comparison(name: str, store: Path, count: int | None) -> pd.DataFrame:
    """KD against MSD with its defaults, without the times that no two runs share."""
    from mmkd_lab import study
    from mmkd_lab.experiments.store import ResultStore

    arms = ["no_kd", "kd", "kd_drop", "msd_uniform", "msd_instance"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = study.kd_vs_msd(name, arms=arms, store=ResultStore(store), jobs=count, progress=False).table
    kept: pd.DataFrame = table[~table["metric"].isin(TIMES)].reset_index(drop=True)
    return kept


def on_dask(name: str, store: Path) -> pd.DataFrame:
    """Two workers, one of which is killed when thirty networks are there."""
    import joblib
    from distributed import Client, LocalCluster

    from mmkd_lab.experiments.store import ResultStore

    own: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**own) as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        victim = next(iter(client.run(os.getpid).values()))

        def kill() -> None:
            while len(ResultStore(store)) < 30:
                time.sleep(0.1)
            os.kill(victim, signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        with joblib.parallel_config(backend="dask"):
            return comparison(name, store, None)


#: How the same study is run.
HOWS: dict[str, Callable[[str, Path], pd.DataFrame]] = {
    "one": lambda name, store: comparison(name, store, 1),
    "two": lambda name, store: comparison(name, store, 2),
    "dask": on_dask,
}


def kills(given: argparse.Namespace) -> dict[str, object]:
    """Studies with two jobs, killed at random until one ends; their tables against an undisturbed one."""
    import psutil

    rng, left, ended, orphans, equal = random.Random(0), given.times, 0, 0, True
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        whole, _ = studies(Path(folder) / "whole", 2, {}).communicate()
        length = time.perf_counter() - began
        while left > 0:
            store, out = Path(folder) / str(ended), None
            while out is None:
                process = studies(store, 2, {})
                try:
                    out, _ = process.communicate(timeout=rng.uniform(0.3, 1.0) * length if left else None)
                except subprocess.TimeoutExpired:
                    family = psutil.Process(process.pid).children(recursive=True)
                    process.kill()
                    process.communicate()
                    orphans += len(psutil.wait_procs(family, timeout=30)[1])
                    left -= 1
            ended, equal = ended + 1, equal and out == whole
            print(f"{left} kills left, {ended} studies ended, {orphans} orphans, equal: {equal}", flush=True)
    return {"kills": given.times, "studies": ended, "orphans": orphans, "equal": equal}


def machines(given: argparse.Namespace) -> dict[str, object]:
    """The largest difference of any number in any table from this machine's own."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        here = tables(Path(folder) / "here", {}, given.notebooks)
        for name, env in {**MACHINES, "two jobs": {}}.items():
            there = tables(Path(folder) / name, env, given.notebooks, 1 + (name == "two jobs"))
            gaps = {path: gap(here[path], there[path]) for path in here}
            worst = max(gaps, key=lambda path: gaps[path])
            found[name] = {"tables": len(gaps), "largest": gaps[worst], "of": worst}
            print(name, found[name], flush=True)
    return {**found, "equal": all(one["largest"] <= 1e-6 for one in found.values())}


def tables(folder: Path, env: dict[str, str], notebooks: bool, count: int = 1) -> dict[str, pd.DataFrame]:
    """Every table of the studies and, if wanted, of the notebooks, by its name."""
    folder.mkdir()
    out, _ = studies(folder / "tiny", count, env).communicate()
    found = {"studies": pd.read_csv(io.StringIO(out))}
    own = {"MMKD_LAB_STORE": str(folder / "store"), "MMKD_LAB_RESULTS": str(folder / "results")}
    for notebook, parameters in NOTEBOOKS.items() if notebooks else ():
        options = [word for one in parameters for word in ("-p", *one.split("=", 1))]
        run = folder / f"run {notebook}"
        command = [sys.executable, "-m", "mmkd_lab", "run", notebook, *options, "--out", str(run)]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **own, **env}, check=True)
        found |= {f"{notebook}/{path.name}": pd.read_csv(path) for path in sorted(run.rglob("*.csv"))}
    return found


def gap(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """The largest difference of two tables' numbers; infinite where anything else differs."""
    if "metric" in one:
        one, other = (table[~table["metric"].isin(TIMES)].reset_index(drop=True) for table in (one, other))
    numbers = list(one.select_dtypes("number"))
    if list(one) != list(other) or not one.drop(columns=numbers).equals(other.drop(columns=numbers)):
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
    given = parser.parse_args()
    trials: dict[str, Callable[[argparse.Namespace], dict[str, Any]]]
    trials = {"jobs": jobs, "kills": kills, "machines": machines}
    found = trials[given.trial](given)
    text = json.dumps(found, indent=2)
    (RESULTS / f"trials_{given.trial}.json").write_text(f"{text}\n", encoding="utf-8")
    print(text)
    same = [one.get("equal", True) if isinstance(one, dict) else one for one in found.values()]
    return int(False in same)


if __name__ == "__main__":
    sys.exit(main())
