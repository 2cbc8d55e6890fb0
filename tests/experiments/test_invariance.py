"""A study gives the same table on other processors, numbers of threads and numbers of jobs.

python -m tests.experiments.test_invariance <store> <jobs>   prints the tables of all three studies.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.distill import UnreliableTeacher
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.study import failure_cases, kd_vs_msd, repair_teachers
from mmkd_lab.training.recipe import Recipe
from tests.study.tiny import paired

REPOSITORY = Path(__file__).parents[2]
TIMES = ("seconds_per_step", "steps_of_kd")
ELSEWHERE = {
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "no vectors": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
    "two threads": {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
}


def tables(store, jobs=1):
    given = {
        "seeds": range(2),
        "student_model": NetSpec(width=2, features=4),
        "teacher_model": NetSpec(width=4, features=8),
        "recipe": Recipe(epochs=2, batch_size=16, lr=0.01),
        "store": ResultStore(store),
        "jobs": jobs,
        "device": "cpu",
        "progress": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableTeacher)
        found = [
            failure_cases(paired("images"), student="b", **given),
            repair_teachers(paired(), student="b", arms=["no_kd", "cm_kd", "mg_kd"], ratios=[0.5], **given),
            kd_vs_msd(paired(), arms=["kd", "msd_instance", "fitnet"], tune=False, **given),
        ]
    each = [study.table[~study.table["metric"].isin(TIMES)] for study in found]
    return pd.concat(each, ignore_index=True)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return tables(tmp_path_factory.mktemp("here"))


def assert_same(found, here):
    keys = [name for name in here if name != "value"]
    pd.testing.assert_frame_equal(found[keys], here[keys], check_dtype=False)
    np.testing.assert_allclose(found["value"], here["value"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("where", ELSEWHERE)
def test_another_processor_or_number_of_threads_gives_the_same_table(where, here, tmp_path):
    command = [sys.executable, "-m", "tests.experiments.test_invariance", str(tmp_path / "store"), "1"]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **ELSEWHERE[where]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert_same(pd.read_csv(io.StringIO(done.stdout)), pd.read_csv(io.StringIO(here.to_csv(index=False))))


def test_two_jobs_give_the_same_table_to_the_last_bit(here, tmp_path):
    assert tables(tmp_path, jobs=2).equals(here)


if __name__ == "__main__":
    print(tables(sys.argv[1], int(sys.argv[2])).to_csv(index=False), end="")
