"""Networks that nobody in the lab wrote, through the adapter: how they are called, and who is turned away."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import HEAD, ModelAdapter, View, Zeros, named_layers
from mmkd_lab.training import Recipe, Replicas, fit
from tests.training.toy import plain, toy

DATA = toy()
X = DATA.batch(torch.arange(6))
ONE = {"speech": X["speech"]}
FEW = {"speech": X["speech"][:2]}


class Body(nn.Module):
    """What every network here computes; how it is asked is left to its heirs."""

    def __init__(self, *names):
        super().__init__()
        torch.manual_seed(0)
        sizes = {"image": 64, "speech": 6}
        self.layer1 = nn.ModuleList(nn.Linear(sizes[name], 5) for name in names)
        self.fc = nn.Linear(5, 4)

    def run(self, *values):
        return self.fc(self.hidden(*values))

    def hidden(self, *values):
        return torch.tanh(sum(one(value.flatten(1)) for one, value in zip(self.layer1, values, strict=True)))


class Mapped(Body):
    def forward(self, x):
        return self.run(x["image"], x["speech"])


class Named(Body):
    def forward(self, speech, image):
        return self.run(image, speech)


class Ordered(Body):
    def forward(self, first, second):
        return self.run(first, second)


class Starred(Body):
    def forward(self, *values):
        return self.run(*values)


class OneTensor(Body):
    def forward(self, inputs):
        return self.run(inputs)


class SaysLogits(Body):
    def forward(self, speech, image, labels=None):
        return {"logits": self.run(image, speech), "loss": None}


TWO = ("image", "speech")
CALLED = {
    "with a mapping": (Mapped(*TWO), None, "module({modality: tensor})"),
    "by names": (Named(*TWO), None, "module(image=image, speech=speech)"),
    "in order": (Ordered(*TWO), TWO, "module(image, speech)"),
    "with all arguments": (Starred(*TWO), TWO, "module(image, speech)"),
    "with logits inside": (SaysLogits(*TWO), None, "module(image=image, speech=speech)"),
}


@pytest.mark.parametrize("case", CALLED)
def test_it_finds_out_how_a_module_is_called(case):
    module, names, shown = CALLED[case]
    adapter = ModelAdapter(module, modalities=names)
    want = module.run(X["image"], X["speech"])
    torch.testing.assert_close(adapter(X), want)
    assert str(adapter.calling) == shown
    assert adapter.head_name == "fc"  # found by its output
    torch.testing.assert_close(adapter.features(X), module.hidden(X["image"], X["speech"]))
    torch.testing.assert_close(adapter.features(X, HEAD), adapter.features(X))
    torch.testing.assert_close(adapter.features(X, "layer1.1"), module.layer1[1](X["speech"]))
    assert adapter.layer_names == ("layer1", "layer1.0", "layer1.1", "fc")
    assert named_layers(adapter)["fc"] is module.fc
    assert not module.fc._forward_pre_hooks
    assert torch.equal(
        adapter(Zeros().apply(X, View.only("image"))), adapter({**X, "speech": 0 * X["speech"]})
    )


def test_a_module_of_one_tensor_reads_the_modality_it_is_told_or_the_only_one():
    module = OneTensor("speech")
    for adapter, x in ((ModelAdapter(module), ONE), (ModelAdapter(module, modalities=["speech"]), X)):
        assert torch.equal(adapter(x), module.run(X["speech"]))
        assert adapter.modalities == ("speech",)


def test_looking_at_a_module_changes_nothing_of_it():
    module = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 4)).train()
    module[1].eval()
    before, drawn = (
        {name: value.clone() for name, value in module.state_dict().items()},
        torch.get_rng_state(),
    )
    ModelAdapter(module).prepare(ONE)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert [layer.training for layer in module] == [True, False, True, True]
    assert torch.equal(torch.get_rng_state(), drawn)


def test_what_works_on_its_input_in_place_gets_copies():
    class InPlace(OneTensor):
        def forward(self, inputs):
            return self.run(inputs.mul_(0.5))

    x = {"speech": X["speech"].clone()}
    found = ModelAdapter(InPlace("speech"))(x)
    assert torch.equal(x["speech"], X["speech"])
    torch.testing.assert_close(found, OneTensor("speech").run(X["speech"] / 2))


class Drawing(OneTensor):
    def forward(self, inputs):
        return self.fc(functional.dropout(self.hidden(inputs), 0.5))


class Rarely(OneTensor):
    """Drops one unit of 20 on average; whoever asks twice about two samples mostly hears the same."""

    def forward(self, inputs):
        return self.fc(functional.dropout(self.hidden(inputs), 0.05))


class InVain(OneTensor):
    """Draws as some of transformers do in evaluation, and does not use it."""

    def forward(self, inputs):
        torch.rand(())
        return self.run(inputs)


class Flat(OneTensor):
    def forward(self, inputs):
        return self.run(inputs).argmax(-1)


class Untold(OneTensor):
    def forward(self, inputs):
        return (self.run(inputs),)


class Table(OneTensor):
    """Its weights are no parameters, and stay in single precision."""

    def __init__(self, *names):
        super().__init__(*names)
        self.table = torch.randn(6, 6)

    def forward(self, inputs):
        return self.run(inputs @ self.table)


def lazy():
    return nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.LazyLinear(4))


def adapted(module, x=ONE, **more):
    return lambda: ModelAdapter(module, **more)(x)


REFUSED = {
    "no module": (lambda: ModelAdapter(print), "module = <built-in function print>", "torch.nn.Module"),
    "modalities a string": (adapted(Mapped(*TWO), modalities="ab"), "modalities = 'ab'", "sequence"),
    "unknown modality": (adapted(Mapped(*TWO), modalities=["smell"]), "modalities = 'smell'", "'speech'"),
    "unknown head": (adapted(Mapped(*TWO), head="top"), "head = 'top'", "'fc'"),
    "unknown layer": (
        lambda: ModelAdapter(OneTensor("speech")).features(ONE, "layer9"),
        "layer = 'layer9'",
        "'layer1.0'",
    ),
    "no linear head": (
        lambda: ModelAdapter(nn.Sequential(nn.Linear(6, 4), nn.Tanh())).features(ONE),
        "head = None",
        "ModelAdapter(module, head=...), for example '0'",
    ),
    "order unknown": (adapted(Ordered(*TWO), X), "module = 'Ordered'", "order of its arguments"),
    "one tensor of two": (adapted(OneTensor("speech"), X), "module = 'OneTensor'", "AttributeError", "order"),
    "draws in evaluation": (adapted(Drawing("speech")), "module = 'Drawing'", "random", "self.training"),
    "draws rarely": (adapted(Rarely("speech"), FEW), "module = 'Rarely'", "random", "self.training"),
    "class numbers": (adapted(Flat("speech")), "module = 'Flat'", "logits (6, classes) for 6", "(6,)"),
    "a tuple": (adapted(Untold("speech")), "module = 'Untold'", "no tensor and nothing with .logits"),
    "masks": (
        adapted(Mapped(*TWO), {**X, "image kept for attention": torch.ones(6, dtype=torch.bool)}),
        "removal = ['image kept for attention']",
        "permutation",
    ),
    "lazy without samples": (lambda: Replicas.of([lazy()]), "modules = 'Sequential'", "data=data"),
    "batch norm on one sample": (
        lambda: fit(
            Replicas.of([nn.Sequential(Pick(), nn.Linear(6, 4), nn.BatchNorm1d(4))], device="cpu"),
            DATA,
            plain,
            Recipe(epochs=1, batch_size=7),
            progress=False,
        ),
        "recipe.batch_size = 7",
        "one sample of 50",
        "Use batch_size=8",
    ),
    "single precision of its own": (
        lambda: fit(
            Replicas.of([ModelAdapter(Table("speech"), modalities=["speech"])], device="cpu"),
            DATA,
            plain,
            Recipe(epochs=1, precision="64-true"),
            progress=False,
        ),
        "module = 'Table'",
        "precision='32-true'",
    ),
}


class Pick(nn.Module):
    def forward(self, x):
        return x["speech"]


@pytest.mark.parametrize("case", REFUSED)
def test_who_cannot_be_used_is_told_why_and_what_to_do(case):
    call, *wanted = REFUSED[case]
    with pytest.raises(LabError) as caught:
        call()
    for text in wanted:
        assert text in str(caught.value)


def test_random_numbers_that_change_nothing_are_no_fault():
    torch.testing.assert_close(ModelAdapter(InVain("speech"))(ONE), InVain("speech").run(X["speech"]))


def test_lazy_layers_get_their_shapes_and_their_weights_from_the_seed():
    adapters = [ModelAdapter(lazy(), modalities=["speech"]) for _ in range(3)]
    replicas = Replicas.of(adapters, data=DATA, seeds=[4, 5, 4], device="cpu")
    weight = replicas.parameters["module.0.weight"]
    assert weight.shape == (3, 5, 6)
    assert torch.equal(weight[0], weight[2])
    assert not torch.equal(weight[0], weight[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_a_network_is_brought_to_the_precision_of_the_run(dtype, precision):
    module = OneTensor("speech").to(dtype)
    replicas = Replicas.of([ModelAdapter(module, modalities=["speech"])], device="cpu")
    assert replicas.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    recipe = Recipe(epochs=1, precision=precision)
    found = fit(replicas, DATA, plain, recipe, progress=False).replicas
    assert found.dtype == found.predict(DATA).dtype == (torch.float64 if "64" in precision else torch.float32)
    assert module.fc.weight.dtype == dtype  # yours stays as it is


transformers = pytest.importorskip("transformers", reason="transformers is not installed: the extra 'hf'")
IDS = torch.tensor([[3, 4, 5, 0, 0], [6, 7, 8, 9, 1], [2, 0, 0, 0, 0], [5, 5, 2, 1, 0]] * 4)
PICTURES = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def text_model():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    config.num_labels = 3
    return transformers.BertForSequenceClassification(config).eval()


def vision_model():
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    config.num_labels = 3
    return transformers.ViTForImageClassification(config).eval()


def test_hugging_face_models_of_text_and_of_pictures_are_called_as_their_makers_say():
    x = {"picture": PICTURES, "words": IDS}
    text, vision = text_model(), vision_model()
    adapter = ModelAdapter(text)
    torch.testing.assert_close(adapter(x), text(input_ids=IDS, attention_mask=(IDS != 0).long()).logits)
    assert (adapter.modalities, adapter.head_name) == (("words",), "classifier")
    assert adapter.features(x, "bert.encoder.layer.0").shape == (16, 5 * 8)
    adapter = ModelAdapter(vision)
    torch.testing.assert_close(adapter(x), vision(pixel_values=PICTURES).logits)
    assert (adapter.modalities, adapter.head_name) == (("picture",), "classifier")
    gone = ModelAdapter(text)(Zeros().apply(x, View.only("picture")))
    assert torch.isfinite(gone).all()
    with pytest.raises(LabError, match=r"modalities = \('more', 'words'\).*could both be 'input_ids'"):
        ModelAdapter(text)({"more": IDS, "words": IDS})


def test_a_hugging_face_model_trains_as_any_network():
    where = torch.arange(16)
    data = PairedData(
        "notes",
        {"words": IDS, "picture": PICTURES},
        where % 3,
        {"train": where[:12], "val": where[12:]},
        ("a", "b", "c"),
    )
    replicas = Replicas.of([text_model()], device="cpu", data=data)
    found = fit(replicas, data, plain, Recipe(epochs=15, lr=0.02, precision="64-true"), progress=False)
    assert (found.mode, found.replicas.modalities) == ("looped", ("words",))
    losses = found.history.query("metric == 'loss'")["value"]
    assert losses.iloc[-1] < losses.iloc[0]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_module_of_any_precision_is_trained_in_the_recipes(kind):
    nets = Replicas.of([nn.Sequential(Pick(), nn.Linear(6, 4)).to(kind)], device="cpu")
    found = fit(nets, DATA, plain, Recipe(epochs=1, batch_size=10), progress=False)
    assert found.replicas.dtype == torch.float64
