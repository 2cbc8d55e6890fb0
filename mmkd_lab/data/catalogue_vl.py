"""The catalogue's pictures with text. Costs nothing to import: no torch, no numpy."""

from __future__ import annotations

from dataclasses import replace

from mmkd_lab.data.entries import MIRROR, PATH, SEED, Entry, Parameter, sizes


def _share(name: str, help: str) -> Parameter:
    return Parameter(name, "real", None, f"{help}; default the mix's", at_least=0.0, at_most=1.0)


_SHAPES_VL = Entry(
    name="shapes_vl",
    summary="Drawn shapes with captions; which modality decides each label is declared and recorded.",
    modalities=("image", "text"),
    licence="generated",
    files=(),
    parameters=(
        Parameter(
            "mix",
            "text",
            "image_heavy",
            "shares of the evidence by name",
            options=("image_heavy", "text_heavy", "redundant", "synergistic"),
        ),
        _share("image", "share of samples that the image alone decides"),
        _share("text", "share of samples that the text alone decides"),
        _share("redundant", "share of samples that either decides"),
        _share("synergy", "share of samples that only both together decide"),
        Parameter("num_classes", "choice", 2, "number of classes", options=(2, 3, 4)),
        *sizes(2000, 500, 2000, at_most=(100000, 100000, 100000)),
        Parameter("image_size", "choice", 24, "height and width of the image in pixels", options=(24, 32)),
        Parameter("image_noise", "real", 0.1, "sd of Gaussian noise; white is 1", at_least=0.0, at_most=2.0),
        Parameter("distractors", "whole", 2, "small shapes that mean nothing", at_least=0, at_most=6),
        replace(SEED, help="seed of the samples and the noise"),
    ),
    builder="mmkd_lab.data.shapes_vl:build",
)

_EMOJI = Entry(
    name="emoji",
    summary="1,601 emoji: the picture, and its name and keywords as text; eight groups, or keywords to tell.",
    modalities=("image", "text"),
    licence="Apache-2.0 / OFL / MIT",
    files=("emoji",),
    parameters=(
        Parameter(
            "target",
            "text",
            "group",
            "'group': one of eight; 'keywords': which of the frequent keywords an emoji has (multi-label)",
            options=("group", "keywords"),
        ),
        Parameter(
            "text",
            "text",
            None,
            "'name and keywords' (default for groups) or 'name' (the only choice for keywords)",
            options=("name and keywords", "name"),
        ),
        Parameter(
            "num_keywords", "whole", 20, "keywords to tell, the most frequent first", at_least=2, at_most=100
        ),
        Parameter(
            "n_val",
            "whole",
            161,
            "number of validation emoji, cut from the training ones",
            at_least=50,
            at_most=600,
        ),
        Parameter("channels", "choice", 3, "3: on white; 4: also the opacity", options=(3, 4)),
        Parameter("min_count", "whole", 2, "occurrences in the training text that a word needs to be known"),
        SEED,
        MIRROR,
        PATH,
    ),
    builder="mmkd_lab.data.emoji:build",
)

_NLVR = Entry(
    name="nlvr",
    summary="Cornell NLVR: is a sentence true of a drawing? Neither tells alone.",
    modalities=("image", "text"),
    licence="CC BY 4.0",
    files=("nlvr",),
    parameters=(
        Parameter(
            "test_split",
            "text",
            "test",
            "published split that is the test; the other two are for training",
            options=("dev", "test", "hidden"),
        ),
        Parameter(
            "val_share",
            "real",
            0.15,
            "share of the training sentences that go to validation",
            above=0.0,
            at_most=0.5,
        ),
        Parameter("image_height", "choice", 25, "pixels; the width is four times that", options=(25, 50)),
        Parameter("min_count", "whole", 2, "occurrences in the training text that a word needs to be known"),
        replace(SEED, help="seed of the validation split"),
        MIRROR,
        replace(PATH, help="the archive itself, instead of a mirror"),
    ),
    builder="mmkd_lab.data.nlvr:build",
)

#: In the order of the README.
ENTRIES = (_SHAPES_VL, _EMOJI, _NLVR)
