"""The gallery of paired samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.data.text import Vocabulary
from mmkd_lab.plotting import pairs_figure
from tests.plotting.geometry import faults


def dataset(
    shapes: dict[str, tuple[int, ...]], *, n: int = 60, classes: int = 10, name: str = "av_digits"
) -> PairedData:
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(n) % classes
    return PairedData(
        name,
        {key: torch.rand((n, *shape), generator=generator) for key, shape in shapes.items()},
        target,
        {"train": torch.arange(n // 2), "test": torch.arange(n // 2, n)},
        tuple(f"class {i}" for i in range(classes)),
    )


SHAPES = {
    "tiny": {"image": (1, 8, 8), "speech": (1, 28, 28)},
    "oblong": {"image": (3, 20, 60), "mel": (1, 40, 150)},
    "vectors": {"a": (25,), "b": (50,), "c": (1,)},
    "series": {"text": (50, 30), "audio": (50, 5), "vision": (20, 4)},
    "mixed": {"image": (28, 28), "vector": (12,), "audio": (1, 16, 9)},
}


@pytest.mark.parametrize(("shapes", "count"), [(name, 4) for name in SHAPES] + [("tiny", 1)])
def test_no_word_leaves_the_figure_or_covers_another(shapes, count):
    figure = pairs_figure(dataset(SHAPES[shapes]), count=count)
    assert faults(figure) == []
    assert len(figure.axes) == count * len(SHAPES[shapes])


def pictures(figure, row, columns):
    return [ax.images[0].get_array() for ax in figure.axes[row * columns : (row + 1) * columns]]


def test_a_column_is_one_sample_of_the_split():
    data = dataset(SHAPES["tiny"])
    figure = pairs_figure(data, positions=[3, 17])
    for row, name in enumerate(("image", "speech")):
        for shown, position in zip(pictures(figure, row, 2), (3, 17), strict=True):
            assert torch.equal(torch.as_tensor(shown.data).float(), data.modalities[name][position, 0])
    assert [ax.get_title() for ax in figure.axes[:2]] == ["class 3", "class 7"]
    drawn = pairs_figure(data, count=8, split="test")
    test_images = data.modalities["image"][30:, 0]
    for shown in pictures(drawn, 0, 8):
        assert any(torch.equal(torch.as_tensor(shown.data).float(), one) for one in test_images)


def test_as_many_classes_as_possible_are_shown_and_the_seed_decides_which_samples():
    data = dataset(SHAPES["tiny"])
    titles = [ax.get_title() for ax in pairs_figure(data, count=10).axes[:10]]
    assert titles == [f"class {i}" for i in range(10)]
    shown = [pairs_figure(data, count=3, modalities=["image"], seed=seed) for seed in (0, 0, 1)]
    first, again, other = (np.stack(pictures(figure, 0, 3)) for figure in shown)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_low_frequencies_are_at_the_bottom_and_pictures_upright_unless_chosen_otherwise():
    image, speech = pairs_figure(dataset(SHAPES["tiny"]), count=1).axes
    assert image.images[0].origin == "upper"
    assert speech.images[0].origin == "lower"
    assert speech.get_ylabel() == "speech\nmel band"
    assert speech.get_xlabel() == "frame"
    timed = pairs_figure(dataset(SHAPES["tiny"]), count=1, seconds=0.84).axes[1]
    assert timed.get_xlabel() == "seconds"
    assert [text.get_text() for text in timed.get_xticklabels()] == ["0", "0.84"]
    figure = pairs_figure(dataset(SHAPES["tiny"]), count=2, modalities=["speech"], kinds={"speech": "image"})
    assert len(figure.axes) == 2
    assert figure.axes[0].images[0].origin == "upper"


def test_a_series_goes_on_to_the_right_and_a_score_is_a_label():
    shown = dataset(SHAPES["series"])
    data = PairedData(
        "scores",
        shown.modalities,
        torch.linspace(-3, 3, 60)[:, None],
        shown.splits,
        ("score",),
        Task.REGRESSION,
    )
    figure = pairs_figure(data, positions=[0, 59])
    assert [ax.get_title() for ax in figure.axes[:2]] == ["score -3", "score 3"]
    assert (figure.axes[2].get_ylabel(), figure.axes[2].get_xlabel()) == ("audio\nnumber", "step")
    heard = pictures(figure, 1, 2)[1]
    assert torch.equal(torch.as_tensor(heard.data).float(), data.modalities["audio"][59].T)


def test_frames_of_a_clip_stand_side_by_side():
    data = dataset({"video": (6, 8, 10), "audio": (1, 8, 9)})
    shown = pictures(pairs_figure(data, positions=[3]), 0, 1)[0]
    frames = data.modalities["video"][3].reshape(2, 3, 8, 10).numpy()
    low, high = np.percentile(frames, [0.5, 99.5])
    scaled = np.clip((frames - low) / (high - low), 0.0, 1.0)
    np.testing.assert_allclose(shown, np.concatenate(np.moveaxis(scaled, 1, -1), axis=1), atol=1e-6)


def test_several_labels_are_listed_and_none_is_said():
    n = 20
    target = torch.ones(n, 4)
    target[5, 2:] = 0
    target[6] = 0
    data = PairedData(
        "many", {"a": torch.rand(n, 3)}, target, {"train": torch.arange(n)}, tuple("wxyz"), Task.MULTI_LABEL
    )
    titles = [" ".join(ax.get_title().split()) for ax in pairs_figure(data, positions=[5, 6, 7]).axes]
    assert titles == ["w, x", "(no label)", "w, x, y and 1 more"]


def test_constant_values_are_drawn():
    data = dataset({"image": (1, 8, 8)})
    flat = PairedData(
        "flat",
        {"image": torch.zeros(60, 1, 8, 8), "v": torch.zeros(60, 3)},
        data.target,
        data.splits,
        data.classes,
    )
    assert faults(pairs_figure(flat, count=2)) == []


SAID = (
    "a red box",
    "supercalifragilisticexpialidocious-and-then-some-more-of-the-same-without-a-space",
    " ".join(f"word{i}" for i in range(60)),
    "$5 a_b^c",
)


def spoken(shape: tuple[int, ...] = (3, 24, 24), n: int = 24) -> PairedData:
    said = tuple(SAID[i % len(SAID)] for i in range(n))
    known = Vocabulary.fit(said)
    pictures = torch.rand((n, *shape), generator=torch.Generator().manual_seed(0))
    return PairedData(
        "toy",
        {"image": pictures, "text": torch.from_numpy(known.encode(said))},
        torch.arange(n) % 7,
        {"train": torch.arange(n)},
        tuple(f"class {i}" for i in range(7)),
        vocabularies={"text": known},
        captions={"text": said},
    )


@pytest.mark.parametrize(("shape", "count"), [((3, 25, 100), 3), ((4, 32, 32), 6)], ids=str)
def test_pictures_with_text_stand_in_blocks_of_which_every_word_can_be_read(shape, count):
    figure = pairs_figure(spoken(shape), count=count)
    assert faults(figure) == []
    assert len(figure.axes) == 2 * count


def test_a_column_of_text_is_one_sample_with_its_label_and_words():
    data = spoken()
    figure = pairs_figure(data, positions=[4, 9, 2])
    pictures, texts = figure.axes[:3], [ax.texts[0].get_text() for ax in figure.axes[3:]]
    assert [ax.get_title() for ax in pictures] == ["class 4", "class 2", "class 2"]
    assert texts[0] == "a red box"
    assert "".join(texts[1].split()) == SAID[1]
    lines = texts[2].split("\n")
    assert (len(lines), lines[0].split()[0], lines[-1][-2:]) == (4, "word0", " …")
    shown = np.asarray(pictures[0].images[0].get_array())
    expected = np.moveaxis(data.modalities["image"][4].double().numpy(), 0, -1)
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.99
