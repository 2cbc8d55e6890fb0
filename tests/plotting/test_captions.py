"""The gallery of pictures with text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.data.text import Vocabulary
from mmkd_lab.plotting.captions import captions_figure
from tests.plotting.geometry import faults, words

SAID = (
    "a red box",
    "supercalifragilisticexpialidocious-and-then-some-more-of-the-same-without-a-space",
    " ".join(f"word{i}" for i in range(60)),
    "$5 a_b^c",
)


def dataset(shape: tuple[int, ...] = (3, 24, 24), *, several: bool = False, n: int = 24) -> PairedData:
    generator = torch.Generator().manual_seed(0)
    said = tuple(SAID[i % len(SAID)] for i in range(n))
    known = Vocabulary.fit(said)
    many = (torch.rand(n, 7, generator=generator) > 0.4).float()
    many[0] = 0
    return PairedData(
        "toy",
        {"image": torch.rand((n, *shape), generator=generator), "text": torch.from_numpy(known.encode(said))},
        many if several else torch.arange(n) % 7,
        {"train": torch.arange(n)},
        tuple(f"class {i}" for i in range(7)),
        task=Task.MULTI_LABEL if several else Task.SINGLE_LABEL,
        vocabularies={"text": known},
        captions={"text": said},
    )


@pytest.mark.parametrize("shape", [(3, 24, 24), (3, 25, 100), (1, 8, 8), (4, 32, 32)], ids=str)
@pytest.mark.parametrize("count", [1, 3, 8])
def test_no_word_leaves_the_figure_or_covers_another(shape: tuple[int, ...], count: int) -> None:
    figure = captions_figure(dataset(shape), count=count)
    assert faults(figure) == []
    assert len(figure.axes) == count


def test_a_panel_is_one_sample_with_its_label_and_text() -> None:
    data = dataset()
    figure = captions_figure(data, positions=[4, 9], notes=["image", "both"])
    first, second = figure.axes[:2]
    assert (first.get_title(), first.get_xlabel()) == ("class 4 (image)", "a red box")
    assert second.get_title() == "class 2 (both)"
    shown = np.asarray(first.images[0].get_array())
    expected = np.moveaxis(data.modalities["image"][4].double().numpy(), 0, -1)
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.99
    assert figure.png() == captions_figure(data, positions=[4, 9], notes=["image", "both"]).png()


def test_long_text_is_cut_at_the_lines_allowed() -> None:
    figure = captions_figure(dataset(), positions=[2, 1], lines=3)
    shown = figure.axes[0].get_xlabel().split("\n")
    assert len(shown) == 3
    assert shown[0].startswith("word0 word1")
    assert shown[-1].endswith(" …")
    assert captions_figure(dataset(), positions=[0], lines=1).axes[0].get_xlabel() == "a red box"


def test_several_labels_are_listed_and_none_is_said() -> None:
    data = dataset(several=True)
    figure = captions_figure(data, positions=list(range(8)))
    titles = [" ".join(ax.get_title().split()) for ax in figure.axes[:8]]
    assert titles[0] == "(no label)"
    for title, row in zip(titles[1:], data.target[1:8], strict=True):
        names = [data.classes[k] for k in torch.nonzero(row).flatten().tolist()]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        assert title == ", ".join(names[:3]) + more
    assert faults(figure) == []


def test_drawn_samples_have_different_labels() -> None:
    shown = [text for text, _ in words(captions_figure(dataset(), count=7)) if text.startswith("class")]
    assert sorted(shown) == [f"class {i}" for i in range(7)]


def test_without_captions_the_words_are_shown() -> None:
    data = dataset()
    plain = PairedData(
        "toy", data.modalities, data.target, data.splits, data.classes, vocabularies=data.vocabularies
    )
    assert captions_figure(plain, positions=[3]).axes[0].get_xlabel() == "5 a b c"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"image": "video"}, r"image = 'video': must be one of 'image' or 'text'"),
        ({"image": "text"}, r"modalities\['text'\] = \(60,\): must be pictures"),
        ({"text": "image"}, r"modality = 'image': must be one of 'text'"),
        ({"count": 25}, r"count = 25: must be at most 24"),
        ({"count": 0}, r"count = 0"),
        ({"split": "test"}, r"split = 'test': must be one of 'train'"),
        ({"positions": []}, r"positions = \[\]: must name at least one"),
        ({"positions": [24]}, r"positions = 24: must be the position of a sample, 0 to 23"),
        ({"positions": [1, 2], "notes": ["a"]}, r"notes = '1 remarks': must be one for each of 2"),
        ({"lines": 0}, r"lines = 0"),
        ({"seed": -1}, r"seed = -1"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], expected: str) -> None:
    with pytest.raises(LabError, match=expected):
        captions_figure(dataset(), **options)  # type: ignore[arg-type]


def test_something_else_than_a_dataset_is_refused() -> None:
    with pytest.raises(LabError, match=r"data = 'dict': must be a PairedData; this has no \['modalities'"):
        captions_figure({})  # type: ignore[arg-type]
