"""A vision-language network of the transformers library, such as VisualBERT, in the lab."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmkd_lab.core.check import LabError, of_type, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.data.text import PAD
from mmkd_lab.models.layers import Wrapper, in_unit
from mmkd_lab.models.removal import ATTENTION, REMOVALS, VALUES, kept_key

_TEXT = ("input_ids", "attention_mask", "token_type_ids")
_VISUAL = ("visual_embeds", "visual_attention_mask", "visual_token_type_ids")


class HuggingFaceNet(Wrapper):
    """A model that takes `input_ids` and `visual_embeds`: the tower of `model`, [CLS] pooled, and a head.

    It can remove a modality by attention mask: a removed text is [CLS] [SEP], a removed picture is not
    attended to. Nor is padding, unless a text is nothing else, as putting zeros in its place leaves it. [CLS]
    is pooled whatever head the model came with: a removed text has no last word.

    Args:
        model: a transformers `PreTrainedModel`; its weights are used, not copied.
        num_outputs: K, for a new head; None with `head`.
        text: the modality of token ids, (B, L), padded with 0 at the end, made by the model's own tokeniser.
        visual: the modality of visual features, (B, T, D) or (B, D).
        embed: a module from the visual modality to (B, T, D), where it is something else, such as a picture.
        head: the dotted name of a linear layer of `model` that reads the pooled [CLS], such as 'cls' in
            VisualBertForVisualReasoning.
        specials: whether the ids hold [CLS] and [SEP] already; without, both are put around each text.
        cls: the id of [CLS]; 101 in BERT's vocabulary.
        sep: the id of [SEP]; 102 in BERT's vocabulary.
        seed: a new head's weights come from its 'head' stream.

    Raises:
        LabError: a model that takes other inputs, a head that it lacks, or ids that its table lacks. In use:
            ids that its table lacks (on the CPU), a text longer than its positions, features of another
            length, or a removal it cannot do.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        num_outputs: int | None = None,
        text: str = "text",
        visual: str = "image",
        embed: nn.Module | None = None,
        head: str | None = None,
        specials: bool = False,
        cls: int = 101,
        sep: int = 102,
        seed: int = 0,
    ) -> None:
        base = _base(model)
        size = int(base.config.vocab_size)
        for name, token in (("cls", cls), ("sep", sep)):
            known = whole(name, token) < size
            require(known, name, token, f"must be an id of the model's vocabulary of {size}")
        chosen = _head(model, head, base.config, num_outputs, seed)
        super().__init__()
        self.module = _Tower(base, chosen, (text, visual), embed, (cls, sep), specials)
        self.modalities, self.head_name = (text, visual), "head"
        self.removals = tuple(name for name in REMOVALS if name in (*VALUES, ATTENTION))
        self.num_outputs = chosen.out_features

    @property
    def architecture(self) -> str:
        """The name of the model's class."""
        return type(self.module.base).__name__

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """{modality: (B, ...)} -> logits (B, K)."""
        masks = {name for name in x if name.endswith(kept_key(ATTENTION, ""))}
        self.refuse_masks({name: value for name, value in x.items() if name not in masks})
        logits: Tensor = self.module(dict(x))
        return logits


class _Tower(nn.Module):
    """Views in, logits out: builds the ids, masks and token types that the model wants."""

    def __init__(
        self,
        base: Any,  # noqa: ANN401 - transformers is optional, and so are its types
        head: nn.Linear,
        names: tuple[str, str],
        embed: nn.Module | None,
        special: tuple[int, int],
        specials: bool,
    ) -> None:
        super().__init__()
        self.base, self.head, self.embed = base, head, embed
        self.text, self.visual = names
        (self.cls, self.sep), self.specials = special, specials

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        for name in (self.text, self.visual):
            if name not in x:
                raise LabError("x", sorted(x), f"this network reads {self.text!r} and {self.visual!r}")
        ids, seen = self._words(x[self.text], x.get(kept_key(ATTENTION, self.text)))
        features, there = self._features(x[self.visual], x.get(kept_key(ATTENTION, self.visual)))
        try:
            out = self.base(
                input_ids=ids,
                attention_mask=seen.long(),
                token_type_ids=torch.zeros_like(ids),
                visual_embeds=features,
                visual_attention_mask=there.long(),
                visual_token_type_ids=torch.ones_like(there, dtype=torch.long),
                return_dict=True,
            )
        except IndexError as error:
            rule = f"must be ids of the model's vocabulary of {self.base.config.vocab_size}"
            raise LabError(f"x[{self.text!r}]", str(error), rule, "Use the model's own tokeniser.") from error
        pooled = getattr(out, "pooler_output", None)
        logits: Tensor = self.head(out.last_hidden_state[:, 0] if pooled is None else pooled)
        return in_unit(self, logits)

    def _words(self, ids: Tensor, stays: Tensor | None) -> tuple[Tensor, Tensor]:
        """Ids (B, L') with [CLS] and [SEP], and where they may be attended to, (B, L') bool."""
        argument, kind = f"x[{self.text!r}]", f"{ids.dtype} {tuple(ids.shape)}"
        fine = ids.ndim == 2 and not ids.is_floating_point()
        require(fine, argument, kind, "must be token ids, (batch, length)")
        row = ids.long() if self.specials else nn.functional.pad(ids.long(), (1, 1), value=PAD)
        longest = int(self.base.config.max_position_embeddings)
        rule = f"must not be longer than the model's {longest} positions, [CLS] and [SEP] counted"
        require(row.shape[1] <= longest, argument, tuple(ids.shape), rule)
        said = (ids != PAD).sum(-1, keepdim=True)
        last = torch.where(said > 0, said + (-1 if self.specials else 1), row.shape[1] - 1)
        if stays is not None:
            row = torch.where(stays[:, None], row, PAD)
            last = torch.where(stays[:, None], last, 1)
        place = torch.arange(row.shape[1], device=row.device)
        row = torch.where((place == 0) & (row == PAD), self.cls, row)
        row = torch.where((place == last) & (row == PAD), self.sep, row)
        return row, place <= last

    def _features(self, values: Tensor, stays: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features (B, T, D) and where they may be attended to, (B, T) bool."""
        found = values if self.embed is None else self.embed(values)
        found = found[:, None] if found.ndim == 2 else found
        length = int(self.base.config.visual_embedding_dim)
        rule = f"must be (batch, tokens, {length}) or (batch, {length})"
        way_out = "For pictures give `embed`, a module that makes such features of them."
        fine = found.ndim == 3 and found.shape[-1] == length
        require(fine, f"x[{self.visual!r}]", tuple(found.shape), rule, way_out)
        there = torch.ones(found.shape[:2], dtype=torch.bool, device=found.device)
        if stays is None:
            return found, there
        return torch.where(stays[:, None, None], found, 0.0), there & stays[:, None]


def _base(model: object) -> Any:  # noqa: ANN401 - transformers is optional, and so are its types
    rule = "must be a transformers model that takes input_ids and visual_embeds"
    base = getattr(model, "base_model", None)
    if not isinstance(model, nn.Module) or not isinstance(base, nn.Module):
        raise LabError("model", type(model).__name__, rule, "For example VisualBertModel.")
    takes = inspect.signature(base.forward).parameters
    missing = [name for name in (*_TEXT, *_VISUAL) if name not in takes]
    require(not missing, "model", type(model).__name__, f"{rule}; it does not take {', '.join(missing)}")
    return base


def _head(
    model: nn.Module,
    name: str | None,
    config: Any,  # noqa: ANN401 - transformers is optional, and so are its types
    outputs: int | None,
    seed: int,
) -> nn.Linear:
    width = int(config.hidden_size)
    if name is None:
        of_type("num_outputs", outputs, int, "the number of logits of the new head", "Or name its own head.")
        with torch.random.fork_rng(devices=[]):
            made = nn.Linear(width, whole("num_outputs", outputs))
        generator = torch.Generator().manual_seed(derive(whole("seed", seed, at_least=0), "head"))
        with torch.no_grad():
            wide = torch.empty(made.weight.shape, dtype=torch.float64)
            made.weight.copy_(wide.normal_(0.0, float(config.initializer_range), generator=generator))
            made.bias.zero_()
        return made
    linear = {
        one: part
        for one, part in model.named_modules()
        if isinstance(part, nn.Linear) and part.in_features == width
    }
    rule = f"must be a linear layer of the model that reads its {width} hidden units"
    require(name in linear, "head", name, rule)
    found = linear[name]
    agree = outputs in (None, found.out_features)
    require(agree, "num_outputs", outputs, f"the model's own head has {found.out_features}")
    return found
