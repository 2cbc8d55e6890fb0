"""Wrong arguments: each error names the argument and shows its value."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from mmkd_lab.core.check import LabError
from mmkd_lab.data.task import Task
from mmkd_lab.distill import Distillation, TeacherOutputs
from mmkd_lab.distill.losses.ce import CrossEntropy
from mmkd_lab.models import NetSpec, View, Zeros
from mmkd_lab.training import Recipe, Replicas, evaluate, fit, threads
from mmkd_lab.training.metrics import score
from tests.training.toy import CLASSES, plain, toy

DATA = toy()
FIVE = replace(DATA, target=torch.arange(len(DATA)) % 5, classes=(*CLASSES, "four"))
SPEC = NetSpec("linear")
SINGLE = Task.SINGLE_LABEL


def replicas(**more):
    return Replicas.build(SPEC, DATA, **{"seeds": [0, 1], "device": "cpu", **more})


def trained(data=DATA, recipe=None, loss=plain, **more):
    return fit(replicas(), data, loss, recipe or Recipe(epochs=1), progress=False, **more)


def without(split):
    return replace(DATA, splits={name: where for name, where in DATA.splits.items() if name != split})


def cache(count, *, leave_out=0):
    index = DATA.sample_index[leave_out:]
    return TeacherOutputs(index, torch.zeros(count, len(index), 4))


def hopeless(logits, target, teacher=None):
    return {"loss": plain(logits, target)["loss"] * torch.inf}


def of_twins(modality):
    twins = replace(DATA, modalities=dict.fromkeys("ab", DATA.modalities["image"]))
    return Replicas.build(NetSpec("linear", modalities=(modality,)), twins, seeds=[0], device="cpu")


def frozen():
    one = replicas()
    return Replicas.of([one.module(r).requires_grad_(False) for r in range(2)], device="cpu")


CASES = {
    "epochs and steps": (lambda: Recipe(epochs=3, steps=4), "epochs and steps = (3, 4)", "only one"),
    "no epochs": (lambda: Recipe(epochs=0), "epochs = 0", "at least 1"),
    "half a batch": (lambda: Recipe(batch_size=2.5), "batch_size = 2.5", "whole number"),
    "unknown optimiser": (lambda: Recipe(optimiser="adm"), "optimiser = 'adm'", "Did you mean 'adam'?"),
    "unknown schedule": (lambda: Recipe(schedule="cos"), "schedule = 'cos'", "'cosine'"),
    "unknown precision": (lambda: Recipe(precision="fp16"), "precision = 'fp16'", "'16-mixed'"),
    "unknown selection": (lambda: Recipe(select="best_test"), "select = 'best_test'", "'best_val'"),
    "no rate": (lambda: Recipe(lr=0.0), "lr = 0.0", "above 0"),
    "rate not finite": (lambda: Recipe(lr=float("nan")), "lr = nan", "finite"),
    "momentum of one": (lambda: Recipe(momentum=1.0), "momentum = 1.0", "at most"),
    "negative clip": (lambda: Recipe(clip=-1.0), "clip = -1.0", "above 0"),
    "all warm-up": (lambda: Recipe(warmup=0.9), "warmup = 0.9", "at most 0.5"),
    "no patience": (lambda: Recipe(patience=0), "patience = 0", "at least 1"),
    "everything dropped": (lambda: Recipe(modality_dropout=1.0), "modality_dropout = 1.0", "at most 0.99"),
    "unknown recipe field": (lambda: Recipe.from_dict({"rate": 1}), "rate = 1", "no field of Recipe"),
    "no seeds": (lambda: replicas(seeds=[]), "seeds = []", "at least one"),
    "seeds a number": (lambda: replicas(seeds=3), "seeds = 3", "range(5)"),
    "negative seed": (lambda: replicas(seeds=[-2]), "seeds = -2", "at least 0"),
    "unknown device": (lambda: replicas(device="gpu"), "device = 'gpu'", "'auto'"),
    "absent device": (lambda: replicas(device="cuda:99"), "device = 'cuda:99'", "'auto'"),
    "no such replica": (lambda: replicas()[2], "replica = 2", "there are 2"),
    "no modules": (lambda: Replicas.of([]), "modules = []", "at least one"),
    "modules that differ": (
        lambda: Replicas.of([nn.Linear(2, 2), nn.Linear(3, 2)], device="cpu"),
        "modules[1] = ",
        "the first network",
    ),
    "seeds and modules": (
        lambda: Replicas.of([nn.Linear(2, 2)], seeds=[1, 2]),
        "seeds = (1, 2)",
        "must be 1",
    ),
    "join of two sorts": (
        lambda: Replicas.join([replicas(), Replicas.build(NetSpec("mlp"), DATA, seeds=[0], device="cpu")]),
        "parts = ",
        "same architecture",
    ),
    "unknown split": (lambda: replicas().predict(DATA, split="dev"), "split = 'dev'", "'train'"),
    "evaluate an unknown split": (lambda: evaluate(replicas(), DATA, split="all"), "split = 'all'", "'val'"),
    "removal without view": (
        lambda: replicas().predict(DATA, removal="zeros"),
        "view = None",
        "View.only('image')",
    ),
    "unknown view": (lambda: replicas().predict(DATA, view=View.only("video")), "view = 'video'", "'image'"),
    "unknown removal": (
        lambda: replicas().predict(DATA, view=View.only("image"), removal="blur"),
        "removal = 'blur'",
        "'permutation'",
    ),
    "attention mask on late fusion": (
        lambda: replicas().predict(DATA, view=View.only("image"), removal="attention"),
        "removal = 'attention'",
        "fusion='attention'",
    ),
    "modality not in the data": (
        lambda: replicas().predict(replace(DATA, modalities={"image": DATA.modalities["image"]})),
        "modality = 'speech'",
        "'image'",
    ),
    "unknown mode": (lambda: trained(mode="vmap"), "mode = 'vmap'", "'stacked'"),
    "no training split": (lambda: trained(without("train")), "split = 'train'", "'val'"),
    "no validation split": (lambda: trained(without("val")), "recipe.select = 'best_val'", "'last'"),
    "patience without validation": (
        lambda: trained(without("val"), Recipe(epochs=1, select="last", patience=2)),
        "recipe.select = 'last'",
        "no validation",
    ),
    "wrong number of datasets": (lambda: trained([DATA] * 3), "data = '3 datasets'", "or 2"),
    "datasets of two sizes": (lambda: trained([DATA, toy(train=40)]), "data = [40, 50]", "as many"),
    "datasets of two shapes": (lambda: trained([DATA, toy(speech=(7,))]), "data = ", "must have shapes"),
    "wrong number of teachers": (lambda: trained(teacher=cache(3)), "teacher = '3 teachers'", "or 2"),
    "teacher of other samples": (
        lambda: trained(teacher=cache(1, leave_out=100)),
        "teacher = ",
        "every sample of toy",
    ),
    "dropout without removal": (
        lambda: trained(recipe=Recipe(epochs=1, modality_dropout=0.2)),
        "dropout_removal = None",
        "both or neither",
    ),
    "removal without dropout": (
        lambda: trained(dropout_removal=Zeros()),
        "dropout_removal = ",
        "both or neither",
    ),
    "half precision on a CPU": (
        lambda: trained(recipe=Recipe(epochs=1, precision="16-mixed")),
        "precision = '16-mixed'",
        "'bf16-mixed'",
    ),
    "diverged": (
        lambda: trained(loss=hopeless),
        "recipe.lr = 0.003",
        "seed 0 is no longer finite in epoch 1",
    ),
    "replica by name": (lambda: replicas()["a"], "replica = 'a'", "whole number"),
    "replica that is half": (lambda: replicas()[0.5], "replica = 0.5", "whole number"),
    "replica that is True": (lambda: replicas()[True], "replica = True", "whole number"),
    "no replica picked": (lambda: replicas()[5:], "replica = slice(5, None, None)", "at least one of the 2"),
    "a device of its own": (lambda: replicas(device="meta"), "device = 'meta'", "'cuda:0'"),
    "device None": (lambda: replicas(device=None), "device = None", "'auto'"),
    "build from a dict": (lambda: Replicas.build({}, DATA, seeds=[0]), "spec = {}", "NetSpec"),
    "build on nothing": (lambda: Replicas.build(SPEC, None, seeds=[0]), "data = None", "PairedData"),
    "a module alone": (lambda: Replicas.of(nn.Linear(2, 2)), "modules = Linear", "[network]"),
    "modules without weights": (lambda: Replicas.of([nn.ReLU()]), "modules = ", "parameters"),
    "modules of two activations": (
        lambda: Replicas.of(
            [nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Sequential(nn.Linear(2, 2), nn.Tanh())]
        ),
        "modules[1] = ",
        "like the first",
    ),
    "join of two modalities": (
        lambda: Replicas.join([of_twins("a"), of_twins("b")]),
        "parts = ",
        "same architecture",
    ),
    "join of numbers": (lambda: Replicas.join([1]), "parts = 1", "Replicas"),
    "rows for other replicas": (
        lambda: replicas().forward({"image": torch.zeros(3, 1, 1, 8, 8), "speech": torch.zeros(3, 1, 6)}),
        "x['image'] = (3, 1, 1, 8, 8)",
        "(2, batch, ...)",
    ),
    "fit of a module": (
        lambda: fit(replicas().module(), DATA, plain, Recipe(), progress=False),
        "replicas = ",
        "Replicas.build",
    ),
    "fit on nothing": (lambda: trained(None), "data = None", "PairedData"),
    "fit on numbers": (lambda: trained([1, 2]), "data = 1", "PairedData"),
    "fit without a loss": (lambda: trained(loss=None), "loss = None", "labels_only()"),
    "recipe a dict": (lambda: trained(recipe={"epochs": 1}), "recipe = {'epochs': 1}", "Recipe"),
    "teacher a tensor": (lambda: trained(teacher=torch.zeros(2)), "teacher = tensor", "TeacherOutputs"),
    "dropout by name": (
        lambda: trained(recipe=Recipe(epochs=1, modality_dropout=0.2), dropout_removal="zeros"),
        "dropout_removal = 'zeros'",
        "Zeros()",
    ),
    "too many weights, looped": (
        lambda: trained(loss=Distillation(((torch.ones(3), CrossEntropy(SINGLE)),)), mode="looped"),
        "loss = 'weights for 3'",
        "one per replica, 2",
    ),
    "fewer classes than the data": (
        lambda: trained(FIVE),
        "replicas = 'logits (1, 50, 4)'",
        "each class",
    ),
    "evaluate on more classes": (
        lambda: evaluate(replicas(), FIVE, split="val"),
        "replicas = 'logits (2, 30, 4)'",
        "each class",
    ),
    "datasets of two class lists": (
        lambda: trained([DATA, FIVE]),
        "data = ",
        "classes",
    ),
    "datasets of two validation sizes": (lambda: trained([DATA, toy(val=20)]), "data = [20, 30]", "as many"),
    "train without a modality": (
        lambda: trained(replace(DATA, modalities={"image": DATA.modalities["image"]})),
        "modality = 'speech'",
        "'image'",
    ),
    "evaluate a module": (
        lambda: evaluate(replicas().module(), DATA, split="val"),
        "replicas = ",
        "Replicas.build",
    ),
    "view by name": (lambda: replicas().predict(DATA, view="image"), "view = 'image'", "View.only"),
    "recipe from a list": (lambda: Recipe.from_dict(["lr"]), "values = ['lr']", "as_dict"),
    "nothing to learn": (
        lambda: fit(frozen(), DATA, plain, Recipe(), progress=False),
        "replicas = ",
        "gradient",
    ),
    "no threads": (lambda: threads(0).__enter__(), "n = 0", "at least 1"),
    "logits of two axes": (
        lambda: score(torch.zeros(3, 2), torch.zeros(3), task=SINGLE),
        "logits = (3, 2)",
        "3 axes",
    ),
    "target of another length": (
        lambda: score(torch.zeros(1, 3, 2), torch.zeros(4), task=SINGLE),
        "target = (4,)",
        "(3,)",
    ),
    "logits that are not finite": (
        lambda: score(torch.full((1, 3, 2), torch.nan), torch.zeros(3, dtype=torch.int64), task=SINGLE),
        "logits = 'NaN or infinite values of replica 0'",
        "finite",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_arguments_are_named(case):
    call, *wanted = CASES[case]
    with pytest.raises(LabError) as caught:
        call()
    for text in wanted:
        assert text in str(caught.value)


def test_recipes_round_trip_through_json():
    import json

    import numpy as np

    odd = Recipe(epochs=np.int64(2), lr=np.float32(0.5), clip=1)
    for recipe in (odd, Recipe(), Recipe(steps=7, batch_size=None, clip=1.0, select="last", patience=3)):
        assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe
