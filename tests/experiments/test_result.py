"""A Study shows itself, and comes back from disk as it was saved."""

from __future__ import annotations

import base64
import json
import math
import os
import re
from dataclasses import replace

import pytest

from mmkd_lab.core.check import DamagedFile, LabError, UnreadableFile
from mmkd_lab.experiments import Study
from mmkd_lab.experiments.report import file_name
from tests.strangers import as_another_user, full_disk, shared_folder
from tests.study.tables import table

VERDICT = "It <helps> by 1.00 & more."


def _study(**changed):
    students = {"no_kd": 70.0, "um_kd": 72.0, "mm_kd": 71.0}
    settings = {
        "name": "toy-study",
        "title": "A finding",
        "table": table(students, {"um_kd": 85.0, "mm_kd": 90.0}),
        "verdict": VERDICT,
        "provenance": {"seeds": range(5), "seconds": 1.5, "specs": {"width": 4}},
        **changed,
    }
    return Study(**settings)


def test_the_repr_is_the_verdict():
    assert repr(_study()) == VERDICT


def test_html_shows_verdict_table_and_figure():
    shown = _study()._repr_html_()
    assert "It &lt;helps&gt; by 1.00 &amp; more." in shown
    mean = float(Study.summary(_study())["mean"][1])
    assert f"<td>student</td><td>um_kd</td><td>{mean:.2f}</td><td>" in shown
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', shown)
    assert picture is not None
    assert base64.b64decode(picture[1]).startswith(b"\x89PNG")


def test_html_is_the_same_every_time():
    assert _study()._repr_html_() == _study()._repr_html_()


def test_a_study_without_figure_shows_its_table_alone(tmp_path):
    plain = _study(kind="none")
    assert "<img" not in plain._repr_html_()
    plain.save(tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".json"]
    with pytest.raises(LabError, match="kind = 'none'"):
        plain.plot()


def test_saved_and_loaded_it_is_the_same(tmp_path):
    study = _study()
    study.save(tmp_path / "new")
    for path in ("new/toy-study", "new/toy-study.json"):
        loaded = Study.load(tmp_path / path)
        assert loaded.table.equals(study.table)
        assert loaded.table.dtypes.astype(str).tolist() == study.table.dtypes.astype(str).tolist()
        assert (loaded.title, loaded.verdict, loaded.kind) == (study.title, study.verdict, study.kind)
        assert dict(loaded.provenance) == {"seeds": [0, 1, 2, 3, 4], "seconds": 1.5, "specs": {"width": 4}}
        assert loaded._repr_html_() == study._repr_html_()


def test_every_float_survives_to_the_last_bit(tmp_path):
    found = table({"no_kd": 70.0}, wobble=0.0)
    found["value"] = [0.1 + 0.2, 1 / 3, math.pi * 1e-9, 1e22, 71.00000000000001]
    found["gamma"] = [0.25, float("nan"), 1 / 7, 0.0, -0.0]
    found["arm"] = ["none", "NA", "no, kd", 'a"b', "nan"]
    _study(table=found, kind="none").save(tmp_path)
    assert Study.load(tmp_path / "toy-study").table.equals(found)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        _study().save(tmp_path / folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def _made(**changed):
    """Provenance as of a run: what determines it, and what came out."""
    return {"fingerprint": "a" * 64, "seeds": [0, 1], "arms": ["no_kd"], "seconds": 1.5, **changed}


@pytest.mark.parametrize(
    "other",
    [
        {"fingerprint": "b" * 64},
        {"seeds": [0, 1, 2]},
        {"arms": ["no_kd", "um_kd"]},
        {"student_recipe": {"lr": 0.1}},
        {"temperature": 2.0},
    ],
)
def test_a_study_of_other_data_or_settings_is_not_written_over(other, tmp_path):
    first, second = (
        replace(_study(), provenance=made, verdict=f"Of {made}.") for made in (_made(), _made(**other))
    )
    again = replace(first, provenance=_made(seconds=9.0, versions={"torch": "3"}, notes=["It was late."]))
    assert again.settings == first.settings
    assert second.settings != first.settings
    paths = [one.save(tmp_path) for one in (first, second, again, second)]
    assert [path.stem for path in paths] == ["toy-study", f"toy-study-{second.settings[:8]}"] * 2
    assert [Study.load(path).provenance for path in paths[:2]] == [again.provenance, second.provenance]
    assert second.save(tmp_path, overwrite=True) == paths[0]
    assert Study.load(paths[0]).provenance == second.provenance


def test_the_json_says_what_the_index_needs(tmp_path):
    head = json.loads(_study().save(tmp_path).read_text(encoding="utf-8"))
    assert {"name", "title", "verdict", "kind", "provenance"} <= set(head)
    assert head["verdict"] == VERDICT


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("toy-study.json", None, ["missing", "no study is saved there"]),
        ("toy-study.json", b"{", ["must be JSON", "save it anew"]),
        ("toy-study.json", b"{}", ["csv_sha256", "missing"]),
        ("toy-study.json", b"[1]", ["missing"]),
        ("toy-study.csv", None, ["missing", "beside its JSON"]),
        ("toy-study.csv", b"study,value\nx,1\n", ["SHA-256", "save it anew"]),
    ],
)
def test_damaged_files_are_named(tmp_path, file, damage, words):
    _study(kind="none").save(tmp_path)
    path = tmp_path / file
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(DamagedFile) as raised:
        Study.load(tmp_path / "toy-study")
    for word in (str(path), *words):
        assert word in str(raised.value)


def test_a_later_format_is_refused(tmp_path):
    path = _study(kind="none").save(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 1', '"format": 2'), encoding="utf-8")
    with pytest.raises(DamagedFile, match="format 1"):
        Study.load(path)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "../evil"}, ["name = '../evil'", "letters"]),
        ({"name": ""}, ["name = ''"]),
        ({"name": ".hidden"}, ["name = '.hidden'", "begin with"]),
        ({"kind": "pie"}, ["kind = 'pie'", "'arms'"]),
        ({"verdict": "  "}, ["verdict", "sentence"]),
        ({"table": table({"no_kd": 70.0}).drop(columns="value")}, ["table", "'value'"]),
        ({"table": [1, 2]}, ["table = 'list'", "DataFrame"]),
        ({"provenance": {"net": object()}}, ["provenance", "no stable text"]),
        ({"options": {"x": float("nan")}}, ["options"]),
    ],
)
def test_bad_studies_are_named(changed, words):
    with pytest.raises(LabError) as raised:
        _study(**changed)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"name": 5}, "name = 5"),
        ({"name": "a.json"}, "name = 'a.json'"),
        ({"title": None}, "title = None"),
        ({"verdict": None}, "verdict = None"),
        ({"options": []}, "options = []"),
        ({"provenance": 3}, "provenance = 3"),
        ({"table": table({"no_kd": 70.0}).assign(value="70")}, "table['value'] = "),
        ({"table": table({"no_kd": 70.0}).assign(value=math.nan)}, "table['value'] = [nan"),
        ({"table": table({"no_kd": 70.0}).assign(seed=0.5)}, "table['seed'] = "),
    ],
)
def test_what_no_study_can_hold_is_named(changed, word):
    with pytest.raises(LabError) as raised:
        _study(**changed)
    assert word in str(raised.value)


@pytest.mark.parametrize("where", [None, "", 3, b"x", "x" * 5000])
def test_paths_that_are_none_are_named(where):
    with pytest.raises(LabError, match="path = "):
        Study.load(where)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(LabError, match=r"folder = .*Not a directory"):
        _study().save(tmp_path / "taken" / "in")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("columns", []),
        ("columns", {"arm": "pickle"}),
        ("columns", {"none": "int"}),
        ("csv_sha256", 3),
        ("title", 4),
    ],
)
def test_an_altered_head_is_named(tmp_path, part, value):
    _study(kind="none").save(tmp_path)
    path = tmp_path / "toy-study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: value}))
    with pytest.raises(DamagedFile, match=r"toy-study\.(json|csv)"):
        Study.load(path)


def test_differences_refuse_a_split_or_metric_the_table_has_not():
    alone = _study(table=table({"no_kd": 70.0}), kind="none")  # no pair of arms: nothing else would look
    with pytest.raises(LabError, match="split = 'tset'"):
        alone.differences(split="tset")
    with pytest.raises(LabError, match="metric = 'f1'"):
        alone.differences(metric="f1")


def test_differences_are_taken_from_any_control_that_is_asked_for():
    found = _study(table=table({"no_kd": 70.0, "cm_kd": 71.0, "mm_kd": 73.5}), kind="none")
    against = found.differences(against=["cm_kd"]).set_index("arm")
    assert against["mean"].to_dict() == pytest.approx({"no_kd": -1.0, "mm_kd": 2.5})
    assert set(against["against"]) == {"cm_kd"}


NAMES = [
    ("画像", "音声"),
    ("图像", "语音"),
    ("音声", "画像"),
    ("звук", "образ"),
    ("a b", "c"),
    ("a:b", "c"),
    ("x" * 240, "a"),
    ("x" * 240, "b"),
    ("../x", ""),
    ("Größe", "é"),
    ("Grosse", "e"),
]


def test_names_of_any_script_and_length_give_files_of_their_own(tmp_path):
    made = [file_name("failure_cases", *names) for names in NAMES]
    assert len(set(made)) == len(NAMES)
    assert file_name("failure_cases", "av_digits", "speech") == "failure_cases_av_digits_speech"
    for name in made:
        assert len(name) <= 80
        assert Study.load(_study(name=name, kind="none").save(tmp_path)).name == name
    assert len(list(tmp_path.glob("*.json"))) == len(NAMES)


def test_the_longest_name_has_room_for_a_digest(tmp_path):
    with pytest.raises(LabError, match=r"name = 'x.*at most 100 letters"):
        _study(name="x" * 101)
    first, second = (
        _study(name="x" * 100, kind="none", provenance={"fingerprint": mark * 64}).save(tmp_path)
        for mark in "ab"
    )
    assert second.stem == "x" * 91 + f"-{Study.load(second).settings[:8]}"
    assert Study.load(first).provenance["fingerprint"] == "a" * 64


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_a_study_that_this_user_may_not_read_is_neither_replaced_nor_called_damaged():
    with shared_folder() as folder:
        theirs = _study(kind="none", provenance={"fingerprint": "a" * 64}).save(folder)
        theirs.chmod(0)
        before = theirs.stat().st_mtime_ns
        mine = _study(kind="none", provenance={"fingerprint": "b" * 64})
        with as_another_user():
            with pytest.raises(UnreadableFile, match="Permission denied"):
                Study.load(theirs)
            own = mine.save(folder)
            assert own.stem == f"toy-study-{mine.settings[:8]}"
            own.chmod(0)
            if os.geteuid() != 0:
                with pytest.raises(LabError, match=r"folder = .*may not read"):
                    mine.save(folder)
        assert theirs.stat().st_mtime_ns == before


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_a_folder_that_is_closed_or_full_is_named(tmp_path):
    with shared_folder() as folder:
        folder.chmod(0o555)
        with as_another_user(), pytest.raises(LabError, match=r"folder = .*written: Permission denied"):
            _study(kind="none").save(folder)
    with full_disk(1000), pytest.raises(LabError, match=r"folder = .*written: File too large"):
        _study().save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with full_disk(9000), pytest.raises(LabError, match=r"folder = .*written: File too large"):
        _study().save(tmp_path)  # the table fits, its figure does not
    assert [path.suffix for path in tmp_path.iterdir()] == [".csv"]
    with full_disk(1000), pytest.raises(LabError, match=r"path = .*a file that can be written: File too"):
        _study().plot().save(tmp_path / "a.png")
