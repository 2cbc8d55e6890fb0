"""One control through several values: as a study, as small multiples; and who works first."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from mmkd_lab import whatif
from mmkd_lab.core.check import LabError
from mmkd_lab.experiments import Study
from mmkd_lab.whatif.work import Worker


@pytest.fixture(scope="module")
def laboratory():
    return whatif.world(seeds=4, samples=50)


@pytest.fixture(scope="module")
def found(laboratory):
    return laboratory.sweep(gamma=(0.0, 0.5, 1.0))


@pytest.mark.long
def test_a_study_has_each_states_own_numbers(laboratory, found):
    rows = found.differences(against=["no_kd"]).query("arm == 'cm_kd'").set_index("gamma")["mean"]
    for share in (0.0, 0.5, 1.0):
        values = whatif.world(seeds=4, samples=50, gamma=share).answer().numbers
        assert rows[share] == pytest.approx(values["KD minus no KD (points)"].mean())
    first, last = (whatif.world(seeds=4, samples=50, gamma=share).answer() for share in (0.0, 1.0))
    gain = np.mean(last.numbers["KD (%)"] - first.numbers["KD (%)"])
    assert f"KD (%) {gain:+.2f}" in found.verdict


def test_it_is_drawn_where_the_control_is_a_number(laboratory, found):
    assert found.plot().axes
    assert laboratory.sweep(teacher=("other", "both")).kind == "none"


def test_it_is_saved_and_read(found, tmp_path):
    read = Study.load(found.save(tmp_path))
    assert read.verdict == found.verdict
    assert dict(read.provenance["over"]) == {"gamma": [0.0, 0.5, 1.0]}


def test_another_beginning_is_not_written_over(found, tmp_path):
    found.save(tmp_path)
    whatif.world(seeds=4, samples=25).sweep(gamma=(0.0, 1.0)).save(tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_small_multiples_are_those_states(laboratory):
    scene, told = laboratory.twin(gamma=(0.0, 1.0))
    assert [one.split(":")[0] for one in told] == ["γ both 0", "γ both 1"]
    assert scene.svg().count("4 paired seeds") == 4  # titles, and what a screen reader says
    assert whatif.world(seeds=4, samples=50, gamma=1.0).settled().sentence in told[1]


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({}, "must be one control"),
        ({"gamma": (0, 1), "alpha": (0, 1)}, "must be one control"),
        ({"gama": (0, 1)}, "Did you mean 'gamma'?"),
        ({"gamma": 0.5}, "must be one control and its values"),
        ({"gamma": (0.5,)}, "must be at least two values"),
    ],
)
def test_refusals(laboratory, over, told):
    with pytest.raises(LabError, match=told.replace("?", r"\?")):
        laboratory.sweep(**over)


def test_who_was_asked_last_goes_first_and_who_begins_waits():
    order, go, begun = [], threading.Event(), threading.Event()

    def make(name, stopped):
        begun.set()
        go.wait()
        for _ in range(3):
            if stopped():
                return
            order.append(name)
            yield whatif.Answer({}, "", None)

    workers = [Worker(make, lambda _: None, order.append, lambda: None) for _ in "abc"]
    workers[0].ask("a")
    begun.wait()
    workers[1].ask("b", first=False)
    workers[2].ask("c")
    go.set()
    assert all(worker.wait(60) for worker in workers)
    assert order == [*"ccc", *"aaa", *"bbb"]
