"""What the parameters of the lab's datasets may be, declared once. Imports no torch and no numpy."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mmkd_lab.core.check import LabError, require
from mmkd_lab.core.config import Count, Distinct, Fraction, Natural, Plain, Positive, Real, config

_TEXT = BeforeValidator(lambda value: os.fspath(value) if isinstance(value, os.PathLike) else value)
Folder = Annotated[str, _TEXT]
Seed = Annotated[Natural, Field(description="seed of the splits, the pairs and the noise")]
Mirror = Annotated[
    Folder | None,
    Field(description="folder to take the files from; default MMKD_LAB_MIRROR, else downloads"),
]
File = Annotated[Folder | None, Field(description="the data file itself, instead of a mirror")]
Decibels = Annotated[Real, Field(ge=-60, le=60)]
Snr = Annotated[
    Decibels | None,
    Field(description="speech power over noise power in decibels; None leaves the speech clean"),
]
NTrain = Annotated[Natural, Field(ge=50, description="number of training pairs")]
NVal = Annotated[Natural, Field(ge=50, description="number of validation pairs")]
NTest = Annotated[Natural, Field(ge=50, description="number of test pairs")]
MinCount = Annotated[
    Count, Field(description="occurrences in the training text that a word needs to be known")
]
Speaker = Literal["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
Share = Annotated[Fraction | None, Field(description="share of samples that it decides; default the mix's")]


@config
class AvDigits:
    """Parameters of av_digits."""

    n_train: Annotated[NTrain, Field(le=20000)] = 2000
    n_val: Annotated[NVal, Field(le=20000)] = 500
    n_test: Annotated[NTest, Field(le=20000)] = 2000
    speech_snr_db: Snr = -10.0
    image_noise: Annotated[Real, Field(ge=0, le=10, description="sd of Gaussian noise; white is 1")] = 0.25
    image_occlusion: Annotated[
        Fraction,
        Field(description="side of a grey square at a random place, as a share of the image's side"),
    ] = 0.0
    seed: Seed = 0


@config
class AvMnist:
    """Parameters of av_mnist."""

    n_train: Annotated[NTrain, Field(le=59950)] = 10000
    n_val: Annotated[NVal, Field(le=20000)] = 2000
    n_test: Annotated[NTest, Field(le=10000)] = 10000
    image_components: Annotated[
        Annotated[Count, Field(le=784)] | None,
        Field(description="principal components kept; 3 unless image_energy is given, 784 for all"),
    ] = None
    image_energy: Annotated[
        Annotated[Positive, Field(le=1)] | None,
        Field(description="keep the fewest components with this share of the variance"),
    ] = None
    speech_split: Annotated[
        Literal["speakers", "official"],
        Field(description="'speakers': splits share no speaker; 'official': FSDD's own, speakers shared"),
    ] = "speakers"
    val_speakers: Annotated[
        tuple[Speaker, ...], Distinct, Field(min_length=1, description="heard in validation only")
    ] = ("yweweler",)
    test_speakers: Annotated[
        tuple[Speaker, ...], Distinct, Field(min_length=1, description="heard in the test only")
    ] = ("lucas", "theo")
    speech_snr_db: Snr = 10.0
    noise: Annotated[
        Literal["esc10", "pink"],
        Field(description="'esc10': recorded backgrounds; 'pink': generated, nothing to download"),
    ] = "esc10"
    speech_size: Annotated[
        Literal[28, 112], Plain, Field(description="mel bands and frames of the spectrogram")
    ] = 28
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

    shared: Annotated[Natural, Field(description="decisive latents that both modalities see")] = 6
    specific_a: Annotated[Natural, Field(description="decisive latents that only modality a sees")] = 4
    specific_b: Annotated[Natural, Field(description="decisive latents that only modality b sees")] = 4
    hidden: Annotated[Natural, Field(description="decisive latents that neither sees")] = 6
    width_a: Annotated[Count, Field(description="columns of modality a")] = 25
    width_b: Annotated[Count, Field(description="columns of modality b")] = 50
    hyperplane: Annotated[Literal["random", "ones"], Field(description="how latents are weighed")] = "random"
    n_train: Annotated[Count, Field(description="number of training samples")] = 200
    n_val: Annotated[Natural, Field(description="number of validation samples; 0 for none")] = 0
    n_test: Annotated[Count, Field(description="number of test samples")] = 1000
    offset_a: Annotated[Natural, Field(description="column of a in which its decisive latents begin")] = 0
    stream: Annotated[
        Literal["figures", "table2", "independent"], Field(description="which random numbers are drawn")
    ] = "figures"

    def __post_init__(self) -> None:
        union = self.shared + self.specific_a + self.specific_b
        way_out = "Give one of them a dimension."
        require(union > 0, "shared + specific_a + specific_b", union, "must be at least 1", way_out)
        ends = {
            "width_a": self.offset_a + self.shared + self.specific_a,
            "width_b": self.shared + self.specific_b,
        }
        way_out = "Widen the modality or declare fewer dimensions."
        for name, end in ends.items():
            rule = f"must hold the decisive latents, which need {end} columns"
            require(getattr(self, name) >= end, name, getattr(self, name), rule, way_out)


@config
class Gaussian(Dimensions):
    """Parameters of the dataset 'gaussian': one world and its seed."""

    n_val: Annotated[Natural, Field(description="number of validation samples; 0 for none")] = 200
    seed: Annotated[Natural, Field(description="seed of the world")] = 0


@config
class Ravdess:
    """Parameters of ravdess."""

    audio: Annotated[
        Literal["statistics", "mel"],
        Field(description="'statistics': 180 numbers a clip; 'mel': log-mel, 40 bands by 150 frames"),
    ] = "statistics"
    test_fold: Annotated[Natural, Field(le=4, description="fold of actors for the test")] = 0
    val_fold: Annotated[Natural, Field(le=4, description="fold of actors for validation")] = 1
    mirror: Mirror = None
    path: File = None

    def __post_init__(self) -> None:
        apart = self.val_fold != self.test_fold
        rule, why = "must differ from test_fold", "No actor may be on two sides."
        require(apart, "val_fold", self.val_fold, rule, why)


@config
class Mfeat:
    """Parameters of mfeat."""

    views: Annotated[
        tuple[Literal["fac", "fou", "kar", "mor", "pix", "zer"], ...],
        Distinct,
        Field(min_length=2, description="which views are the modalities"),
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
        Field(min_length=2, description="what the raters were given; each is a modality"),
    ] = ("voice", "face")
    val_actors: Annotated[Count, Field(le=89, description="number of actors for validation")] = 13
    test_actors: Annotated[Count, Field(le=89, description="number of actors for the test")] = 27
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
        Field(description="shares of the evidence by name"),
    ] = "image_heavy"
    image: Share = None
    text: Share = None
    redundant: Share = None
    synergy: Share = None
    num_classes: Annotated[Literal[2, 3, 4], Plain, Field(description="number of classes")] = 2
    n_train: Annotated[NTrain, Field(le=100000)] = 2000
    n_val: Annotated[NVal, Field(le=100000)] = 500
    n_test: Annotated[NTest, Field(le=100000)] = 2000
    image_size: Annotated[
        Literal[24, 32], Plain, Field(description="height and width of the image in pixels")
    ] = 24
    image_noise: Annotated[Real, Field(ge=0, le=2, description="sd of Gaussian noise; white is 1")] = 0.1
    distractors: Annotated[Natural, Field(le=6, description="small shapes that mean nothing")] = 2
    seed: Annotated[Natural, Field(description="seed of the samples and the noise")] = 0


@config
class Emoji:
    """Parameters of emoji."""

    target: Annotated[
        Literal["group", "keywords"],
        Field(description="'group': one of eight; 'keywords': which frequent keywords it has (multi-label)"),
    ] = "group"
    text: Annotated[
        Literal["name and keywords", "name"] | None,
        Field(description="what is said: by default both for groups, and the name for keywords"),
    ] = None
    num_keywords: Annotated[
        Natural, Field(ge=2, le=100, description="keywords to tell, the most frequent first")
    ] = 20
    n_val: Annotated[
        Natural,
        Field(ge=50, le=600, description="number of validation emoji, cut from the training ones"),
    ] = 161
    channels: Annotated[Literal[3, 4], Plain, Field(description="3: on white; 4: also the opacity")] = 3
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
        Literal["dev", "test", "hidden"],
        Field(description="published split that is the test; the other two are for training"),
    ] = "test"
    val_share: Annotated[
        Positive, Field(le=0.5, description="share of the training sentences that go to validation")
    ] = 0.15
    image_height: Annotated[
        Literal[25, 50], Plain, Field(description="pixels; the width is four times that")
    ] = 25
    min_count: MinCount = 2
    seed: Annotated[Natural, Field(description="seed of the validation split")] = 0
    mirror: Mirror = None
    path: File = None
