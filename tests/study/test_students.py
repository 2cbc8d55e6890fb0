"""Students come back from the store as the networks that the table speaks of, and travel with a card."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.experiments import ResultStore, Study, load_student
from mmkd_lab.training import Recipe, evaluate
from tests.house import tree
from tests.study.tiny import paired, repair, study
from tests.study.tiny_msd import compare


class Own(nn.Module):
    """A user's network of one modality, with batch statistics and a layer without a shape."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.LazyLinear(5), nn.BatchNorm1d(5), nn.ReLU())
        self.head = nn.Linear(5, 3)

    def forward(self, signal):
        return self.head(self.body(signal))


ARMS = ["no_kd", "cm_kd"]


@pytest.fixture(scope="module")
def lab(shared):
    return shared, study(shared, arms=ARMS)


@pytest.fixture(scope="module")
def own(shared):
    return shared, study(shared, arms=ARMS, student_model=Own, seeds=[0])


def state_of(replicas):
    return {**replicas.parameters, **replicas.buffers}


def in_table(found, arm, seed, metric, split, **at):
    part = found.table.query("arm == @arm and seed == @seed and metric == @metric and split == @split")
    part = part[part["role"] == "student"]
    for name, value in at.items():
        part = part[part[name] == value]
    return part["value"].item()


def test_the_network_scores_what_the_table_says(lab):
    root, found = lab
    for arm in ARMS:
        for seed in (0, 1):
            student = found.student(arm, seed=seed, store=ResultStore(root))
            for split in ("val", "test"):
                scores = evaluate(student.replicas, paired(), split=split)
                for metric in ("accuracy", "nll"):
                    wanted = in_table(found, arm, seed, metric, split)
                    assert float(scores[metric][0]) == pytest.approx(wanted, abs=1e-9)
                    assert student.card["scores"][split][metric] == wanted
            x = paired().batch(paired().positions("test"), ("b",), dtype=torch.float64)
            said = student.replicas.predict(paired(), split="test")[0]
            assert torch.equal(student.network(x).detach(), said)
            assert not student.network.training


def test_it_travels_and_comes_back_bit_by_bit(lab, tmp_path):
    root, found = lab
    student = found.student("cm_kd", seed=1, store=ResultStore(root))
    folder = student.export(tmp_path / "deep" / "mine")
    assert sorted(one.name for one in folder.iterdir()) == ["card.json", "card.md", "model.safetensors"]
    again = load_student(folder)
    one, other = state_of(student.replicas), state_of(again.replicas)
    assert list(one) == list(other)
    assert all(torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one)
    assert again.replicas.classes == ("x", "y", "z")
    assert again.card == student.card
    assert repr(again) == repr(student)
    assert student.export(folder) == folder, "the same again"
    before = (folder / "model.safetensors").read_bytes()
    another = found.student("no_kd", seed=1, store=ResultStore(root))
    with pytest.raises(LabError, match=r"folder = .*holds another student"):
        another.export(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    another.export(folder, overwrite=True)
    assert load_student(folder).card["arm"] == "no_kd"


def test_the_card_tells_all_and_its_snippet_runs(lab, tmp_path):
    root, found = lab
    student = found.student("cm_kd", seed=0, store=ResultStore(root))
    text = (student.export(tmp_path / "mine") / "card.md").read_text()
    row = found.summary().set_index(["role", "arm"]).loc[("student", "cm_kd")]
    for part in (
        found.provenance["fingerprint"], "tiny_vectors", "| classes | x, y, z |", "| reads | b |",
        f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}] test accuracy over 2 seeds",
        f"| test | 30 | {in_table(found, 'cm_kd', 0, 'accuracy', 'test'):.4g} |", "student_recipe.lr | 0.01",
    ):  # fmt: skip
        assert part in text, part
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = code.replace("this/folder", str(tmp_path / "mine")) + "print(type(student.network).__name__)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tree.ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "MultimodalNet"


@pytest.mark.parametrize("given", [Own, Own()], ids=["function", "module"])
def test_a_network_of_yours_is_yours_again(own, tmp_path, given):
    root, found = own
    at_once = found.student("cm_kd", seed=0, store=ResultStore(root))
    assert type(at_once.network) is Own
    found.save(tmp_path)
    saved = Study.load(tmp_path / found.name)
    before = copy.deepcopy(given.state_dict()) if isinstance(given, nn.Module) else None
    student = saved.student("cm_kd", seed=0, network=given, store=ResultStore(root))
    again = load_student(student.export(tmp_path / "mine"), given)
    x = paired().modalities["b"].double()
    wanted = at_once.network(x)
    assert at_once.network.body[1].running_mean.abs().sum() > 0
    assert wanted.dtype == torch.float64
    assert torch.equal(student.network(x), wanted)
    assert torch.equal(again.network(x), wanted)
    assert torch.equal(at_once.replicas.predict(paired(), split=None)[0], wanted)
    if before is not None:
        assert isinstance(given.body[0].weight, nn.UninitializedParameter), "yours stays as it is"
    with pytest.raises(
        LabError, match=r"network = None: the student is a network of your own.*network=\.\.\."
    ):
        saved.student("cm_kd", seed=0, store=ResultStore(root))
    with pytest.raises(LabError, match="network = None"):
        load_student(tmp_path / "mine")


def test_students_of_repaired_teachers_are_told_apart(tmp_path):
    found = repair(tmp_path, arms=["no_kd", "mg_kd"], seeds=[0])
    store = ResultStore(tmp_path)
    one = found.student("mg_kd", seed=0, ratio=0.5, loss="kd alone", store=store)
    scores = evaluate(one.replicas, paired(), split="test")
    wanted = in_table(found, "mg_kd", 0, "nll", "test", ratio=0.5, loss="kd alone")
    assert float(scores["nll"][0]) == pytest.approx(wanted, abs=1e-9)
    assert one.card["ratio"] == 0.5
    assert found.student("no_kd", seed=0, store=store).card["loss"] == "ce + kd"
    with pytest.raises(LabError, match=r"ratio = None: must be told.*0.25 or 0.5"):
        found.student("mg_kd", seed=0, store=store)
    with pytest.raises(LabError, match=r"ratio = 0.3: must be one of 0.25 or 0.5"):
        found.student("mg_kd", seed=0, ratio=0.3, store=store)


def test_students_that_only_chose_strengths_are_not_kept(tmp_path):
    arms = ["no_kd", "kd", "pruned"]
    found = compare(tmp_path, arms=arms, seeds=[0], recipe=Recipe(epochs=1, batch_size=16, lr=0.01))
    store = ResultStore(tmp_path)
    kept = [one for one in tmp_path.glob("*/*.json") if "network" in json.loads(one.read_text())["metrics"]]
    assert len(kept) == 2
    assert found.student("kd", seed=0, store=store).replicas.modalities == ("a", "b")
    with pytest.raises(LabError, match="arm = 'pruned': is what is left of a pruned teacher"):
        found.student("pruned", seed=0, store=store)
    history = found.histories(store=store)
    assert set(history["arm"]) == set(arms)
    assert {"epoch", "split", "metric", "value", "seed"} <= set(history)


def test_what_is_not_there_is_named(lab, tmp_path):
    root, found = lab
    store = ResultStore(root)
    toy = Study("toy", "t", found.table, "v")
    cleaned = ResultStore(tmp_path / "cleaned")
    for call, words in (
        (lambda: found.student("cm_dk", seed=0, store=store), "arm = 'cm_dk'.*Did you mean 'cm_kd'"),
        (lambda: found.student("cm_kd", seed=7, store=store), "seed = 7: must be one of 0 or 1"),
        (lambda: found.student("cm_kd", seed=0, ratio=1, store=store), "ratio = 1: must be one of"),
        (
            lambda: found.student("cm_kd", seed=0, store=cleaned),
            "no longer holds the student 'cm_kd', seed 0: it was",
        ),
        (lambda: found.histories(store=cleaned), "no longer holds the student"),
        (lambda: toy.student("cm_kd", seed=0), "must know where its students are kept"),
        (lambda: toy.histories(), "must know where its students are kept"),
        (
            lambda: found.student("cm_kd", seed=0, network=3, store=None),
            "store = .*no longer holds|network = 3",
        ),
    ):
        with pytest.raises(LabError, match=words):
            call()


def test_damaged_and_foreign_files_are_refused(lab, own, tmp_path):
    root, found = lab
    found.student("cm_kd", seed=0, store=ResultStore(root)).export(tmp_path / "a")
    own[1].student("cm_kd", seed=0, store=ResultStore(own[0])).export(tmp_path / "own")

    def changed(name, **parts):
        folder = shutil.copytree(tmp_path / "a", tmp_path / name)
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, **parts}))
        return folder

    other = changed("other")
    found.student("no_kd", seed=0, store=ResultStore(root)).export(tmp_path / "b")
    shutil.copy(tmp_path / "b" / "model.safetensors", other)
    cut = changed("cut")
    content = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(content[:-5])
    broken = changed("broken")
    (broken / "card.json").write_text("{")
    wide = nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 3))
    for call, kind, words in (
        (lambda: load_student(tmp_path / "none"), DamagedFile, "must be the card of an exported student"),
        (lambda: load_student(broken), DamagedFile, "must be the card of an exported student"),
        (lambda: load_student(changed("format", format="x")), DamagedFile, "must be the card"),
        (lambda: load_student(cut), DamagedFile, "holds no networks of the lab"),
        (lambda: load_student(other), DamagedFile, "is not the network of the card beside it"),
        (
            lambda: load_student(changed("classes", classes=["z", "y", "x"])),
            DamagedFile,
            "is not the network of",
        ),
        (lambda: load_student(tmp_path / "own", wide), LabError, "network = 'Sequential': does not fit"),
        (lambda: load_student(tmp_path / "own", 3), LabError, "network = 3: must be a torch.nn.Module"),
        (
            lambda: load_student(tmp_path / "own", lambda: 3),
            LabError,
            "network = 3: must be a function that makes",
        ),
        (lambda: load_student(3), LabError, "folder = 3: must be a path"),
    ):
        with pytest.raises(kind, match=words):
            call()


def test_a_saved_study_with_odd_students_is_damaged(lab, tmp_path):
    found = lab[1]
    found.save(tmp_path)
    path = tmp_path / f"{found.name}.json"
    head = json.loads(path.read_text())
    assert [list(one) for one in head["students"]] == [["arm", "seed", "key"]] * 4
    for odd in ("text", [3], [{"arm": "a"}]):
        path.write_text(json.dumps({**head, "students": odd}))
        with pytest.raises(DamagedFile, match="students"):
            Study.load(path)
    path.write_text(json.dumps({**head, "students": [{"arm": "cm_kd", "seed": 0, "key": "../../etc"}]}))
    with pytest.raises(LabError, match=r"digest = '\.\./\.\./etc': must be 64 hex digits"):
        Study.load(path).student("cm_kd", seed=0, store=ResultStore(lab[0]))
    del head["students"]
    path.write_text(json.dumps(head))
    assert Study.load(path).students.entries == ()
