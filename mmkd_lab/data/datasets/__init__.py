"""The lab's own datasets, by name. Each has a file of its own, imported when it is first loaded."""

from __future__ import annotations

from mmkd_lab.data.datasets import recipes
from mmkd_lab.data.registry import Entry, register_dataset

_HERE = "mmkd_lab.data.datasets"

register_dataset(
    "av_digits",
    Entry(
        "Handwritten digits (8×8) with synthesised spoken digits of 88 voices; ships with the lab.",
        f"{_HERE}.av_digits:build",
        recipes.AvDigits,
        modalities=("image", "speech"),
        licence="images CC BY 4.0 (UCI optdigits); speech made by this project with espeak-ng",
        shipped=("av_digits/speech.npz",),
    ),
)
register_dataset(
    "av_mnist",
    Entry(
        "MNIST reduced to few principal components, paired with real spoken digits in background noise.",
        f"{_HERE}.av_mnist:build",
        recipes.AvMnist,
        modalities=("image", "speech"),
        licence="MNIST CC BY-SA 3.0; Free Spoken Digit Dataset CC BY-SA 4.0; ESC-10 CC BY 3.0",
        files=("mnist", "fsdd", "esc10"),
    ),
)
register_dataset(
    "gaussian",
    Entry(
        "The modality focusing paper's Gaussian worlds, whose shared and specific parts are declared.",
        f"{_HERE}.gaussian:build",
        recipes.Gaussian,
        modalities=("a", "b"),
        licence="generated",
    ),
)
register_dataset(
    "ravdess",
    Entry(
        "Acted emotional speech of 24 actors: audio features and facial action units, folds by actor.",
        f"{_HERE}.ravdess:build",
        recipes.Ravdess,
        modalities=("audio", "video"),
        licence="CC BY-NC-SA 4.0, research only",
        files=("ravdess",),
    ),
)
register_dataset(
    "mfeat",
    Entry(
        "2,000 handwritten digits in six views of unequal strength; two or more are the modalities.",
        f"{_HERE}.mfeat:build",
        recipes.Mfeat,
        modalities=("fac", "fou", "kar", "mor", "pix", "zer"),
        licence="CC BY 4.0 (UCI Multiple Features)",
        files=("mfeat",),
    ),
)
register_dataset(
    "crema_votes",
    Entry(
        "What human raters heard and saw in 7,442 acted clips: shares of their votes, by modality.",
        f"{_HERE}.crema_votes:build",
        recipes.CremaVotes,
        modalities=("voice", "face", "audiovisual"),
        licence="ODbL 1.0 (CREMA-D)",
        files=("crema_votes",),
    ),
)
register_dataset(
    "shapes_vl",
    Entry(
        "Drawn shapes with captions; which modality decides each label is declared and recorded.",
        f"{_HERE}.shapes_vl:build",
        recipes.ShapesVl,
        modalities=("image", "text"),
        licence="generated",
    ),
)
register_dataset(
    "emoji",
    Entry(
        "1,601 emoji: the picture, and its name and keywords as text; eight groups, or keywords to tell.",
        f"{_HERE}.emoji:build",
        recipes.Emoji,
        modalities=("image", "text"),
        licence="Apache-2.0 / OFL / MIT",
        files=("emoji",),
    ),
)
register_dataset(
    "nlvr",
    Entry(
        "Cornell NLVR: is a sentence true of a drawing? Neither tells alone.",
        f"{_HERE}.nlvr:build",
        recipes.Nlvr,
        modalities=("image", "text"),
        licence="CC BY 4.0",
        files=("nlvr",),
    ),
)
