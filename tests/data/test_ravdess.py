"""ravdess: actors apart, the stated datasets, what plain classifiers reach, the audio teacher."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.data.datasets import ravdess
from mmkd_lab.data.paired import PairedData


@pytest.fixture(scope="module")
def folds(mirror: Path) -> list[PairedData]:
    if not data.where("ravdess", mirror)[0].exists:
        pytest.skip("no features/ravdess_av.npz in or beside the mirror")
    return [
        data.load("ravdess", test_fold=fold, val_fold=(fold + 1) % 5, mirror=str(mirror)) for fold in range(5)
    ]


@pytest.fixture(scope="module")
def mel(folds: list[PairedData], mirror: Path) -> PairedData:
    return data.load("ravdess", audio="mel", mirror=str(mirror))


def test_the_default_is_the_stated_dataset(folds: list[PairedData], mel: PairedData, mirror: Path) -> None:
    assert folds[0].fingerprint == "b8312898e04cced6"
    assert folds[0].recipe["hash"] == "03d35c5526463cd2"
    assert folds[0].shapes == {"audio": (180,), "video": (35,)}
    assert mel.fingerprint == "552f76011c539aae"
    assert mel.shapes == {"audio": (1, 40, 150), "video": (35,)}
    assert len(folds[0]) == 1440
    assert folds[0].classes[:2] == ("neutral", "calm")
    assert str(mirror) not in str(dict(folds[0].recipe))


def test_actors_and_clips_are_on_one_side(folds: list[PairedData]) -> None:
    tested: list[int] = []
    for found in folds:
        assert found.group is not None
        sides = {split: set(found.group[where].tolist()) for split, where in found.splits.items()}
        for one, other in combinations(sides, 2):
            assert not sides[one] & sides[other]
        assert sum(map(len, sides.values())) == 24
        assert sum(map(len, found.splits.values())) == 1440
        tested += found.splits["test"].tolist()
    assert sorted(tested) == list(range(1440))


def test_columns_are_standardised_by_the_training_rows_alone(folds: list[PairedData]) -> None:
    for name in ("audio", "video"):
        values = folds[0].modalities[name].double()
        train = values[folds[0].splits["train"]]
        assert train.mean(dim=0).abs().max() < 0.01
        assert (train.std(dim=0, correction=0) - 1).abs().max() < 0.01
        assert values[folds[0].splits["test"]].mean(dim=0).abs().max() > 0.1


def test_the_log_mel_is_what_the_levels_say(mel: PairedData, mirror: Path) -> None:
    with np.load(data.verify("ravdess", mirror)[0], allow_pickle=False) as file:
        level, length = file["mel"], file["mel_len"].astype(int)
    energy = ravdess.log_energy(level)
    assert (energy.min(), ravdess.log_energy(np.array([255], np.uint8))[0]) == pytest.approx((-23.1, 7.0))
    found = mel.modalities["audio"][:, 0].double().numpy()
    row, other = 17, 900
    slope = (energy[row, :, : length[row]].max() - energy[other].min()) / (
        found[row, :, : length[row]].max() - found[other].min()
    )
    rebuilt = (found - found.min()) * slope + energy.min()
    assert np.abs(rebuilt - energy).max() < 0.03
    assert (found[row, :, length[row] :] == found.min()).all()
    heard = np.concatenate([found[i, :, : length[i]].ravel() for i in mel.splits["train"].tolist()])
    assert (heard.mean(), heard.std()) == pytest.approx((0.0, 1.0), abs=0.005)


def test_plain_classifiers_reach_what_they_should(folds: list[PairedData]) -> None:
    """Known of these folds: audio 50, video 60, both 69 %; within 3 points, the mean of five folds."""
    from sklearn.linear_model import LogisticRegression

    def accuracy(found: PairedData, names: list[str]) -> float:
        x = np.concatenate([found.modalities[name].numpy() for name in names], axis=1)
        y = found.target.numpy()
        rest, test = torch.cat([found.splits["train"], found.splits["val"]]).numpy(), found.splits["test"]
        return 100 * LogisticRegression(C=0.03, max_iter=200).fit(x[rest], y[rest]).score(x[test], y[test])

    for names, known in ((["audio"], 50.3), (["video"], 59.9), (["audio", "video"], 68.9)):
        assert np.mean([accuracy(found, names) for found in folds]) == pytest.approx(known, abs=3.0)


def test_the_audio_teacher_says_where_it_was_fitted(folds: list[PairedData], mirror: Path) -> None:
    honest = []
    for fold, found in enumerate(folds):
        with pytest.warns(UserWarning, match=rf"fold {fold} was trained on 1[12]\d0 of these 1440 rows"):
            teacher = ravdess.audio_teacher(fold, mirror=mirror)
        assert torch.equal(teacher.index, found.sample_index)
        assert teacher.logits.shape == (1440, 8)
        assert torch.equal(torch.nonzero(~teacher.fitted).flatten(), found.splits["test"])
        right = (teacher.logits.argmax(dim=1) == found.target).double()
        assert right[teacher.fitted].mean() > 0.97
        honest.append(float(right[~teacher.fitted].mean()))
    assert 100 * np.mean(honest) == pytest.approx(81.8, abs=0.1)
