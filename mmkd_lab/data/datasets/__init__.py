"""The lab's own datasets, by name. Each has a file of its own, imported when it is first loaded."""

from __future__ import annotations

from typing import Any

from mmkd_lab.data.datasets import recipes
from mmkd_lab.data.registry import Entry, register


def _own(name: str, recipe: type, summary: str, modalities: str, licence: str, **files: Any) -> None:  # noqa: ANN401 - fields of `Entry`
    build = f"{__name__}.{name}:build"
    register(name, Entry(summary, build, recipe, tuple(modalities.split()), licence, **files))


said = "Handwritten digits (8×8) with synthesised spoken digits of 88 voices; ships with the lab."
terms = "images CC BY 4.0 (UCI optdigits); speech made by this project with espeak-ng"
_own("av_digits", recipes.AvDigits, said, "image speech", terms, shipped=("av_digits/speech.npz",))
said = "MNIST reduced to few principal components, paired with real spoken digits in background noise."
terms = "MNIST CC BY-SA 3.0; Free Spoken Digit Dataset CC BY-SA 4.0; ESC-10 CC BY 3.0"
_own("av_mnist", recipes.AvMnist, said, "image speech", terms, files=("mnist", "fsdd", "esc10"))
said = "The modality focusing paper's Gaussian worlds, whose shared and specific parts are declared."
_own("gaussian", recipes.Gaussian, said, "a b", "generated")
said = "Acted emotional speech of 24 actors: audio features and facial action units, folds by actor."
terms = "CC BY-NC-SA 4.0, research only"
_own("ravdess", recipes.Ravdess, said, "audio video", terms, files=("ravdess",))
said = "2,000 handwritten digits in six views of unequal strength; two or more are the modalities."
terms = "CC BY 4.0 (UCI Multiple Features)"
_own("mfeat", recipes.Mfeat, said, "fac fou kar mor pix zer", terms, files=("mfeat",))
said = "What human raters heard and saw in 7,442 acted clips: shares of their votes, by modality."
senses = "voice face audiovisual"
_own("crema_votes", recipes.CremaVotes, said, senses, "ODbL 1.0 (CREMA-D)", files=("crema_votes",))
said = "Drawn shapes with captions; which modality decides each label is declared and recorded."
_own("shapes_vl", recipes.ShapesVl, said, "image text", "generated")
said = "Scenes in colour and depth with a class for every pixel; which sensor tells it is declared."
_own("rooms", recipes.Rooms, said, "rgb depth", "generated")
said = "One satellite scene in optical bands and height, with land cover; split by blocks of pixels."
_own("eo_patch", recipes.EoPatch, said, "optical height", "MIT (eo-learn)", files=("eo_patch",))
said = "1,601 emoji: the picture, and its name and keywords as text; eight groups, or keywords to tell."
_own("emoji", recipes.Emoji, said, "image text", "Apache-2.0 / OFL / MIT", files=("emoji",))
said = "Cornell NLVR: is a sentence true of a drawing? Neither tells alone."
_own("nlvr", recipes.Nlvr, said, "image text", "CC BY 4.0", files=("nlvr",))
