"""Several processes, each with its share of every batch, train what one process would."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from mmkd_lab.training import load
from mmkd_lab.training.batch import DataParallel
from tests.training import parallel_fit
from tests.training.parallel_fit import CASES

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_weighted_means_of_the_shares_are_the_mean_of_the_batch(size, world):
    batch = torch.randn(size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    shares = [DataParallel(rank, world) for rank in range(world)]
    parts = [share.weight(size) * batch[share.rows(size)].mean() for share in shares]
    assert torch.stack(parts).mean() == pytest.approx(batch.mean().item(), abs=1e-12)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """{processes: folder}: every case, by one process and by two."""
    folders = {n: tmp_path_factory.mktemp(f"processes_{n}") for n in (1, 2)}
    parallel_fit.main(str(folders[1]), 1)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    found = subprocess.run(
        [sys.executable, *launcher, parallel_fit.__file__, str(folders[2]), "2"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    return folders


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_what_one_does(outcomes, case):
    one, two = (load(outcomes[n] / f"{case}.safetensors") for n in (1, 2))
    assert one.parameters
    for name, value in one.parameters.items():
        torch.testing.assert_close(two.parameters[name], value, rtol=0, atol=1e-9)
    histories = [pd.read_csv(outcomes[n] / f"{case}.csv") for n in (1, 2)]
    pd.testing.assert_frame_equal(*histories, rtol=0, atol=1e-9)
