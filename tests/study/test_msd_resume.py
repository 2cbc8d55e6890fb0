"""A comparison killed with SIGKILL goes on and ends with the same table."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

from mmkd_lab.distill import UnreliableTeacher
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.models import NetSpec
from mmkd_lab.study import kd_vs_msd
from tests import forked
from tests.study.tiny import RECIPE, SPEC, paired

#: One of every way to train a student, each with the jobs that no other has.
ARMS = ("kd", "msd_learned", "fitnet", "multi_teacher", "pruned")
TIMES = ("seconds_per_step", "steps_of_kd")


pytestmark = pytest.mark.long


def write(store, out):
    """Run the comparison and write its table without the times, which no two runs share."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableTeacher)
        found = kd_vs_msd(
            paired("images"),
            arms=ARMS,
            seeds=[0],
            meta_share=0.2,
            student_model=SPEC,
            teacher_model=NetSpec(width=4, features=8),
            recipe=replace(RECIPE, epochs=1),
            store=ResultStore(store),
            device="cpu",
            progress=False,
        )
    found.table[~found.table["metric"].isin(TIMES)].to_csv(out, index=False)


def test_killed_and_resumed_it_ends_with_the_same_table(tmp_path):
    store, out = tmp_path / "store", tmp_path / "table.csv"
    forked.kill_when(store, forked.start(write, store, out), entries=20)  # among the candidates
    there = len(ResultStore(store))
    assert there >= 20
    assert not out.exists()
    write(store, out)
    write(tmp_path / "other", tmp_path / "whole.csv")
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert there < len(ResultStore(store)) == len(ResultStore(tmp_path / "other"))
