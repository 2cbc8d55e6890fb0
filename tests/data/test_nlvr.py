"""nlvr: published parts, no sentence on two sides, drawings as published, damaged archives refused."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.datasets import nlvr
from mmkd_lab.data.pack import main, pack
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.text import words


@pytest.fixture(scope="module")
def file(mirror: Path) -> Path:
    place = data.where("nlvr", mirror)[0]
    if not place.exists:
        pytest.skip("no nlvr/nlvr-permutation0.zip in the mirror")
    return place.path


@pytest.fixture(scope="module")
def found(file: Path) -> PairedData:
    return data.load("nlvr", path=str(file))


@pytest.fixture(scope="module")
def clone(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the archive was made from, with another permutation and a readme beside it."""
    folder = tmp_path_factory.mktemp("clone")
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(archive.read(name))
    (folder / "nlvr/dev/images/0/dev-1373-0-1.png").write_bytes(b"another permutation")
    (folder / "nlvr/README.md").write_text("read me")
    return folder


def test_the_default_is_the_stated_dataset(found: PairedData, file: Path) -> None:
    assert found.fingerprint == "e354123dd202a3e7"
    assert found.recipe["hash"] == "616c30dc6c621ccb"
    assert found.shapes == {"image": (3, 25, 100), "text": (22,)}
    assert {split: len(rows) for split, rows in found.splits.items()} == {
        "train": 1670,
        "val": 304,
        "test": 990,
    }
    assert torch.bincount(found.facts["part"]).tolist() == [989, 990, 985]
    assert found.classes == ("false", "true")
    assert str(file.parent) not in str(dict(found.recipe))


@pytest.fixture(scope="module")
def other(file: Path) -> PairedData:
    """Another test part, another share of validation, another seed."""
    return data.load("nlvr", test_split="hidden", val_share=0.3, seed=1, path=str(file))


def test_any_published_part_can_be_the_test(other: PairedData) -> None:
    assert other.group is not None
    assert len(other.splits["test"]) == 985
    assert set(other.facts["part"][other.splits["test"]].tolist()) == {nlvr.PARTS.index("hidden")}
    sentences = torch.unique(other.group[torch.cat([other.splits["train"], other.splits["val"]])])
    assert len(torch.unique(other.group[other.splits["val"]])) == round(0.3 * len(sentences))


def test_no_group_is_on_two_sides(found: PairedData, other: PairedData) -> None:
    for one in (found, other):
        assert one.group is not None
        sides = {split: set(one.group[rows].tolist()) for split, rows in one.splits.items()}
        for first, second in combinations(sides, 2):
            assert not sides[first] & sides[second]
        assert sum(map(len, sides.values())) == 799
        assert torch.equal(one.sample_index // 4, one.group)


def test_the_seed_cuts_the_validation_and_nothing_else() -> None:
    group = np.repeat(np.arange(200), 4)
    tested = group >= 150
    cuts = [nlvr._splits(group, tested, 0.2, seed) for seed in (0, 0, 1)]
    assert all(np.array_equal(cuts[0][split], cuts[1][split]) for split in cuts[0])
    assert not np.array_equal(cuts[0]["val"], cuts[2]["val"])
    assert np.array_equal(cuts[0]["test"], cuts[2]["test"])
    assert len(np.unique(group[cuts[0]["val"]])) == 30


def test_rows_are_what_the_archive_says(found: PairedData, file: Path) -> None:
    from PIL import Image

    with zipfile.ZipFile(file) as archive:
        for part in nlvr.PARTS:
            line = archive.read(f"nlvr/{part}/{part}.json").decode().splitlines()[5]
            item = json.loads(line)
            group, drawing = map(int, item["identifier"].split("-"))
            row = int(torch.nonzero(found.sample_index == 4 * group + drawing))
            assert found.caption("text", row) == item["sentence"]
            assert found.classes[int(found.target[row])] == item["label"]
            (name,) = (n for n in archive.namelist() if n.endswith(f"/{part}-{item['identifier']}-0.png"))
            with Image.open(io.BytesIO(archive.read(name))) as picture:
                pixels = np.asarray(picture.convert("RGB"), dtype=np.float64)
            means = pixels.reshape(25, 4, 100, 4, 3).mean(axis=(1, 3)) / 127.5 - 1
            seen = np.moveaxis(found.modalities["image"][row].double().numpy(), 0, -1)
            assert np.abs(seen - means).max() <= 0.5 / 127.5 + 1e-6


def test_sentences_are_read_back_from_their_ids(found: PairedData) -> None:
    known, ids = found.vocabularies["text"], found.modalities["text"].numpy()
    assert known.decode(ids[0]) == " ".join(words(found.captions["text"][0]))
    train = " ".join(found.captions["text"][i] for i in found.splits["train"].tolist())
    assert set(known.words[2:]) <= set(words(train))
    assert 0 < known.unknown_share(ids[found.splits["test"]]) < 0.02


def test_neither_side_tells_alone(found: PairedData) -> None:
    """Linear classifiers stay near the larger class, 56 % of the test."""
    from sklearn.linear_model import LogisticRegression

    train, test, y = found.splits["train"], found.splits["test"], found.target.numpy()
    size = len(found.vocabularies["text"])
    bags = torch.nn.functional.one_hot(found.modalities["text"], size).sum(dim=1)[:, 1:].numpy()
    small = torch.nn.functional.avg_pool2d(found.modalities["image"], 5).flatten(1).numpy()
    majority = 100 * y[test].mean()
    assert majority == pytest.approx(56.2, abs=0.1)
    for x, strength in ((bags, 0.1), (small, 0.01)):
        reached = 100 * LogisticRegression(C=strength, max_iter=200).fit(x[train], y[train]).score(
            x[test], y[test]
        )
        assert reached == pytest.approx(majority, abs=3)


def rewritten(file: Path, to: Path, change: dict[str, bytes | None]) -> Path:
    """The archive with members replaced, added, or (None) left out."""
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(to, "w") as out:
        members = {name: archive.read(name) for name in archive.namelist()}
        for name, content in {**members, **change}.items():
            if content is not None:
                out.writestr(name, content)
    return to


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"nlvr/dev/dev.json": b"{}\n"}, "SHA-256"),
        ({"nlvr/dev/dev.json": None}, "'2966 files': must hold 2967"),
        ({"nlvr/dev/images/0/dev-1-0-0.png": b"x"}, "'2968 files': must hold 2967"),
        ({"../nlvr/dev/dev.json": b"x"}, "outside"),
    ],
    ids=["altered", "missing member", "added member", "leaves its folder"],
)
def test_other_archives_are_refused(
    change: dict[str, bytes | None], expected: str, file: Path, tmp_path: Path
) -> None:
    path = rewritten(file, tmp_path / "other.zip", change)
    with pytest.raises(DamagedFile, match=expected) as caught:
        data.load("nlvr", path=str(path))
    assert caught.value.argument == str(path)


def test_a_truncated_or_missing_archive_is_named(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.zip"
    path.write_bytes(file.read_bytes()[:100000])
    with pytest.raises(DamagedFile, match=r"complete zip archive.*mmkd_lab\.data\.pack nlvr") as caught:
        data.load("nlvr", path=str(path))
    assert caught.value.argument == str(path)
    with pytest.raises(DamagedFile, match=r"missing.*github\.com/lil-lab/nlvr") as caught:
        data.get("nlvr", tmp_path)
    assert caught.value.argument == str(tmp_path / "nlvr" / "nlvr-permutation0.zip")


def test_the_mirrors_archive_verifies(file: Path, mirror: Path) -> None:
    assert data.verify("nlvr", mirror) == data.get("nlvr", mirror) == [file]


def png(size: tuple[int, int]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png((401, 100)), r"drawing = '401×100 pixels': must be 400×100"),
        (png((4000, 4000)), r"'4000×4000 pixels'"),
        (png((400, 100))[:120], r"must be a PNG"),
        (b"GIF89a", r"must be a PNG"),
        (b"", r"must be a PNG"),
    ],
    ids=["size", "large", "truncated", "gif", "empty"],
)
def test_drawings_of_another_kind_are_refused(content: bytes, expected: str) -> None:
    with pytest.raises(DamagedFile, match=expected):
        nlvr._decode(content, 4, "drawing")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"sentence": "a", "label": "true"}',
        '{"identifier": "1", "sentence": "a", "label": "true"}',
        '{"identifier": "1-0", "sentence": "a", "label": "maybe"}',
    ],
    ids=["no JSON", "no object", "no identifier", "half an identifier", "another label"],
)
def test_examples_of_another_form_are_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=r"every line of dev\.json must state"):
        nlvr._examples({"nlvr/dev/dev.json": line.encode()}, "dev", tmp_path)


def test_packing_a_clone_gives_an_archive_that_verifies(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "nlvr" / "nlvr-permutation0.zip"
    out.parent.mkdir()
    command = [sys.executable, "-m", "mmkd_lab.data.pack", "nlvr", str(clone), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(out)), done.stderr
    monkeypatch.setenv("MMKD_LAB_MIRROR", str(tmp_path))
    assert data.verify("nlvr") == [out]
    first = out.read_bytes()
    assert pack("nlvr", clone, out).read_bytes() == first


def test_packing_refuses_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nlvr", str(tmp_path), str(tmp_path / "out.zip")]) == 2
    assert "'0 files': must hold 2967" in capsys.readouterr().err
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
    with pytest.raises(LabError, match=r"target = '.*out\.npz': must end in \.zip"):
        pack("nlvr", tmp_path, tmp_path / "out.npz")
    assert list(tmp_path.iterdir()) == []
