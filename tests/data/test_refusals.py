"""What the data floor refuses: one table for what is loaded, one for what is put together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.core.check import LabError
from mmkd_lab.data.datasets import ravdess
from mmkd_lab.data.datasets.crema_votes import soft_labels
from mmkd_lab.data.datasets.shapes_world import Evidence
from mmkd_lab.data.making.pairing import draw
from mmkd_lab.data.making.pca import fit_pca
from mmkd_lab.data.making.scale import standardise
from mmkd_lab.data.making.spectrogram import MelSpec
from mmkd_lab.data.paired import Task
from mmkd_lab.data.text import Vocabulary
from tests.data.test_paired import N, full, toy

NAN, INF = float("nan"), float("inf")


def with_value(value, kind=torch.float32):
    a = torch.zeros(N, 3, dtype=kind)
    a[7, 1] = value
    return a


#: dataset, parameters, what the message says.
LOADED = [
    ("av_digit", {}, r"dataset = 'av_digit'.*'av_digits', 'av_mnist', 'gaussian'.*Did you mean 'av_digits'"),
    (3, {}, r"dataset = 3: must be one of 'av_digits'"),
    ("av_digits", {"snr": 3.0}, r"parameter of 'av_digits' = 'snr'.*'speech_snr_db'"),
    ("av_digits", {"n_train": 10.5}, r"n_train = 10.5: must be a whole number"),
    ("av_digits", {"n_train": 49}, r"n_train = 49: must be at least 50"),
    ("av_digits", {"n_test": 10**6}, r"n_test = 1000000: must be at most 20000"),
    ("av_digits", {"n_val": True}, r"n_val = True: must be a number"),
    ("av_digits", {"n_train": None}, r"n_train = None"),
    ("av_digits", {"speech_snr_db": "loud"}, r"speech_snr_db = 'loud': must be a finite number"),
    ("av_digits", {"speech_snr_db": NAN}, r"speech_snr_db = nan"),
    ("av_digits", {"speech_snr_db": 61.0}, r"speech_snr_db = 61.0: must be at most 60"),
    ("av_digits", {"image_noise": -0.1, "seed": -1}, r"image_noise = -0.1: must be at least 0.*seed = -1"),
    ("av_mnist", {"noise": "white"}, r"noise = 'white': must be one of 'esc10' or 'pink'"),
    ("av_mnist", {"speech_size": 64}, r"speech_size = 64: must be one of 28 or 112"),
    ("av_mnist", {"image_energy": 0.0}, r"image_energy = 0.0: must be above 0"),
    ("av_mnist", {"image_components": 785}, r"image_components = 785: must be at most 784"),
    ("av_mnist", {"image_components": 3, "image_energy": 0.5}, r"3 and 0.5.*at most one"),
    ("av_mnist", {"test_speakers": "theo"}, r"test_speakers = 'theo': must be a list"),
    ("av_mnist", {"test_speakers": ["thea"]}, r"test_speakers = 'thea'.*Did you mean 'theo'"),
    ("av_mnist", {"test_speakers": ["theo", "theo"]}, r"test_speakers = .*twice"),
    ("av_mnist", {"test_speakers": []}, r"test_speakers = .*must name at least 1"),
    ("av_mnist", {"val_speakers": ["theo"]}, r"val_speakers = \('theo',\).*heard in the test"),
    ("av_mnist", {"val_speakers": ["george", "jackson", "nicolas", "yweweler"]}, r"at least one of six"),
    ("av_mnist", {"n_train": 59000, "n_val": 1001}, r"n_train \+ n_val = 60001"),
    ("av_mnist", {"mirror": "/no/such/folder"}, r"mirror = '/no/such/folder': must be an existing folder"),
    ("av_mnist", {"mirror": 7}, r"mirror = 7: must be text"),
    ("gaussian", {"hyperplane": "flat"}, r"hyperplane = 'flat': must be one of 'random' or 'ones'"),
    ("gaussian", {"width": 3}, r"parameter of 'gaussian' = 'width'"),
    ("gaussian", {"width_b": 9}, r"width_b = 9: must hold the decisive latents, which need 10 columns"),
    ("ravdess", {"test_fold": 5}, r"test_fold = 5: must be at most 4"),
    ("ravdess", {"test_fold": 3, "val_fold": 3}, r"val_fold = 3: must differ from test_fold"),
    ("ravdess", {"path": 3}, r"path = 3: must be text"),
    ("mfeat", {"views": ("mor",)}, r"views = .*must name at least 2"),
    ("mfeat", {"n_train": 801}, r"n_train \+ n_val \+ n_test = 2001: must be at most 2000"),
    ("crema_votes", {"val_actors": 50, "test_actors": 41}, r"val_actors \+ test_actors = 91"),
    ("shapes_vl", {"image": 0.8}, r"image \+ text \+ redundant \+ synergy = 1.2: must be at most 1"),
    ("shapes_vl", {"num_classes": 5}, r"num_classes = 5: must be one of 2, 3 or 4"),
    (
        "shapes_vl",
        {"image": 0, "text": 0, "redundant": 0, "synergy": 1.0, "n_val": 50},
        r"n = 50: must be a mul",
    ),
    ("emoji", {"target": "keywords", "text": "name and keywords"}, r"text = .*must be 'name' when the keyw"),
    ("nlvr", {"val_share": 0.0}, r"val_share = 0.0: must be above 0"),
    ("nlvr", {"image_height": 30}, r"image_height = 30: must be one of 25 or 50"),
]

#: What is wrong: changes of twelve sound samples, the argument named, a part of the message.
PUT_TOGETHER = {
    "one modality is shorter": ({"modalities": {"a": torch.zeros(N - 1, 2)}}, "modalities['a']", "(11, 2)"),
    "no modality": ({"modalities": {}}, "modalities", "{}"),
    "a modality is missing": ({"modalities": {"a": None}}, "modalities['a']", "NoneType"),
    "no columns": ({"modalities": {"a": torch.zeros(N, 0)}}, "modalities['a']", "(12, 0)"),
    "booleans": ({"modalities": {"a": torch.zeros(N, 2).bool()}}, "modalities['a']", "bool"),
    "text as numbers": ({"modalities": {"a": np.array(["x"] * N)}}, "modalities['a']", "ndarray"),
    "NaN": ({"modalities": {"a": with_value(NAN)}}, "modalities['a']", "first row 7"),
    "infinite": ({"modalities": {"a": with_value(-INF)}}, "modalities['a']", "first row 7"),
    "too large": (
        {"modalities": {"a": with_value(1e39, torch.float64)}},
        "modalities['a']",
        "single precision",
    ),
    "bfloat16": ({"modalities": {"a": torch.zeros(N, 2).bfloat16()}}, "modalities['a']", "bfloat16"),
    "sparse": ({"modalities": {"a": torch.eye(N).to_sparse()}}, "modalities['a']", "sparse"),
    "modality without a name": ({"modalities": {3: torch.zeros(N, 2)}}, "modalities", "3"),
    "no mapping": ({"modalities": None}, "modalities", "None"),
    "label too high": ({"target": torch.arange(N) % 3}, "target", "labels from 0 to 2"),
    "label negative": ({"target": torch.arange(N) % 2 - 1}, "target", "labels from -1 to 0"),
    "labels not whole": ({"target": torch.zeros(N)}, "target", "float32"),
    "labels of truth": ({"target": torch.arange(N) % 2 == 0}, "target", "bool"),
    "labels in two dimensions": ({"target": torch.zeros(N, 1).long()}, "target", "(12, 1)"),
    "target is no tensor": ({"target": [0, 1] * 6}, "target", "list"),
    "no sample": (
        {"target": torch.zeros(0).long(), "modalities": {"a": torch.zeros(0, 3)}},
        "target",
        "(0,)",
    ),
    "one class": ({"classes": ("only",)}, "classes", "only"),
    "a class twice": ({"classes": (1, "1")}, "classes", "'1', '1'"),
    "one text for classes": ({"classes": "pq"}, "classes", "'pq'"),
    "classes by fractions": ({"classes": (0.5, 1.0)}, "classes", "0.5"),
    "unknown task": ({"task": "single label"}, "task", "single label"),
    "no name": ({"name": ""}, "name", "''"),
    "class absent": (
        {"splits": {"train": range(6), "test": [8, 10]}},
        "splits['test']",
        "no sample of 'odd'",
    ),
    "overlapping splits": ({"splits": {"train": range(7), "test": range(6, 12)}}, "splits", "1 samples"),
    "unknown split": ({"splits": {"training": range(6)}}, "splits", "'training'"),
    "no split": ({"splits": {}}, "splits", "{}"),
    "empty split": ({"splits": {"train": torch.zeros(N).bool()}}, "splits['train']", "(0,)"),
    "position too high": (
        {"splits": {"train": range(1, N + 1)}},
        "splits['train']",
        "positions from 1 to 12",
    ),
    "mask too short": ({"splits": {"train": torch.ones(3).bool()}}, "splits['train']", "(3,)"),
    "positions not whole": ({"splits": {"train": torch.arange(6.0)}}, "splits['train']", "float32"),
    "duplicate index": ({"index": torch.arange(N) // 2}, "index", "6 distinct numbers for 12"),
    "index too short": ({"index": torch.arange(N - 1)}, "index", "(11,)"),
    "group on both sides": ({"group": torch.arange(N) // 7}, "group", "both 'train' and 'val'"),
    "group not whole": ({"group": torch.zeros(N)}, "group", "float32"),
    "sources too short": ({"sources": {"image": torch.arange(3)}}, "sources['image']", "(3,)"),
    "multi-label above one": (
        {"task": Task.MULTI_LABEL, "target": torch.full((N, 2), 1.5)},
        "target",
        "outside",
    ),
    "multi-label NaN": ({"task": Task.MULTI_LABEL, "target": torch.full((N, 2), NAN)}, "target", "NaN"),
    "multi-label of other width": (
        {"task": Task.MULTI_LABEL, "target": torch.ones(N, 3)},
        "target",
        "(12, 3)",
    ),
    "dense below -1": ({"task": Task.DENSE, "target": torch.full((N, 2, 2), -2)}, "target", "labels from -2"),
    "dense in one dimension": ({"task": Task.DENSE}, "target", "(12,)"),
    "a word too many": (
        {"modalities": {"a": torch.zeros(N, 1), "t": torch.full((N, 2), 4)}},
        "modalities['t']",
        "4",
    ),
    "a text of padding": ({"modalities": {"t": torch.zeros(N, 2).long()}}, "modalities['t']", "12 texts"),
    "padding inside": (
        {"modalities": {"t": torch.tensor([[2, 0, 3]] * N)}},
        "modalities['t']",
        "12 texts with padding inside",
    ),
    "text of floats": ({"modalities": {"t": torch.ones(N, 2)}}, "modalities['t']", "float32"),
    "no such text": ({"vocabularies": {"x": Vocabulary.of(["one"])}}, "vocabularies", "'x'"),
    "captions too few": ({"captions": {"t": ("one",)}}, "captions['t']", "1 texts of 1"),
    "captions no text": ({"captions": {"t": (1,) * N}}, "captions['t']", "0 texts of 12"),
}

#: The rest of the floor.
CALLED = [
    (lambda: toy().positions("tset"), r"split = 'tset'.*'train', 'val' or 'test'.*Did you mean 'test'"),
    (lambda: toy().batch(torch.tensor([0]), ["c"]), r"modality = 'c'.*'a' or 'b'"),
    *(
        (lambda at=at: toy().batch(at), r"positions = ")
        for at in (None, 0, [0], torch.zeros(1), np.array([0]))
    ),
    *((lambda to=to: toy().to(to), r"device = ") for to in (None, 7, "gpu", "")),
    (lambda: full().caption("a", 0), r"modality = 'a': must be one of 't'"),
    (lambda: full().caption("t", N), r"position = 12: must be the position of a sample, 0 to 11"),
    (
        lambda: data.register("av_digits", lambda: toy()),
        r"dataset = 'av_digits': is a name of the lab's",
    ),
    (lambda: data.register("mine", 3), r"entry = 3: must be a function that returns a PairedData"),
    *((lambda f=f: ravdess.audio_teacher(f), rf"fold = {f}") for f in (5, -1, True, 0.5, None)),
    *((lambda s=s: soft_labels(smoothing=s), rf"smoothing = '?{s}") for s in (-0.1, NAN, "some")),
    (lambda: Evidence(num_classes=1), r"num_classes = 1"),
    (lambda: Evidence(image=True), r"image = True"),
    (lambda: Evidence().bayes_accuracy("video"), r"view = 'video': must be one of 'image', 'text' or 'both'"),
    (lambda: Evidence().counts(0), r"n = 0"),
    (lambda: data.shapes_vl.declared(toy()), r"data = 'toy': must be a dataset 'shapes_vl'"),
    (lambda: MelSpec(mel=0), r"mel = 0"),
    (lambda: MelSpec(hop=1.5), r"hop = 1.5"),
    (lambda: MelSpec(low=4000.0), r"low = 4000.0"),
    (lambda: MelSpec().power(np.zeros((2, 100))), r"waves = \(2, 100\)"),
    (lambda: fit_pca(np.zeros((1, 4), np.uint8)), r"images = \(1, 4\)"),
    (lambda: draw(np.array([3]), np.arange(2), np.zeros(2), np.random.default_rng(0)), r"labels = 3"),
    (lambda: standardise(np.zeros(3), np.arange(2)), r"values = \(3,\): must be a table"),
    (lambda: standardise(np.zeros((3, 1)), np.arange(0)), r"train = .*at least one"),
]


@pytest.mark.parametrize(("name", "parameters", "expected"), LOADED)
def test_load_refuses(name, parameters, expected):
    with pytest.raises(LabError, match=expected):
        data.load(name, **parameters)


@pytest.mark.parametrize("case", PUT_TOGETHER)
def test_paired_data_refuses(case):
    changes, argument, shown = PUT_TOGETHER[case]
    base = full if argument in ("modalities['t']", "vocabularies") or "captions" in argument else toy
    if base is full and "captions" not in changes:
        changes = {"captions": {}, **changes}
    with pytest.raises(LabError) as caught:
        base(**changes)
    assert caught.value.argument == argument
    assert shown in str(caught.value)


@pytest.mark.parametrize(("call", "expected"), CALLED)
def test_the_floor_refuses(call, expected):
    with pytest.raises(LabError, match=expected):
        call()
