"""What the parameters of the published data sets may be. Imports no torch and no numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from mmkd_lab.core.check import require
from mmkd_lab.core.config import Count, Flag, Natural, Plain, Positive, config
from mmkd_lab.data.datasets.recipes import Folder, MinCount, means

Side = Annotated[Count, means("pixels", ge=8, le=2048)]
#: Frames of a clip, and of its spectrogram.
Frames = Annotated[Count, means("frames of each clip, at equal steps, as its colours", le=64)]
AudioFrames = Annotated[Count, means("frames of the log-mel spectrogram of 40 bands", le=1024)]
Missing = Annotated[
    Literal["drop", "keep"], means("what is done about samples that lack a modality, such as their clip")
]
Seconds = Annotated[Positive, means("of sound that are heard, the middle of it", le=60)]
Size = Annotated[tuple[Side, Side], means("height and width of pictures, in pixels")]


@config
class Published:
    """Parameters of every published data set."""

    root: Annotated[
        Folder | None, means("folder of the files; default the set's own in the mirror, else downloads")
    ] = None
    fixture: Annotated[Flag, means("made data in the set's form instead of the set, to try things on")] = (
        False
    )
    jobs: Annotated[Natural, means("processes that read the files, once; 0 for this one alone", le=256)] = 0
    damaged: Annotated[Literal["refuse", "drop"], means("what is done about files that cannot be read")] = (
        "refuse"
    )
    seed: Annotated[Natural, means("seed of a validation split where none is published")] = 0
    min_count: MinCount = 2


@config
class NyuDepthV2(Published):
    """Parameters of nyu_depth_v2."""

    labels: Annotated[Literal[40, 13], Plain, means("how many classes the 894 published ones become")] = 40
    depth: Annotated[
        Literal["filled", "raw"], means("filled in, or as the sensor saw it, 0 where it saw none")
    ] = "filled"
    size: Size = (120, 160)


@config
class Vggsound(Published):
    """Parameters of vggsound."""

    classes: Annotated[
        Folder | None, means("a text file with the classes to use, one a line; default all")
    ] = None
    frames: Frames = 3
    size: Size = (64, 64)
    audio_frames: AudioFrames = 64


@config
class HatefulMemes(Published):
    """Parameters of hateful_memes."""

    missing: Missing = "drop"
    size: Size = (64, 64)
    val: Annotated[Literal["dev_unseen", "dev_seen"], means("list to validate on, if it is there")] = (
        "dev_unseen"
    )
    test: Annotated[
        Literal["test_unseen", "test_seen", "dev_seen", "dev_unseen"],
        means("list to test on, if it has labels; else the next one that has"),
    ] = "test_unseen"


@config
class SnliVe(Published):
    """Parameters of snli_ve."""

    missing: Missing = "drop"
    size: Size = (64, 64)
    min_count: MinCount = 5


@config
class VqaV2(Published):
    """Parameters of vqa_v2."""

    missing: Missing = "drop"
    size: Size = (64, 64)
    min_answers: Annotated[Count, means("questions that an answer must be the usual one of to be known")] = 9
    answers_from: Annotated[
        Literal["train", "train+val"],
        means("questions that these are counted on; 'train+val', as most papers do, also those of the test"),
    ] = "train"
    most_answers: Annotated[Count | None, means("answers kept, the most frequent; None keeps all", ge=2)] = (
        None
    )
    score: Annotated[
        Literal["official", "short"],
        means("'official': mean over ten people of min(1, others / 3); 'short': min(1, people / 3)"),
    ] = "official"


@config
class MmImdb(Published):
    """Parameters of mm_imdb."""

    missing: Missing = "drop"
    size: Size = (64, 64)
    plot: Annotated[Literal["longest", "first"], means("which of a film's plots is read")] = "longest"
    films: Annotated[
        Literal["all", "mmbt"], means("'mmbt' leaves out what MMBT's script does: films of the genre News")
    ] = "all"
    vectors: Annotated[
        Flag, means("the published features in place of posters and words; of the hdf5 file alone")
    ] = False


@config
class Crisismmd(Published):
    """Parameters of crisismmd."""

    form: Annotated[
        Literal["posts", "features"], means("the published posts, or MST-Distill's features of them")
    ] = "posts"
    missing: Missing = "drop"
    size: Size = (64, 64)
    labels: Annotated[
        Literal["humanitarian", "informative", "damage"], means("what a post is labelled by")
    ] = "humanitarian"
    lists: Annotated[
        Literal["agreed", "all"], means("'agreed': posts whose text and picture have one label; or all posts")
    ] = "agreed"
    label: Annotated[
        Literal["label", "label_text", "label_image"], means("column of the label, where lists are 'all'")
    ] = "label"
    one_each: Annotated[Flag, means("the first picture of each post alone")] = False


@config
class RavdessClips(Published):
    """Parameters of ravdess_clips."""

    form: Annotated[
        Literal["clips", "arrays"], means("the published files, or MST-Distill's three arrays of them")
    ] = "clips"
    channel: Annotated[Literal["speech", "song", "both"], means("what is heard")] = "speech"
    split: Annotated[
        Literal["actors", "random"], means("'actors': splits share none; 'random': every actor is in each")
    ] = "actors"
    frames: Frames = 3
    size: Size = (64, 64)
    audio_frames: AudioFrames = 64


@config
class CremaD(Published):
    """Parameters of crema_d."""

    split: Annotated[
        Literal["actors", "listed"],
        means("'actors': splits share none; 'listed': train.csv and test.csv, which share all"),
    ] = "actors"
    frames: Frames = 3
    size: Size = (64, 64)
    audio_frames: AudioFrames = 64


@config
class AvMnistNpy(Published):
    """Parameters of av_mnist_npy."""


@config
class Meld(Published):
    """Parameters of meld."""

    form: Annotated[
        Literal["clips", "features", "tuple"],
        means("'clips' of MELD.Raw, the authors' averaged 'features', or others' pickled 'tuple'"),
    ] = "clips"
    target: Annotated[Literal["emotion", "sentiment"], means("seven emotions or three sentiments")] = (
        "emotion"
    )
    missing: Missing = "drop"
    size: Size = (64, 64)
    frames: Frames = 1
    seconds: Seconds = 6.0
    audio_frames: AudioFrames = 64


@config
class Iemocap(Published):
    """Parameters of iemocap."""

    form: Annotated[
        Literal["release", "tuple", "roberta"],
        means("the release's tree, others' pickled 'tuple', or COSMIC's pickle of layers of RoBERTa"),
    ] = "release"
    labels: Annotated[Literal["six", "four"], means("of four, excited counts as happy")] = "six"
    test_session: Annotated[Count, means("session whose two speakers are the test", le=5)] = 5
    val_session: Annotated[Count, means("session for validation", le=5)] = 4
    missing: Missing = "drop"
    size: Size = (64, 64)
    frames: Frames = 1
    seconds: Seconds = 8.0
    audio_frames: AudioFrames = 64

    def __post_init__(self) -> None:
        differ = self.val_session != self.test_session
        require(differ, "val_session", self.val_session, "must differ from test_session")


@config
class Mosi(Published):
    """Parameters of mosi and of mosei."""

    form: Annotated[Literal["aligned", "unaligned"], means("whether the steps of modalities are words")] = (
        "aligned"
    )
    target: Annotated[Literal["score", "seven"], means("from -3 to 3, or that rounded to seven classes")] = (
        "score"
    )
    steps: Annotated[Literal["all", "mean"], means("all steps in time, or their mean")] = "all"


@config
class Mosei(Mosi):
    """Parameters of mosei."""
