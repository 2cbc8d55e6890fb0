"""`mmkd-lab diagnose CONFIG`: a diagnosis by a file of settings."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmkd_lab.core.check import DamagedFile, LabError, did_you_mean, listing, one_of, reading, require
from mmkd_lab.core.check import path as checked_path

if TYPE_CHECKING:
    from mmkd_lab.data import PairedData
    from mmkd_lab.study.diagnosis.result import Diagnosis

#: What may stand in the file: name -> (types, what it must be).
_TEXT, _NUMBERS = (str,), "a list of whole numbers"
KNOWN: dict[str, tuple[tuple[type, ...], str]] = {
    "data": (_TEXT, "text: a dataset's name, or file.py:function"),
    "student": (_TEXT, "text: the student's modality"),
    "teacher": (_TEXT, "text: the teacher's modality"),
    "student_model": (_TEXT, "text: file.py:name"),
    "teacher_model": (_TEXT, "text: file.py:name, or the path of a table of answers"),
    "layer": (_TEXT, "text: a layer of the teacher"),
    "budget": ((str, int, float), "seconds, or text such as '5 min'"),
    "train": ((bool, list), "true, false or a list of arms"),
    "seeds": ((list,), _NUMBERS),
    "parameters": ((dict,), "a table: the dataset's parameters"),
    "recipe": ((dict,), "a table: fields of training.Recipe"),
    "teacher_recipe": ((dict,), "a table: fields of training.Recipe"),
    "profile": (_TEXT, "'quick' or 'full'"),
    "kd_weight": ((int, float), "a number"),
    "temperature": ((int, float), "a number"),
    "device": (_TEXT, "text: 'auto' or a torch device"),
}
_NEEDED = ("data", "student")
_MODELS = ("student_model", "teacher_model")


def diagnose(config: Path | str, **given: Any) -> Diagnosis:  # noqa: ANN401 - further arguments of study.diagnose
    """The diagnosis that a TOML file asks for; `given` goes before what the file says.

    Paths in the file are relative to it. Raises `LabError` for a name that is unknown or missing, or a value
    of another type; `DamagedFile` for a file that is missing or no TOML; and what `study.diagnose` raises.
    """
    from mmkd_lab import data, study
    from mmkd_lab.training import Recipe

    file = checked_path("config", config)
    said = {**read(file), **{name: value for name, value in given.items() if value is not None}}
    parameters, dataset = said.pop("parameters", {}), str(said.pop("data"))
    loaded: Any = _named(file, "data", dataset)
    if loaded is not dataset:
        loaded = _built(dataset, loaded, parameters)
    elif parameters:
        loaded = data.load(dataset, **parameters)
    for name in (one for one in _MODELS if one in said):
        said[name] = _named(file, name, said[name])
    for name in (one for one in ("recipe", "teacher_recipe") if one in said):
        said[name] = Recipe.from_dict(said[name])
    return study.diagnose(loaded, **said)


def _built(called: str, function: object, parameters: dict[str, Any]) -> PairedData:
    """What a function of the user's gives."""
    from mmkd_lab.core.config import call
    from mmkd_lab.data import PairedData

    rule = "must be a PairedData, or a function that gives one"
    try:
        found = call(function, parameters) if callable(function) else function
    except LabError:
        raise
    except Exception as error:
        raise LabError("data", called, f"could not be built: {type(error).__name__}: {error}") from error
    require(isinstance(found, PairedData), "data", called, rule)
    return found  # type: ignore[return-value]


def read(file: Path) -> dict[str, Any]:
    """What stands in the file, every value of its type."""
    with reading(file, "must be a TOML file", 'For example: data = "av_digits", student = "speech"'):
        if not file.is_file():
            raise DamagedFile(str(file), "missing", "must be a TOML file of settings")
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    for name, value in said.items():
        where = f"{name} in {file.name}"
        if name not in KNOWN:
            known = list(KNOWN)
            raise LabError(where, value, f"is no setting: {listing(known)}", did_you_mean(name, known))
        kinds, rule = KNOWN[name]
        fits = isinstance(value, kinds) and (isinstance(value, bool) <= (bool in kinds))
        require(fits, where, value, f"must be {rule}")
    for name in _NEEDED:
        require(name in said, f"{name} in {file.name}", None, f"must be given: {KNOWN[name][1]}")
    return said


def _named(file: Path, argument: str, text: str) -> object:
    """What `file.py:name` is, a path beside the settings, or the text itself."""
    place, colon, name = text.rpartition(":")
    if not (colon and name.isidentifier() and place.endswith(".py")):
        beside = file.parent / text
        return str(beside) if argument in _MODELS and beside.exists() else text
    module = _module(argument, file.parent / place)
    one_of(f"{argument} ({Path(place).name})", name, [one for one in vars(module) if not one.startswith("_")])
    return vars(module)[name]


def _module(argument: str, path: Path) -> Any:  # noqa: ANN401 - somebody's module
    require(path.is_file(), argument, str(path), "must be a Python file that is there")
    name = f"mmkd_lab_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        rule = f"could not be run: {type(error).__name__}: {error}"
        raise LabError(argument, str(path), rule) from error
    return module
