"""Wrong arguments: each error names the argument and shows its value."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.models import (
    AttentionMask,
    Learned,
    Mean,
    NetSpec,
    Permutation,
    View,
    Zeros,
    all_views,
    build,
    removal_named,
    split_views,
    view_rows,
)

X = {"a": torch.zeros(4, 3), "b": torch.zeros(4, 3)}
SHAPES = {"a": (3,), "b": (3,)}
IDS = {"a": torch.ones(4, 3, dtype=torch.long), "b": torch.zeros(4, 3)}
STREAM = {"fusion": "single_stream"}
TEXT = {"vocabulary": {"a": 5}}


def net(**settings):
    return build(NetSpec(**settings), SHAPES, 2, seed=0)


CASES = {
    "unknown encoder": (lambda: NetSpec("lenett"), "encoder = 'lenett'", "'lenet'"),
    "unknown encoder of one": (lambda: NetSpec({"a": "cnn"}), "'cnn'", "one of"),
    "encoder of no sort": (lambda: NetSpec(7), "encoder = 7", "{modality: value}"),
    "unknown fusion": (lambda: NetSpec(fusion="early"), "fusion = 'early'", "'attention'"),
    "no width": (lambda: NetSpec(width=0), "width = 0", "at least 1"),
    "no features": (lambda: NetSpec(features=2.5), "features = 2.5", "whole number"),
    "joint without late": (lambda: NetSpec(fusion="mid", joint=3), "joint = 3", "late"),
    "modality twice": (lambda: NetSpec(modalities=("a", "a")), "modalities = ('a', 'a')", "twice"),
    "modalities a string": (lambda: NetSpec(modalities="image"), "modalities = 'image'", "sequence"),
    "no modality": (lambda: NetSpec(modalities=()), "modalities = ()", "at least one"),
    "unknown field": (lambda: NetSpec.from_dict({"layers": 3}), "layers = 3", "no field of NetSpec"),
    "modality not there": (lambda: net(modalities=("speech",)), "modalities = 'speech'", "'a' or 'b'"),
    "encoder for nobody": (lambda: net(encoder={"image": "mlp"}), "encoder = 'image'", "'a' or 'b'"),
    "encoder of pairs that are none": (
        lambda: NetSpec(("a", "b")),
        "encoder = ('a', 'b')",
        "{modality: value}",
    ),
    "encoder of a number": (
        lambda: NetSpec({1: "mlp", "a": "mlp"}),
        "encoder = {1: 'mlp'",
        "{modality: value}",
    ),
    "modalities of numbers": (lambda: NetSpec(modalities=(1, "a")), "modalities = (1, 'a')", "name"),
    "standardise in words": (lambda: NetSpec(standardise="no"), "standardise = 'no'", "True or False"),
    "baseline a number": (lambda: NetSpec(baseline=2), "baseline = 2", "True or False"),
    "spec from a list": (lambda: NetSpec.from_dict(["width"]), "values = ['width']", "as_dict"),
    "no spec": (lambda: build(None, SHAPES, 2, seed=0), "spec = None", "NetSpec"),
    "shapes None": (lambda: build(NetSpec(), None, 2, seed=0), "shapes = None", "data.shapes"),
    "shape a number": (lambda: build(NetSpec(), {"a": 5}, 2, seed=0), "shapes['a'] = 5", "(1, 28, 28)"),
    "half a side": (lambda: build(NetSpec(), {"a": (3.5,)}, 2, seed=0), "shapes['a'] = (3.5,)", "whole"),
    "all views of a string": (lambda: all_views("ab"), "of = 'ab'", "names"),
    "no shapes": (lambda: build(NetSpec(), {}, 2, seed=0), "shapes = {}", "at least one"),
    "empty side": (lambda: build(NetSpec(), {"a": (0,)}, 2, seed=0), "shapes['a'] = (0,)", "at least 1"),
    "too small": (
        lambda: build(NetSpec("lenet"), {"a": (1, 7, 9)}, 2, seed=0),
        "shape = (1, 7, 9)",
        "8 to 112",
    ),
    "a vector without time": (lambda: net(encoder="gru"), "shapes['a'] = (3,)", "NetSpec(time={'a': 0})"),
    "no such axis": (lambda: net(time={"a": 1}), "time['a'] = 1", "one sample (3,)"),
    "time of the unknown": (lambda: net(time={"c": 0}), "time = 'c'", "'a' or 'b'"),
    "lenet on a vector": (lambda: net(encoder="lenet"), "shape = (3,)", "'mlp'"),
    "no outputs": (lambda: build(NetSpec(), SHAPES, 0, seed=0), "num_outputs = 0", "at least 1"),
    "bad seed": (lambda: build(NetSpec(), SHAPES, 2, seed=-1), "seed = -1", "at least 0"),
    "input missing": (lambda: net()({"a": X["a"]}), "x = ['a']", "'a' or 'b'"),
    "input of another shape": (lambda: net()({**X, "a": torch.zeros(4, 5)}), "x['a'] = (4, 5)", "(batch, 3)"),
    "scale of another shape": (
        lambda: net().set_scale("a", torch.zeros(()), torch.ones(())),
        "shift_0 = ()",
        "(3,)",
    ),
    "view of the unknown": (lambda: Zeros().apply(X, View.only("image")), "view = 'image'", "'a' or 'b'"),
    "drop the unknown": (lambda: View.drop("c", of=("a", "b")), "modality = 'c'", "'a' or 'b'"),
    "view of a string": (lambda: View("image"), "kept = 'image'", "View.only"),
    "view of numbers": (lambda: View(frozenset([3])), "kept = 3", "names"),
    "unknown removal": (lambda: removal_named("zero"), "removal = 'zero'", "Did you mean 'zeros'?"),
    "mean without data": (lambda: removal_named("mean"), "data = None", "training mean"),
    "attention where there is none": (
        lambda: net()(AttentionMask().apply(X, View.only("a"))),
        "removal = 'attention'",
        "fusion='late'",
    ),
    "learned where nothing was": (
        lambda: net()(Learned().apply(X, View.only("a"))),
        "removal = 'learned'",
        "baseline=True",
    ),
    "permutation by sample": (
        lambda: Permutation().apply_where(X, {"a": torch.ones(4, dtype=torch.bool)}),
        "removal = 'permutation'",
        "whole modalities",
    ),
    "mask of another length": (
        lambda: Zeros().apply_where(X, {"a": torch.ones(3, dtype=torch.bool)}),
        "stays['a'] = (3,)",
        "(4,)",
    ),
    "patch larger than the map": (
        lambda: build(NetSpec(**STREAM, patch=9), {"a": (1, 8, 12)}, 2, seed=0),
        "patch = 9",
        "8 by 12",
    ),
    "heads that do not divide": (lambda: NetSpec(**STREAM, heads=5), "heads = 5", "divide the 32 features"),
    "encoder in a single stream": (lambda: NetSpec("mlp", **STREAM), "encoder = 'mlp'", "no encoders"),
    "no depth": (lambda: NetSpec(**STREAM, depth=0), "depth = 0", "at least 1"),
    "unknown size": (lambda: NetSpec.single_stream("studen"), "size = 'studen'", "Did you mean 'student'?"),
    "no axis": (lambda: build(NetSpec(**STREAM), {"a": ()}, 2, seed=0), "shapes['a'] = ()", "an axis"),
    "vocabulary a number": (lambda: NetSpec(vocabulary=7), "vocabulary = 7", "{modality: value}"),
    "vocabulary of padding": (lambda: NetSpec(vocabulary={"a": 1}), "vocabulary = 1", "at least 2"),
    "vocabulary for nobody": (lambda: net(vocabulary={"text": 5}), "vocabulary = 'text'", "'a' or 'b'"),
    "text of two axes": (
        lambda: build(NetSpec(**TEXT), {"a": (3, 2)}, 2, seed=0),
        "shapes['a'] = (3, 2)",
        "(tokens,)",
    ),
    "mlp on text": (lambda: net(encoder="mlp", **TEXT), "encoder = 'mlp'", "'bag'"),
    "bag on numbers": (lambda: net(encoder="bag"), "encoder = 'bag'", "vocabulary"),
    "ids for numbers": (lambda: net()(IDS), "x['a'] = torch.int64", "NetSpec(vocabulary={'a'"),
    "numbers for ids": (lambda: net(**TEXT)(X), "x['a'] = torch.float32", "token ids"),
    "ids the table lacks": (
        lambda: net(**TEXT)({**IDS, "a": 5 * IDS["a"]}),
        "index 5 is out of bounds",
        "between 0 and 4",
    ),
    "ids the stream lacks": (
        lambda: net(**STREAM, **TEXT)({**IDS, "a": 5 * IDS["a"]}),
        "index 5 is out of bounds",
        "between 0 and 4",
    ),
    "scale of a text": (
        lambda: net(**TEXT).set_scale("a", torch.zeros(3), torch.ones(3)),
        "modality = 'a'",
        "'b'",
    ),
    "mean of a text": (
        lambda: Mean({"a": X["a"]}).apply(IDS, View.only("b")),
        "removal = 'mean'",
        "'a' is text",
        "zeros, attention",
    ),
    "stand-in that was not built": (
        lambda: net(**STREAM)(Learned().apply(X, View.only("a"))),
        "removal = 'learned'",
        "'zeros', 'mean', 'attention' or 'permutation'",
    ),
    "no views": (lambda: view_rows(X, [], Zeros()), "views = []", "at least one"),
    "a view that is none": (lambda: view_rows(X, ["a"], Zeros()), "views = 'a'", "Views"),
    "rows of the unknown": (lambda: view_rows(X, [View.only("c")], Zeros()), "view = 'c'", "'a' or 'b'"),
    "rows without an operator": (
        lambda: view_rows(X, [View.only("a")], "zeros"),
        "removal = 'zeros'",
        "Zeros",
    ),
    "rows on another axis": (lambda: view_rows(X, [View.only("a")], Zeros(), axis=2), "axis = 2", "replicas"),
    "views that do not divide": (lambda: split_views(torch.zeros(4, 2), 3), "count = 3", "4 rows"),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_arguments_are_named(case):
    call, *wanted = CASES[case]
    with pytest.raises(LabError) as caught:
        call()
    for text in wanted:
        assert text in str(caught.value)
