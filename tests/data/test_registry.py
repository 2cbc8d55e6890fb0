"""The registry: names, parameters and their checks."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from mmkd_lab import data
from mmkd_lab.core.check import LabError
from mmkd_lab.data.catalogue import Parameter, catalogue, entry


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            ("av_digit", {}),
            r"name = 'av_digit'.*'av_digits', 'av_mnist', 'gaussian', 'ravdess'.*Did you mean 'av_digits'",
        ),
        ((3, {}), r"name = 3: must be the name of a dataset"),
        (("av_digits", {"snr": 3.0}), r"parameter of 'av_digits' = 'snr'.*'speech_snr_db'"),
        (("av_digits", {"n_train": 10.5}), r"n_train = 10.5: must be a whole number of at least 50"),
        (("av_digits", {"n_train": 49}), r"n_train = 49"),
        (("av_digits", {"n_test": 10**6}), r"n_test = 1000000: must be at most 20000"),
        (("av_digits", {"n_val": True}), r"n_val = True"),
        (("av_digits", {"n_train": None}), r"n_train = None"),
        (("av_digits", {"speech_snr_db": "loud"}), r"speech_snr_db = 'loud': must be a finite number"),
        (("av_digits", {"speech_snr_db": float("nan")}), r"speech_snr_db = nan"),
        (("av_digits", {"speech_snr_db": 61.0}), r"speech_snr_db = 61.0.*at most 60"),
        (("av_digits", {"image_noise": -0.1}), r"image_noise = -0.1.*at least 0"),
        (("av_digits", {"image_occlusion": 1.5}), r"image_occlusion = 1.5.*at most 1"),
        (("av_digits", {"seed": -1}), r"seed = -1"),
        (("av_mnist", {"noise": "white"}), r"noise = 'white': must be one of 'esc10' or 'pink'"),
        (("av_mnist", {"speech_size": 64}), r"speech_size = 64: must be one of 28 or 112"),
        (("av_mnist", {"image_energy": 0.0}), r"image_energy = 0.0.*above 0"),
        (("av_mnist", {"image_components": 785}), r"image_components = 785: must be at most 784"),
        (("av_mnist", {"image_components": 3, "image_energy": 0.5}), r"3 and 0.5.*at most one"),
        (("av_mnist", {"test_speakers": "theo"}), r"test_speakers = 'theo': must be a list of names"),
        (("av_mnist", {"test_speakers": ["thea"]}), r"test_speakers = 'thea'.*Did you mean 'theo'"),
        (("av_mnist", {"test_speakers": ["theo", "theo"]}), r"test_speakers.*twice"),
        (("av_mnist", {"test_speakers": []}), r"test_speakers = \(\): must name at least one"),
        (("av_mnist", {"val_speakers": ["theo"]}), r"val_speakers = \('theo',\).*heard in the test"),
        (
            ("av_mnist", {"val_speakers": ["george", "jackson", "nicolas", "yweweler"]}),
            r"leave at least one of six",
        ),
        (("av_mnist", {"n_train": 59000, "n_val": 1001}), r"n_train \+ n_val = 60001"),
        (
            ("av_mnist", {"mirror": "/no/such/folder"}),
            r"mirror = '/no/such/folder': must be an existing folder",
        ),
        (("av_mnist", {"mirror": 7}), r"mirror = 7: must be text"),
        (("gaussian", {"hyperplane": "flat"}), r"hyperplane = 'flat': must be one of 'random' or 'ones'"),
        (("gaussian", {"width": 3}), r"parameter of 'gaussian' = 'width'"),
    ],
)
def test_load_refuses(call: tuple[str, dict[str, object]], expected: str) -> None:
    name, parameters = call
    with pytest.raises(LabError, match=expected):
        data.load(name, **parameters)


@pytest.mark.parametrize("item", catalogue(), ids=lambda item: item.name)
def test_every_default_passes_its_own_check(item: data.Entry) -> None:
    for parameter in item.parameters:
        assert parameter.check(parameter.default) == parameter.default


@pytest.mark.parametrize("name", ["av_digits", "av_mnist", "ravdess", "mfeat", "crema_votes"])
def test_the_builder_takes_exactly_the_catalogued_parameters(name: str) -> None:
    module, function = entry(name).builder.split(":")
    found = set(inspect.signature(getattr(import_module(module), function)).parameters)
    if "parameters" in found:
        found = (found - {"parameters"}) | set(import_module(module).Recipe.__dataclass_fields__)
    assert found == {parameter.name for parameter in entry(name).parameters}


def test_gaussian_defaults_are_those_of_world() -> None:
    world = data.gaussian.World()
    for parameter in entry("gaussian").parameters:
        if parameter.name not in ("seed", "n_val"):
            assert parameter.default == getattr(world, parameter.name)


def test_gaussian_loads_by_name() -> None:
    found = data.load("gaussian", n_train=60, shared=3)
    assert len(found.splits["train"]) == 60
    assert found.shapes == {"a": (25,), "b": (50,)}


def test_flag_and_free_text() -> None:
    flag = Parameter("quiet", "flag", False, "say nothing")
    assert flag.check(True) is True
    with pytest.raises(LabError, match="quiet = 1: must be True or False"):
        flag.check(1)
    with pytest.raises(LabError, match=r"path = 3: must be text"):
        Parameter("path", "text", "x", "where").check(3)


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys; from mmkd_lab import data; data.catalogue(); data.where('av_mnist');"
        "heavy = {'torch', 'scipy', 'sklearn', 'pandas', 'pooch', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
