"""What the floor refuses, in one table: each error names the argument and shows its value."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from mmkd_lab.core.check import LabError
from mmkd_lab.data.task import Task
from mmkd_lab.distill import Distillation, Msd, TeacherOutputs
from mmkd_lab.distill.losses.ce import CrossEntropy
from mmkd_lab.distill.losses.dkd import DKD
from mmkd_lab.distill.losses.hints import Hints
from mmkd_lab.distill.teacher_outputs import identity_of
from mmkd_lab.models import AttentionMask, Mean, NetSpec, View, Zeros
from mmkd_lab.training import Recipe, Replicas, evaluate, fit, prune
from mmkd_lab.training.device import make_fabric
from mmkd_lab.training.metrics import score
from mmkd_lab.training.pruning import groups_of
from tests.distill.pairs import pairs
from tests.training.lesson_toy import LEARNED, MLP, RECIPE, halves, loss_of, students, taught, trained
from tests.training.toy import CLASSES, plain, toy

DATA, PAIRS, SINGLE, MULTI = toy(), pairs(), Task.SINGLE_LABEL, Task.MULTI_LABEL
FIVE = replace(DATA, target=torch.arange(len(DATA)) % 5, classes=(*CLASSES, "four"))
ONE, QUICK = Recipe(epochs=1), Recipe(steps=40, batch_size=16)


def nets(**more):
    return Replicas.build(NetSpec("linear"), DATA, **{"seeds": [0, 1], "device": "cpu", **more})


def run(data=DATA, recipe=ONE, loss=plain, **more):
    return fit(nets(), data, loss, recipe, progress=False, **more)


def without(split, data=DATA):
    return replace(data, splits={name: where for name, where in data.splits.items() if name != split})


def said(count, *, leave_out=0):
    index = DATA.sample_index[leave_out:]
    return TeacherOutputs(index, torch.zeros(count, len(index), 4))


def hopeless(logits, target, teacher=None):
    return {"loss": plain(logits, target)["loss"] * torch.inf}


def frozen():
    return Replicas.of([nets().module(r).requires_grad_(False) for r in range(2)], device="cpu")


def lesson(data=PAIRS, loss=None, teacher=PAIRS, **more):
    """A fit of more than logits: with the teacher of these data, or what is given."""
    teacher = taught(teacher) if teacher is PAIRS else teacher
    return trained(data, loss_of(data) if loss is None else loss, teacher, **more)


def other(**changes):
    return replace(taught(PAIRS), **changes)


def learning(stuck):
    loss, replicas = loss_of(PAIRS, learned=LEARNED["global"]), Replicas.of(halves(stuck), device="cpu")
    return fit(replicas, PAIRS, loss, RECIPE, teacher=taught(PAIRS), progress=False)


def unequal_meta():
    sets = [PAIRS, PAIRS, pairs(splits={"train": 24, "meta": 18, "val": 12, "test": 12})]
    zeros = torch.zeros(3, 66, 3)
    many = TeacherOutputs(torch.arange(500, 566), zeros, views=dict.fromkeys(taught(PAIRS).views, zeros))
    loss = loss_of(PAIRS, learned=LEARNED["global"])
    return fit(students(PAIRS), sets, loss, RECIPE, teacher=many, mode="stacked", progress=False)


def pruned(recipe=QUICK, *, parameters=100, width=1, **changed):
    spec = NetSpec(**{"encoder": "mlp", "width": width, "features": 3, **changed})
    replicas = Replicas.build(spec, DATA, seeds=[0], device="cpu")
    return prune(replicas, DATA, recipe, parameters=parameters, progress=False)


RESNET = {"encoder": {"image": "resnet"}, "width": 4}
CASES = {
    # recipes
    "epochs and steps": (lambda: Recipe(epochs=3, steps=4), "epochs and steps = (3, 4)", "only one"),
    "unknown optimiser": (lambda: Recipe(optimiser="adm"), "optimiser = 'adm'", "Did you mean 'adam'?"),
    "unknown recipe field": (lambda: Recipe.from_dict({"rate": 1}), "rate = 1", "no field of Recipe"),
    # replicas
    "no seeds": (lambda: nets(seeds=[]), "seeds = []", "at least one"),
    "seeds a number": (lambda: nets(seeds=3), "seeds = 3", "range(5)"),
    "negative seed": (lambda: nets(seeds=[-2]), "seeds = -2", "at least 0"),
    "unknown device": (lambda: nets(device="gpu"), "device = 'gpu'", "'auto'"),
    "absent device": (lambda: nets(device="cuda:99"), "device = 'cuda:99'", "'auto'"),
    "device without numbers": (lambda: nets(device="meta"), "device = 'meta'", "'cuda:0'"),
    "build from a dict": (lambda: Replicas.build({}, DATA, seeds=[0]), "spec = {}", "NetSpec"),
    "no modules": (lambda: Replicas.of([]), "modules = []", "at least one"),
    "a module alone": (lambda: Replicas.of(nn.Linear(2, 2)), "modules = Linear", "[network]"),
    "no weights": (lambda: Replicas.of([nn.ReLU()]), "modules = ", "parameters"),
    "modules that differ": (
        lambda: Replicas.of([nn.Linear(2, 2), nn.Linear(3, 2)], device="cpu"),
        "modules[1] = ",
        "like the first network",
    ),
    "seeds and modules": (
        lambda: Replicas.of([nn.Linear(2, 2)], seeds=[1, 2]),
        "seeds = (1, 2)",
        "must be 1",
    ),
    "join of two sorts": (
        lambda: Replicas.join([nets(), Replicas.build(NetSpec("mlp"), DATA, seeds=[0], device="cpu")]),
        "parts = ",
        "same architecture",
    ),
    "unknown split": (lambda: nets().predict(DATA, split="dev"), "split = 'dev'", "'train'"),
    "removal without view": (
        lambda: nets().predict(DATA, removal="zeros"),
        "view = None",
        "View.only('image')",
    ),
    "view by name": (lambda: nets().predict(DATA, view="image"), "view = 'image'", "View.only"),
    "unknown view": (lambda: nets().predict(DATA, view=View.only("video")), "view = 'video'", "'image'"),
    "unknown removal": (
        lambda: nets().predict(DATA, view=View.only("image"), removal="blur"),
        "removal = 'blur'",
        "'permutation'",
    ),
    "evaluate a module": (
        lambda: evaluate(nets().module(), DATA, split="val"),
        "replicas = ",
        "Replicas.build",
    ),
    "evaluate on more classes": (
        lambda: evaluate(nets(), FIVE, split="val"),
        "replicas = 'logits (2, 30, 4)'",
        "each class",
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
    # fit
    "fit of a module": (lambda: fit(nets().module(), DATA, plain, ONE), "replicas = ", "Replicas.build"),
    "fit on numbers": (lambda: run([1, 2]), "data = 1", "PairedData"),
    "no loss": (lambda: run(loss=None), "loss = None", "labels_only()"),
    "recipe a dict": (lambda: run(recipe={"epochs": 1}), "recipe = {'epochs': 1}", "Recipe"),
    "unknown mode": (lambda: run(mode="vmap"), "mode = 'vmap'", "'stacked'"),
    "no training split": (lambda: run(without("train")), "split = 'train'", "'val'"),
    "no validation split": (lambda: run(without("val")), "recipe.select = 'best_val'", "'last'"),
    "wrong number of datasets": (lambda: run([DATA] * 3), "data = '3 datasets'", "or 2"),
    "datasets of two sizes": (lambda: run([DATA, toy(train=40)]), "data = [40, 50]", "as many"),
    "of two validation sizes": (lambda: run([DATA, toy(val=20)]), "data = [20, 30]", "as many"),
    "datasets of two shapes": (lambda: run([DATA, toy(speech=(7,))]), "data = ", "must have the shapes"),
    "datasets of two class lists": (lambda: run([DATA, FIVE]), "data = ", "the classes"),
    "fewer classes than the data": (lambda: run(FIVE), "replicas = 'logits (1, 50, 4)'", "each class"),
    "train without a modality": (
        lambda: run(replace(DATA, modalities={"image": DATA.modalities["image"]})),
        "modality = 'speech'",
        "'image'",
    ),
    "wrong number of teachers": (lambda: run(teacher=said(3)), "teacher = '3 teachers'", "or 2"),
    "teacher of other samples": (lambda: run(teacher=said(1, leave_out=100)), "teacher = ", "sample of toy"),
    "teacher a tensor": (lambda: run(teacher=torch.zeros(2)), "teacher = tensor", "TeacherOutputs"),
    "dropout without removal": (
        lambda: run(recipe=replace(ONE, modality_dropout=0.2)),
        "dropout_removal = None",
        "both or neither",
    ),
    "removal by name": (lambda: run(dropout_removal="zeros"), "dropout_removal = 'zeros'", "Zeros()"),
    "half precision on a CPU": (
        lambda: run(recipe=replace(ONE, precision="16-mixed")),
        "precision = '16-mixed'",
        "'bf16-mixed'",
    ),
    "a fabric of another precision": (
        lambda: run(
            recipe=replace(ONE, precision="32-true"), fabric=make_fabric(torch.device("cpu"), "bf16-mixed")
        ),
        "fabric = 'bf16-mixed'",
        "32-true",
    ),
    "diverged": (lambda: run(loss=hopeless), "recipe.lr = 0.003", "seed 0 is no longer finite in epoch 1"),
    "too many weights": (
        lambda: run(loss=Distillation(((torch.ones(3), CrossEntropy(SINGLE)),)), mode="looped"),
        "loss = 'weights for 3'",
        "one per replica, 2",
    ),
    "nothing to learn": (lambda: fit(frozen(), DATA, plain, ONE, progress=False), "replicas = ", "gradient"),
    # teachers of more than logits
    "classes": (
        lambda: lesson(teacher=taught(pairs(classes=4))),
        "teacher = '4 classes'",
        "the 3 classes of pairs",
    ),
    "no views": (
        lambda: lesson(teacher=taught(PAIRS).only()),
        "teacher = []: must know the view 'a'",
        "teacher_outputs",
    ),
    "another removal": (
        lambda: lesson(loss=loss_of(PAIRS, removal=Mean.of(PAIRS))),
        "removal = 'mean'",
        "zeros",
    ),
    "no teacher": (lambda: lesson(teacher=None), "teacher = None", "must be given"),
    "a mask": (
        lambda: lesson(loss=loss_of(PAIRS, removal=AttentionMask()), teacher=other(removal="attention")),
        "removal = 'attention'",
        "fusion='attention'",
    ),
    "one modality": (lambda: lesson(spec=MLP.on("a")), "views = 'b'", "of one modality"),
    "no features": (
        lambda: lesson(loss=Distillation(((1.0, Hints()),))),
        "teacher = []: must know the layer 'head input'",
        "teacher_outputs",
    ),
    "other data": (
        lambda: lesson(teacher=other(identity=replace(identity_of(PAIRS), fingerprint="0123456789abcdef"))),
        "teacher = '0123456789abcdef'",
        "of the data pairs",
    ),
    "another view": (
        lambda: lesson(loss=Distillation(((1.0, Msd((View.only("smell"),), "kl", 1.0, SINGLE)),), Zeros())),
        "teacher = ['a', 'b']",
        "the view 'smell'",
    ),
    "another task": (
        lambda: lesson(pairs(task=MULTI), loss_of(PAIRS), taught(pairs(task=MULTI))),
        "loss.task = 'single label'",
        "multi-label",
    ),
    "a method for one label": (
        lambda: lesson(pairs(task=MULTI), Distillation(((1.0, DKD(1.0)),)), taught(pairs(task=MULTI))),
        "loss = 'dkd'",
        "is not for a multi-label task",
    ),
    # learned weights
    "no split to learn on": (
        lambda: lesson(without("meta", PAIRS), loss_of(PAIRS, learned=LEARNED["global"]), taught(PAIRS)),
        "must have a split 'meta'",
        "set_aside",
    ),
    "meta of two sizes": (unequal_meta, "data = [12, 18]", "'meta'"),
    "batch norm": (lambda: learning("norm"), "learned = ['module.norm']", "without dropout and batch"),
    "dropout": (lambda: learning("dropout"), "learned = ['module.norm']", "without dropout and batch"),
    # pruning
    "prune nothing": (lambda: prune(None, DATA, QUICK, parameters=100), "replicas = None", "Replicas"),
    "too large": (lambda: pruned(parameters=10**6), "parameters = 1000000", "the whole network"),
    "too small": (lambda: pruned(parameters=5), "parameters = 5", "one unit a layer"),
    "no units": (lambda: pruned(encoder="linear"), "replicas = ", "no units"),
    "a ResNet": (lambda: pruned(**RESNET), "replicas = 'fusion.encoders.0'", "ResNet"),
    "a ResNet's maps": (
        lambda: pruned(**RESNET, fusion="mid"),
        "replicas = 'fusion.stems.0.first'",
        "ResNet",
    ),
    "units nobody knows": (lambda: groups_of(nn.Linear(2, 2)), "replicas = 'Linear'", "NetSpec"),
    "modality dropout": (
        lambda: pruned(replace(QUICK, modality_dropout=0.5)),
        "recipe.modality_dropout = 0.5",
        "whole samples",
    ),
    "scaled gradients": (
        lambda: pruned(replace(QUICK, precision="16-mixed")),
        "recipe.precision = '16-mixed'",
        "bf16-mixed",
    ),
    "a search that diverges": (
        lambda: pruned(Recipe(steps=9, lr=1e300, optimiser="sgd")),
        "recipe.lr = 1e+300",
        "seed 0 is no longer finite",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_arguments_are_named(case):
    call, *wanted = CASES[case]
    with pytest.raises(LabError) as caught:
        call()
    for text in wanted:
        assert text in str(caught.value)
