"""What the parameters of the lab's datasets may be, declared once. Imports no torch and no numpy."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mmkd_lab.core.check import LabError, require
from mmkd_lab.core.config import Count, Distinct, Fraction, Natural, Plain, Positive, Real, config


def means(text: str, **bounds: Any) -> Any:  # noqa: ANN401 - pydantic's own
    """What a parameter means, and its bounds."""
    return Field(description=text, **bounds)


Folder = Annotated[str, BeforeValidator(lambda at: os.fspath(at) if isinstance(at, os.PathLike) else at)]
Seed = Annotated[Natural, means("seed of the splits, the pairs and the noise")]
Mirror = Annotated[
    Folder | None, means("folder to take the files from; default MMKD_LAB_MIRROR, else downloads")
]
File = Annotated[Folder | None, means("the data file itself, instead of a mirror")]
Decibels = Annotated[Real, Field(ge=-60, le=60)]
Snr = Annotated[
    Decibels | None, means("speech power over noise power in decibels; None leaves the speech clean")
]
NTrain = Annotated[Natural, means("number of training pairs", ge=50)]
NVal = Annotated[Natural, means("number of validation pairs", ge=50)]
NTest = Annotated[Natural, means("number of test pairs", ge=50)]
MinCount = Annotated[Count, means("occurrences in the training text that a word needs to be known")]
Speakers = tuple[Literal["george", "jackson", "lucas", "nicolas", "theo", "yweweler"], ...]
Share = Annotated[Fraction | None, means("share of samples that it decides; default the mix's")]


@config
class AvDigits:
    """Parameters of av_digits."""

    n_train: Annotated[NTrain, Field(le=20000)] = 2000
    n_val: Annotated[NVal, Field(le=20000)] = 500
    n_test: Annotated[NTest, Field(le=20000)] = 2000
    speech_snr_db: Snr = -10.0
    image_noise: Annotated[Real, means("sd of Gaussian noise; white is 1", ge=0, le=10)] = 0.25
    image_occlusion: Annotated[Fraction, means("side of a grey square at a random place, as a share")] = 0.0
    seed: Seed = 0


@config
class AvMnist:
    """Parameters of av_mnist."""

    n_train: Annotated[NTrain, Field(le=59950)] = 10000
    n_val: Annotated[NVal, Field(le=20000)] = 2000
    n_test: Annotated[NTest, Field(le=10000)] = 10000
    image_components: Annotated[
        Annotated[Count, Field(le=784)] | None,
        means("principal components kept; 3 unless image_energy is given, 784 for all"),
    ] = None
    image_energy: Annotated[
        Annotated[Positive, Field(le=1)] | None,
        means("keep the fewest components with this share of the variance"),
    ] = None
    speech_split: Annotated[
        Literal["speakers", "official"],
        means("'speakers': splits share no speaker; 'official': FSDD's own, speakers shared"),
    ] = "speakers"
    val_speakers: Annotated[Speakers, Distinct, means("heard in validation only", min_length=1)] = (
        "yweweler",
    )
    test_speakers: Annotated[Speakers, Distinct, means("heard in the test only", min_length=1)] = (
        "lucas",
        "theo",
    )
    speech_snr_db: Snr = 10.0
    noise: Annotated[
        Literal["esc10", "pink"], means("'esc10': recorded backgrounds; 'pink': generated, no download")
    ] = "esc10"
    speech_size: Annotated[Literal[28, 112], Plain, means("mel bands and frames of the spectrogram")] = 28
    seed: Seed = 0
    mirror: Mirror = None

    def __post_init__(self) -> None:
        used = self.n_train + self.n_val
        require(used <= 60000, "n_train + n_val", used, "must be at most 60000, the training images of MNIST")
        if self.image_components is not None and self.image_energy is not None:
            shown = f"{self.image_components} and {self.image_energy}"
            raise LabError("image_components and image_energy", shown, "at most one may be given")
        shared = sorted(set(self.val_speakers) & set(self.test_speakers))
        require(not shared, "val_speakers", self.val_speakers, f"must not name {shared}, heard in the test")
        held = len(self.val_speakers) + len(self.test_speakers)
        rule = "must leave at least one of six speakers for training"
        require(held < 6, "test_speakers", self.test_speakers, rule)


@config
class Dimensions:
    """Parameters of a Gaussian world; `datasets.gaussian.World` says what they mean."""

    shared: Annotated[Natural, means("decisive latents that both modalities see")] = 6
    specific_a: Annotated[Natural, means("decisive latents that only modality a sees")] = 4
    specific_b: Annotated[Natural, means("decisive latents that only modality b sees")] = 4
    hidden: Annotated[Natural, means("decisive latents that neither sees")] = 6
    width_a: Annotated[Count, means("columns of modality a")] = 25
    width_b: Annotated[Count, means("columns of modality b")] = 50
    hyperplane: Annotated[Literal["random", "ones"], means("how latents are weighed")] = "random"
    n_train: Annotated[Count, means("number of training samples")] = 200
    n_val: Annotated[Natural, means("number of validation samples; 0 for none")] = 0
    n_test: Annotated[Count, means("number of test samples")] = 1000
    offset_a: Annotated[Natural, means("column of a in which its decisive latents begin")] = 0
    stream: Annotated[
        Literal["figures", "table2", "independent"], means("which random numbers are drawn")
    ] = "figures"

    def __post_init__(self) -> None:
        union, seen_a = self.shared + self.specific_a + self.specific_b, self.shared + self.specific_a
        way_out = "Give one of them a dimension."
        require(union > 0, "shared + specific_a + specific_b", union, "must be at least 1", way_out)
        ends = {"width_a": self.offset_a + seen_a, "width_b": self.shared + self.specific_b}
        way_out = "Widen the modality or declare fewer dimensions."
        for name, end in ends.items():
            rule = f"must hold the decisive latents, which need {end} columns"
            require(getattr(self, name) >= end, name, getattr(self, name), rule, way_out)


@config
class Gaussian(Dimensions):
    """Parameters of the dataset 'gaussian': one world and its seed."""

    n_val: Annotated[Natural, means("number of validation samples; 0 for none")] = 200
    seed: Annotated[Natural, means("seed of the world")] = 0


@config
class Ravdess:
    """Parameters of ravdess."""

    audio: Annotated[
        Literal["statistics", "mel"],
        means("'statistics': 180 numbers a clip; 'mel': log-mel, 40 bands by 150 frames"),
    ] = "statistics"
    test_fold: Annotated[Natural, means("fold of actors for the test", le=4)] = 0
    val_fold: Annotated[Natural, means("fold of actors for validation", le=4)] = 1
    mirror: Mirror = None
    path: File = None

    def __post_init__(self) -> None:
        rule, why = "must differ from test_fold", "No actor may be on two sides."
        require(self.val_fold != self.test_fold, "val_fold", self.val_fold, rule, why)


@config
class Mfeat:
    """Parameters of mfeat."""

    views: Annotated[
        tuple[Literal["fac", "fou", "kar", "mor", "pix", "zer"], ...],
        Distinct,
        means("which views are the modalities", min_length=2),
    ] = ("mor", "fac")
    n_train: Annotated[NTrain, Field(le=1900)] = 800
    n_val: Annotated[NVal, Field(le=1900)] = 200
    n_test: Annotated[NTest, Field(le=1900)] = 1000
    seed: Seed = 0
    mirror: Mirror = None
    path: File = None

    def __post_init__(self) -> None:
        used = self.n_train + self.n_val + self.n_test
        require(used <= 2000, "n_train + n_val + n_test", used, "must be at most 2000, the rows of the file")


@config
class CremaVotes:
    """Parameters of crema_votes."""

    senses: Annotated[
        tuple[Literal["voice", "face", "audiovisual"], ...],
        Distinct,
        means("what the raters were given; each is a modality", min_length=2),
    ] = ("voice", "face")
    val_actors: Annotated[Count, means("number of actors for validation", le=89)] = 13
    test_actors: Annotated[Count, means("number of actors for the test", le=89)] = 27
    seed: Seed = 0
    mirror: Mirror = None
    path: File = None

    def __post_init__(self) -> None:
        held = self.val_actors + self.test_actors
        require(held < 91, "val_actors + test_actors", held, "must leave at least one of 91 actors")


@config
class ShapesVl:
    """Parameters of shapes_vl."""

    mix: Annotated[
        Literal["image_heavy", "text_heavy", "redundant", "synergistic"],
        means("shares of the evidence by name"),
    ] = "image_heavy"
    image: Share = None
    text: Share = None
    redundant: Share = None
    synergy: Share = None
    num_classes: Annotated[Literal[2, 3, 4], Plain, means("number of classes")] = 2
    n_train: Annotated[NTrain, Field(le=100000)] = 2000
    n_val: Annotated[NVal, Field(le=100000)] = 500
    n_test: Annotated[NTest, Field(le=100000)] = 2000
    image_size: Annotated[Literal[24, 32], Plain, means("height and width of the image in pixels")] = 24
    image_noise: Annotated[Real, means("sd of Gaussian noise; white is 1", ge=0, le=2)] = 0.1
    distractors: Annotated[Natural, means("small shapes that mean nothing", le=6)] = 2
    seed: Annotated[Natural, means("seed of the samples and the noise")] = 0


ObjectShare = Annotated[Fraction, means("share of objects whose class it tells; all four add up to 1")]
Side = Annotated[Natural, Field(ge=16, le=1024)]


@config
class Rooms:
    """Parameters of rooms."""

    rgb: ObjectShare = 0.25
    depth: ObjectShare = 0.25
    redundant: ObjectShare = 0.25
    synergy: ObjectShare = 0.25
    n_train: Annotated[Natural, means("number of training scenes", ge=1, le=100000)] = 300
    n_val: Annotated[Natural, means("number of validation scenes", ge=1, le=100000)] = 100
    n_test: Annotated[Natural, means("number of test scenes", ge=1, le=100000)] = 300
    height: Annotated[Side, means("height of a scene in pixels")] = 32
    width: Annotated[Side, means("width of a scene in pixels")] = 32
    objects: Annotated[Count, means("cells along the shorter side; most hold an object", le=20)] = 2
    rgb_noise: Annotated[Real, means("sd of Gaussian noise in colours; white is 1", ge=0, le=2)] = 0.05
    depth_noise: Annotated[
        Real, means("sd of Gaussian noise in depth; from low to high is 0.4", ge=0, le=2)
    ] = 0.05
    void: Annotated[Natural, means("pixels around each object that have no class", le=4)] = 1
    seed: Annotated[Natural, means("seed of the scenes and the noise")] = 0


BlockShare = Annotated[Positive, means("share of the blocks", le=0.45)]


@config
class EoPatch:
    """Parameters of eo_patch."""

    block: Annotated[Literal[10, 20], Plain, means("side of a block in pixels")] = 10
    val: BlockShare = 0.15
    test: BlockShare = 0.25
    seed: Annotated[Natural, means("seed of which blocks are in which split")] = 0
    mirror: Mirror = None
    path: File = None


@config
class Emoji:
    """Parameters of emoji."""

    target: Annotated[
        Literal["group", "keywords"],
        means("'group': one of eight; 'keywords': which frequent keywords it has (multi-label)"),
    ] = "group"
    text: Annotated[
        Literal["name and keywords", "name"] | None,
        means("what is said: by default both for groups, and the name for keywords"),
    ] = None
    num_keywords: Annotated[Natural, means("keywords to tell, most frequent first", ge=2, le=100)] = 20
    n_val: Annotated[Natural, means("number of validation emoji, cut from training", ge=50, le=600)] = 161
    channels: Annotated[Literal[3, 4], Plain, means("3: on white; 4: also the opacity")] = 3
    min_count: MinCount = 2
    seed: Seed = 0
    mirror: Mirror = None
    path: File = None

    def __post_init__(self) -> None:
        told = self.target == "keywords" and self.text == "name and keywords"
        rule = "must be 'name' when the keywords are the target, or the text would say the answer"
        require(not told, "text", self.text, rule)

    @property
    def said(self) -> str:
        """'name and keywords' or 'name'."""
        return self.text or ("name" if self.target == "keywords" else "name and keywords")


@config
class Nlvr:
    """Parameters of nlvr."""

    test_split: Annotated[
        Literal["dev", "test", "hidden"], means("published split that is the test; the others train")
    ] = "test"
    val_share: Annotated[Positive, means("share of the training sentences for validation", le=0.5)] = 0.15
    image_height: Annotated[Literal[25, 50], Plain, means("pixels; the width is four times that")] = 25
    min_count: MinCount = 2
    seed: Annotated[Natural, means("seed of the validation split")] = 0
    mirror: Mirror = None
    path: File = None
