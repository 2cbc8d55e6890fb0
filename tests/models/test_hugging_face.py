"""A VisualBERT of the transformers library as a teacher. Tiny and untrained, but the real code."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import AttentionMask, HuggingFaceNet, Learned, Mean, View, Zeros
from mmkd_lab.training import Recipe, Replicas, evaluate, fit
from tests.training.toy import plain

transformers = pytest.importorskip("transformers", reason="transformers is not installed: the extra 'hf'")

CLS, SEP = 38, 39
TEXT = torch.tensor([[3, 4, 5, 0, 0], [6, 7, 8, 9, 1], [2, 0, 0, 0, 0]])
X = {"text": TEXT, "image": torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))}
ONLY = {name: View.only(name) for name in X}


def model(kind="VisualBertForVisualReasoning"):
    config = transformers.VisualBertConfig(
        vocab_size=40,
        hidden_size=16,
        visual_embedding_dim=6,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
        num_labels=3,
        initializer_range=0.4,
    )
    torch.manual_seed(0)
    return getattr(transformers, kind)(config).eval()


@pytest.fixture(scope="module")
def visual_bert():
    return model()


@pytest.fixture(scope="module")
def net(visual_bert):
    return HuggingFaceNet(visual_bert, head="cls", cls=CLS, sep=SEP).eval()


def own_logits(visual_bert, ids):
    """The model itself, called as its makers document it."""
    return visual_bert(
        input_ids=ids,
        attention_mask=(ids != 0).long(),
        token_type_ids=torch.zeros_like(ids),
        visual_embeds=X["image"],
        visual_attention_mask=torch.ones(3, 4),
        visual_token_type_ids=torch.ones(3, 4, dtype=torch.long),
    ).logits


WITH_SPECIALS = torch.tensor(
    [[CLS, 3, 4, 5, SEP, 0, 0], [CLS, 6, 7, 8, 9, 1, SEP], [CLS, 2, SEP, 0, 0, 0, 0]]
)
EMPTY = torch.tensor([[CLS, SEP, 0, 0, 0, 0, 0]] * 3)


def test_with_everything_kept_it_is_the_model_itself(visual_bert, net):
    expected = own_logits(visual_bert, WITH_SPECIALS)
    assert expected.std() > 0.1
    torch.testing.assert_close(net(X), expected)
    ready = HuggingFaceNet(visual_bert, head="cls", cls=CLS, sep=SEP, specials=True).eval()
    torch.testing.assert_close(ready({**X, "text": WITH_SPECIALS}), expected)
    torch.testing.assert_close(net.module.head(net.features(X)), expected)


def test_a_masked_text_is_an_empty_one(visual_bert, net):
    masked = AttentionMask().apply(X, ONLY["image"])
    torch.testing.assert_close(net(masked), own_logits(visual_bert, EMPTY))


@pytest.mark.parametrize("specials", [False, True])
@pytest.mark.parametrize("removed", sorted(X))
def test_nothing_of_a_masked_modality_is_left(removed, specials, visual_bert):
    net = HuggingFaceNet(visual_bert, head="cls", cls=CLS, sep=SEP, specials=specials).eval()
    x = {**X, "text": WITH_SPECIALS} if specials else X
    view = View.drop(removed, of=X)
    other = {**x, removed: x[removed].flip(0)}
    assert not torch.allclose(net(x), net(other), atol=1e-3)
    mask = AttentionMask()
    assert torch.equal(net(mask.apply(x, view)), net(mask.apply(other, view)))
    assert not torch.allclose(net(mask.apply(x, view)), net(Zeros().apply(x, view)), atol=1e-3)


def test_sample_by_sample_is_row_by_row(net):
    stays = {"image": torch.tensor([True, False, True]), "text": torch.tensor([False, True, True])}
    mask = AttentionMask()
    mixed = net(mask.apply_where(X, stays))
    expected = [net(mask.apply(X, ONLY["image"])), net(mask.apply(X, ONLY["text"])), net(X)]
    for i, logits in enumerate(expected):
        torch.testing.assert_close(mixed[i], logits[i])


def test_weights_from_a_folder_drop_in(visual_bert, net, tmp_path):
    visual_bert.save_pretrained(tmp_path, safe_serialization=True)
    assert (tmp_path / "model.safetensors").is_file()
    loaded = transformers.VisualBertForVisualReasoning.from_pretrained(tmp_path)
    again = HuggingFaceNet(loaded, head="cls", cls=CLS, sep=SEP).eval()
    assert torch.equal(again(X), net(X))


def test_a_model_that_pools_the_last_word_is_pooled_at_cls():
    """Its own place to pool, the number of words less two, is none where every word is masked."""
    answering = model("VisualBertForQuestionAnswering")
    net = HuggingFaceNet(answering, num_outputs=5, cls=CLS, sep=SEP, seed=3).eval()
    with pytest.raises(RuntimeError, match="out of bounds"):
        answering(input_ids=TEXT, attention_mask=0 * TEXT, visual_embeds=X["image"])
    nothing = net(AttentionMask().apply(X, View.only()))
    assert torch.isfinite(nothing).all()
    assert torch.equal(nothing, nothing[:1].expand(3, 5))
    again = HuggingFaceNet(answering, num_outputs=5, cls=CLS, sep=SEP, seed=3)
    assert torch.equal(net.module.head.weight, again.module.head.weight)


def test_a_picture_needs_something_that_makes_features_of_it(visual_bert):
    embed = torch.nn.Sequential(torch.nn.Flatten(2), torch.nn.Linear(9, 6))
    net = HuggingFaceNet(visual_bert, head="cls", embed=embed, cls=CLS, sep=SEP).eval()
    assert net({**X, "image": torch.randn(3, 2, 3, 3)}).shape == (3, 3)


def test_it_trains_and_is_evaluated_as_any_teacher(visual_bert):
    generator = torch.Generator().manual_seed(0)
    where = torch.arange(24)
    ids = torch.randint(1, 38, (24, 5), generator=generator)
    x = {"text": ids, "image": torch.randn(24, 4, 6, generator=generator)}
    splits = {"train": where[:18], "val": where[18:]}
    data = PairedData("memes", x, (ids[:, 0] > 19).long() + (ids[:, 1] > 19).long(), splits, ("a", "b", "c"))
    teacher = HuggingFaceNet(visual_bert, head="cls", cls=CLS, sep=SEP)
    replicas = Replicas.of([teacher], device="cpu")
    before = evaluate(replicas, data, split="train")["nll"]
    recipe = Recipe(epochs=3, batch_size=6, lr=1e-2, modality_dropout=0.2)
    found = fit(replicas, data, plain, recipe, dropout_removal=AttentionMask(), progress=False)
    assert found.mode == "looped"
    assert evaluate(found.replicas, data, split="train")["nll"] < before
    for removal in (AttentionMask(), Zeros(), "permutation"):
        scores = evaluate(found.replicas, data, split="val", view=ONLY["image"], removal=removal)
        assert 0 <= scores["accuracy"][0] <= 100


class Textual(torch.nn.Module):
    """No vision: what its tower takes ends with the ids."""

    @property
    def base_model(self):
        return self

    def forward(self, input_ids, attention_mask, token_type_ids):
        return input_ids


BAD = {
    "not a model": (lambda m: HuggingFaceNet(torch.nn.Linear(2, 2)), "model = 'Linear'", "visual_embeds"),
    "no vision": (lambda m: HuggingFaceNet(Textual()), "model = 'Textual'", "does not take visual_embeds"),
    "unknown head": (lambda m: HuggingFaceNet(m, head="fc", cls=1, sep=2), "head = 'fc'", "linear layer"),
    "another number of outputs": (
        lambda m: HuggingFaceNet(m, head="cls", num_outputs=4, cls=1, sep=2),
        "num_outputs = 4",
        "has 3",
    ),
    "no number of outputs": (lambda m: HuggingFaceNet(m, cls=1, sep=2), "num_outputs = None", "own head"),
    "ids of another tokeniser": (lambda m: HuggingFaceNet(m), "cls = 101", "vocabulary of 40"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_arguments_are_named(case, visual_bert):
    call, *wanted = BAD[case]
    with pytest.raises(LabError) as caught:
        call(visual_bert)
    for text in wanted:
        assert text in str(caught.value)


USED = {
    "learned": (lambda: Learned().apply(X, ONLY["text"]), "image kept for learned", "'attention'"),
    "mean of text": (lambda: Mean({}).apply(X, ONLY["image"]), "removal = 'mean'", "'text' is text"),
    "no text": (lambda: {"image": X["image"]}, "x = ['image']", "'text'"),
    "text too long": (lambda: {**X, "text": TEXT.repeat(1, 3)}, "x['text'] = (3, 15)", "12 positions"),
    "text of numbers": (lambda: {**X, "text": TEXT.float()}, "x['text'] = 'torch.float32 (3, 5)'", "ids"),
    "ids that the table lacks": (
        lambda: {**X, "text": TEXT + 38},
        "x['text'] = ",
        "ids of the model's vocabulary of 40",
        "tokeniser",
    ),
    "features of another length": (
        lambda: {**X, "image": X["image"][..., :5]},
        "x['image'] = (3, 4, 5)",
        "(batch, 6)",
    ),
}


@pytest.mark.parametrize("case", USED)
def test_wrong_inputs_are_named(case, net):
    make, *wanted = USED[case]
    with pytest.raises(LabError) as caught:
        net(make())
    for text in wanted:
        assert text in str(caught.value)
