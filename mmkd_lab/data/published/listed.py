"""The published data sets in the catalogue. Imports neither them nor numpy."""

from __future__ import annotations

from mmkd_lab.data.published import recipes
from mmkd_lab.data.registry import PUBLISHED, Entry, register


def _published(name: str, recipe: type, summary: str, modalities: str, licence: str) -> None:
    build = f"{PUBLISHED}.sets.{name}:build"
    register(name, Entry(summary, build, recipe, tuple(modalities.split()), licence))


said = "Rooms in colour and depth with a class for every pixel; 40 or 13 classes."
_published("nyu_depth_v2", recipes.NyuDepthV2, said, "rgb depth", "none stated, used for research")
said = "Ten seconds of video and its sound, 309 classes; what is there of the listed clips."
terms = "CC BY 4.0 (the list); clips of their uploaders"
_published("vggsound", recipes.Vggsound, said, "video audio", terms)
said = "A film's genres, several at a time, from its poster and its plot."
terms = "none stated for posters and plots; research use"
_published("mm_imdb", recipes.MmImdb, said, "image text", terms)
said = "Is a meme hateful? Its picture and the text on it, of which neither may tell alone."
_published("hateful_memes", recipes.HatefulMemes, said, "image text", "research only, not to be passed on")
said = "Does a picture entail a sentence, contradict it, or neither?"
terms = "text CC BY-SA 4.0 (SNLI); pictures under Flickr's terms"
_published("snli_ve", recipes.SnliVe, said, "image text", terms)
said = "A picture, a question, and how well each answer agrees with what ten people said."
_published("vqa_v2", recipes.VqaV2, said, "image text", "CC BY 4.0; pictures under Flickr's terms")
said = "What a post of a disaster tells, by its text and its picture."
_published("crisismmd", recipes.Crisismmd, said, "image text", "CC BY-NC-SA 4.0")
said = "Acted emotions of 24 actors by the published recordings and clips; splits share no actor."
_published("ravdess_clips", recipes.RavdessClips, said, "audio video", "CC BY-NC-SA 4.0, research only")
said = "Six acted emotions of 91 actors by the published recordings and clips; splits share no actor."
_published("crema_d", recipes.CremaD, said, "audio video", "ODbL 1.0")
said = "AV-MNIST as the six arrays in circulation; av_mnist is made anew."
_published("av_mnist_npy", recipes.AvMnistNpy, said, "image audio", "none stated")
said = "Dialogues of a television series: seven emotions or three sentiments of each utterance."
terms = "csv GPL-3.0; clips belong to the makers of the series"
_published("meld", recipes.Meld, said, "text audio video", terms)
said = "Acted and improvised dialogues of ten speakers, six or four emotions, splits by session."
_published("iemocap", recipes.Iemocap, said, "text audio video", "by signed form, no redistribution")
said = "Sentiment of film reviews from -3 to 3: features of words, voice and face over time."
_published("mosi", recipes.Mosi, said, "text audio vision", "none stated")
said = "Sentiment of monologues from -3 to 3: features of words, voice and face over time."
_published("mosei", recipes.Mosei, said, "text audio vision", "none stated")
