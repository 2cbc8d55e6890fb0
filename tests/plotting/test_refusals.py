"""What figures refuse, each by the argument's name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.plotting import (
    FIGURES,
    LabFigure,
    density_figure,
    interval_figure,
    maps_figure,
    pairs_figure,
    register_figure,
    saliency_figure,
    sample_weights_figure,
    weights_figure,
)
from tests.plotting.tables import arms_table, sweep_table
from tests.plotting.test_attribution import CHANNELS, COLUMNS, MAPS
from tests.plotting.test_intervals import PANEL
from tests.plotting.test_pairs import SHAPES, dataset
from tests.plotting.test_sharing import USUAL
from tests.plotting.test_studies import TABLES
from tests.plotting.test_views import SAMPLES, SCORES

ARMS, SWEEP, PAIRS = arms_table(), sweep_table(), dataset(SHAPES["tiny"])
MSD, REPAIR, CONTROLS, RIVALS = (TABLES[kind] for kind in ("msd", "repair", "controls", "rivals"))
LOST = (ARMS.arm == "cm_kd") & (ARMS.role == "student") & (ARMS.seed == 2)
POINT = (SWEEP.arm == "cm_kd") & (SWEEP.gamma == 0.25)
KINDS = {
    "density": density_figure,
    "intervals": lambda rows: interval_figure(rows, [PANEL], title="t"),
    "maps": maps_figure,
    "pairs": pairs_figure,
    "png": lambda name: LabFigure().save(name),
    "register": lambda kind: register_figure(kind)(lambda: None),
    "saliency": saliency_figure,
    "samples": lambda table, **options: sample_weights_figure(table, **{"view": "a", **options}),
    "size": LabFigure,
    "weights": weights_figure,
}


@pytest.mark.parametrize(
    ("kind", "given", "options", "expected"),
    [
        ("size", (0.5, 3.0), {}, "size = 0.5: .*at least 1"),
        ("size", 3.0, {}, "size = 3.0: must be width and height"),
        ("png", "a.jpg", {}, r"path = '.jpg'.*'.svg' or '.png'"),
        ("png", None, {}, "path = None: must be a path"),
        ("register", "arms", {}, "figure = 'arms': is a name of the lab's own"),
        ("intervals", [], {}, "must hold something to compare"),
        ("arms", ARMS.drop(columns=["arm", "seed"]), {}, "lacks the columns 'arm' and 'seed'"),
        ("arms", ARMS.iloc[:0], {}, "table = 'no rows': must hold at least one"),
        ("arms", [ARMS], {}, "must be a pandas DataFrame. A study has study.table"),
        ("arms", ARMS.assign(value=np.nan), {}, r"table\['value'\] = .*nan.*finite number \(no_kd"),
        ("arms", ARMS, {"metric": "f1"}, "metric = 'f1'"),
        ("arms", ARMS, {"reference": "mg_kd"}, "reference = 'mg_kd'"),
        ("arms", ARMS, {"title": 3}, "title = 3: must be text"),
        ("arms", ARMS.assign(dataset=["a", *["b"] * 44]), {}, "one dataset"),
        ("arms", ARMS.assign(seed=0), {}, "one value per arm, role and seed"),
        ("arms", ARMS[~LOST], {}, r"seeds = .*\[0, 1, 3, 4\] for 'cm_kd'"),
        ("arms", ARMS.query("role == 'teacher'"), {}, "role 'student'"),
        ("msd", MSD.drop(columns="view"), {}, "lacks the columns 'view'"),
        ("msd", MSD, {"views": ["c"]}, "view = 'c'"),
        ("repair", REPAIR, {"loss": "kd alone"}, "loss = 'kd alone'"),
        ("controls", CONTROLS, {"baseline": "nothing"}, "baseline = 'nothing'"),
        ("controls", CONTROLS.iloc[1:], {}, "same seeds"),
        ("rivals", RIVALS, {"loss": "kd"}, "loss = 'kd'"),
        ("rivals", RIVALS[RIVALS["metric"] != "gain"], {}, "must hold the gains"),
        ("recovery", TABLES["recovery"].assign(metric="alpha"), {}, "must hold rows of 'gamma_union'"),
        ("sharing", USUAL, {"method": "count"}, "method = 'count'"),
        ("sweep", SWEEP, {"x": "alpha"}, "lacks the columns 'alpha'"),
        ("sweep", SWEEP, {"x": ["gamma"]}, "x = .*the name of a column"),
        ("sweep", SWEEP.assign(gamma="a"), {"x": "gamma"}, r"table\['gamma'\] = 'a'.*finite"),
        ("sweep", SWEEP[~POINT], {"x": "gamma"}, "both must have the same seeds"),
        ("sweep", SWEEP, {"x": "gamma", "published": {"mm_kd": [[0, 1]]}}, "published = .mm_kd.*cm_kd"),
        ("sweep", SWEEP, {"x": "gamma", "published": {"cm_kd": [[0, 1, 2]]}}, "pairs of x and value"),
        ("density", SCORES.drop(columns="score"), {}, "lacks the columns 'score'"),
        ("density", SCORES.assign(score=1.2), {}, "values = '1.2 to 1.2': must lie between 0 and 1"),
        ("weights", SAMPLES.iloc[:0].assign(seed=0, step=0), {}, "no rows"),
        ("samples", SAMPLES, {"view": "c"}, "view = 'c'"),
        ("samples", SAMPLES, {"by": "kind"}, "lacks the columns 'kind'"),
        ("samples", SAMPLES, {"arm": "msd_learned"}, "arm = 'msd_learned': must be one of 'msd_instance'"),
        ("saliency", CHANNELS, {"keep": 5}, "keep = 5: must be at most 4"),
        ("maps", np.zeros(3), {}, r"values = \(3,\): must be \(N, D\)"),
        ("maps", np.zeros((17, 2, 2)), {}, "of at most 16 samples. Slice"),
        ("maps", MAPS, {"inputs": MAPS[:2]}, r"inputs = \(2, 1, 6, 8\): must have the shape of values"),
        ("maps", MAPS, {"kind": "tokens"}, "kind = 'tokens': must be one of 'image' or 'spectrogram'"),
        ("maps", MAPS, {"labels": ["a"]}, r"labels = \['a'\]: must be 3, one per sample"),
        ("maps", MAPS, {"clip": 0.0}, "clip = 0.0"),
        ("maps", COLUMNS, {"tokens": [["a"] * 5] * 2}, "tokens = .*with kind='tokens'"),
        ("maps", COLUMNS, {"kind": "tokens", "tokens": [["a"]]}, r"tokens = \[1\]: must be as many words"),
        ("maps", object(), {}, r"values = 'object': must be an array of numbers. .* give maps.values"),
        ("maps", torch.ones(2, 2, requires_grad=True), {}, "values = 'Tensor': must be an array of numbers"),
        ("pairs", [1, 2], {}, "data = 'list': must be a PairedData"),
        ("pairs", dataset({"film": (5, 8, 8)}), {}, r"modalities\['film'\] = \(5, 8, 8\)"),
        ("pairs", PAIRS, {"count": 0}, "count = 0"),
        ("pairs", PAIRS, {"count": 31}, "count = 31: must be at most 30"),
        ("pairs", PAIRS, {"split": "val"}, "split = 'val'"),
        ("pairs", PAIRS, {"positions": [60]}, "positions = 60: must be the position of a sample, 0 to 59"),
        ("pairs", PAIRS, {"seed": -1}, "seed = -1"),
        ("pairs", PAIRS, {"modalities": "image"}, "modalities = 'image': must be a list"),
        ("pairs", PAIRS, {"kinds": {"image": "vector"}}, "does not fit samples of shape"),
    ],
)
def test_what_is_wrong_is_named(kind, given, options, expected):
    with pytest.raises(LabError, match=expected):
        (KINDS.get(kind) or FIGURES[kind])(given, **options)
