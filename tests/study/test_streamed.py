"""A study of data that stays on disk is that of data in memory; also where students see it changed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data import PairedData
from mmkd_lab.experiments import plain
from mmkd_lab.training import streamed, teacher_outputs
from mmkd_lab.training.replicas import Replicas
from tests.study.tiny import SPEC, paired, study


def pictures() -> PairedData:
    """Pictures of bytes, in memory."""
    data = paired("pictures")
    named = data.modalities.items()
    bytes_of = {m: (255 * (x - x.min()) / (x.max() - x.min())).to(torch.uint8) for m, x in named}
    return replace(data, modalities=bytes_of)


def on_disk(folder, data):
    for name, values in data.modalities.items():
        np.save(folder / f"{name}.npy", values.numpy())
    opened = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in data.modalities
    }
    return replace(data, modalities=opened)


def noise(x, generator):
    return {name: values + torch.randn(values.shape, generator=generator) * 50 for name, values in x.items()}


def more_noise(x, generator):
    return {name: values + torch.randn(values.shape, generator=generator) * 90 for name, values in x.items()}


def same(one, other):
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)


@pytest.mark.parametrize("options", [{}, {"augment": noise, "teacher_sees": "same"}])
def test_a_table_of_streamed_data_is_that_of_data_in_memory(tmp_path, monkeypatch, options):
    options = {"arms": ["no_kd", "um_kd", "cm_kd", "mm_kd"], "seeds": [0], **options}
    held = study(tmp_path / "held", data=pictures(), **options)
    monkeypatch.setattr(streamed, "HELD", 0)
    found = study(tmp_path / "streamed", data=on_disk(tmp_path, pictures()), **options)
    same(held, found)
    assert found.verdict == held.verdict


def test_what_is_augmented_by_whom_is_part_of_a_key(tmp_path):
    several = ({}, {"augment": noise}, {"augment": more_noise}, {"augment": noise, "teacher_sees": "same"})
    found = [study(tmp_path, data=pictures(), arms=["no_kd", "cm_kd"], **one) for one in several]
    values = [one.table.query("role == 'student'")["value"].round(9).tolist() for one in found]
    assert len({tuple(one) for one in values}) == 4
    assert [one.provenance["networks"]["trained"] for one in found[1:]] == [4, 4, 4]  # students, no teacher
    again = study(tmp_path, data=pictures(), arms=["no_kd", "cm_kd"], **several[3])
    assert again.provenance["networks"]["stored"] > 0
    assert "trained" not in again.provenance["networks"]
    assert again.provenance["teacher_sees"] == "same"


@pytest.mark.parametrize("teacher_sees", ["clean", "same"])
def test_a_student_sees_the_same_whichever_arms_there_are(tmp_path, teacher_sees):
    options = {"data": pictures(), "augment": noise, "teacher_sees": teacher_sees}
    one = study(tmp_path / "one", arms=["no_kd"], **options).table
    two = study(tmp_path / "two", arms=["no_kd", "cm_kd"], **options).table
    (first, second) = (table.query("arm == 'no_kd'")["value"].to_numpy() for table in (one, two))
    assert np.array_equal(first, second)


def test_teachers_that_cannot_see_an_augmented_sample_are_refused(tmp_path):
    data = pictures()
    said = teacher_outputs(Replicas.build(SPEC.on("a"), data, seeds=[0], device="cpu"), data)
    same_sample = {"data": data, "augment": noise, "teacher_sees": "same"}
    with pytest.raises(LabError, match="teacher_sees = 'same': cannot be had of a table of answers"):
        study(tmp_path, arms=["no_kd", "cm_kd"], teacher_model=said, **same_sample)
    with pytest.raises(LabError, match="its teacher is edited"):
        study(tmp_path, arms=["no_kd", "mg_kd"], **same_sample)
    with pytest.raises(LabError, match="must be 'clean' where nothing is augmented"):
        study(tmp_path, data=data, teacher_sees="same")
    with pytest.raises(LabError, match="augment = 3"):
        study(tmp_path, data=data, augment=3)


def test_what_is_too_large_for_a_plain_classifier_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(plain, "MOST", 100)
    found = study(tmp_path, data=pictures(), arms=["no_kd"])
    notes = " ".join(found.provenance["notes"])
    assert "No plain classifier is fitted" in notes
    assert "has 3,840 numbers, and 100 is the most" in notes
    assert "linear" not in set(found.table["arm"])
