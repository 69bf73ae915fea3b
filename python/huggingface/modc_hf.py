"""A language model of modc as one of Hugging Face's transformers: attention masks, labels, caches, generation."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache
from transformers.generation import GenerationConfig, GenerationMixin
from transformers.utils import ModelOutput

from .modc_caches import Caches

NO_TARGET = -100
NEITHER = "the model gives neither hidden states nor attentions: forward(observed={}) has routes"


@dataclass
class CausalLMOutput(ModelOutput):
    """Loss, logits and cache of one call."""

    loss: Tensor | None = None  # the sum of the losses; with labels
    logits: Tensor | None = None  # f32[B, T, vocabulary], 0 at tokens that the mask leaves out
    past_key_values: RoutedCache | None = None
    losses: dict[str, Tensor] | None = None  # by name; with labels


class RoutedCache(Cache):
    """Keys and values of the tokens that took each attention's route, and of no others."""

    is_compileable = False

    def __init__(self) -> None:
        if "layers" in inspect.signature(Cache.__init__).parameters:  # in later versions it is a list of layers
            super().__init__(layers=[])
        else:
            super().__init__()
        self.reset()

    def reset(self) -> None:
        self.kept = Caches()
        self.exists: Tensor | None = None  # bool[B, columns], which of the columns of input_ids so far a mask left in

    @property
    def columns(self) -> int:
        """Columns of input_ids seen so far, masked ones included."""
        return 0 if self.exists is None else self.exists.shape[1]

    def see(self, exists: Tensor) -> None:
        """More columns, bool[B, T]."""
        self.exists = exists if self.exists is None else torch.cat((self.exists, exists), 1)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.columns

    def get_max_cache_shape(self, layer_idx: int = 0) -> int | None:
        return None

    def get_max_length(self, layer_idx: int | None = None) -> int:
        return -1

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        if self.exists is not None:
            self.kept.select(indices)
            self.exists = self.exists[indices]

    def batch_repeat_interleave(self, repeats: int) -> None:
        if self.exists is not None:
            rows = torch.arange(len(self.exists), device=self.exists.device)
            self.batch_select_indices(rows.repeat_interleave(repeats))

    def crop(self, max_length: int) -> None:
        raise NotImplementedError("a cache of routed tokens goes forward only")

    def update(self, *args: object, **kwargs: object) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("the model's own attention fills a cache of routed tokens")


class CausalLM(PreTrainedModel, GenerationMixin):
    """Calls `compute`, which the model has, as transformers call a language model.

    compute(tokens, targets, lengths=, causal=, caches=, observed=) gives logits, or None with targets where it has
    not computed them, and losses by name. Sequences lie at the left; `lengths` says how long each is.
    """

    main_input_name = "input_ids"
    supports_gradient_checkpointing = False
    _supports_cache_class = True
    _supports_sdpa = True
    _is_stateful = True  # its caches cannot give tokens back, as assisted generation asks of them

    no_labels: str | None = None  # why labels are refused
    causal_losses = True  # whether there are losses by the causal rule
    live: dict[str, Fraction] = {}

    def _init_weights(self, module: nn.Module) -> None:
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: RoutedCache | None = None,
        use_cache: bool | None = None,
        causal: bool | None = None,
        live: dict | None = None,
        observed: dict | None = None,
        return_dict: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> CausalLMOutput | tuple:
        """Logits, and with labels the loss.

        - attention_mask[B, T]: 0 at tokens that do not exist, wherever they are; with a cache of those before too.
        - labels[B, T]: as input_ids, -100 where there is none; the loss at token i is against the label of the next
          token that exists.
        - past_key_values: goes on behind the tokens that it has seen, by the causal rule.
        - use_cache: whether to give such a cache; if not told, as `config.use_cache` says where the causal rule
          holds and nothing is trained.
        - causal: whether each choice of tokens is made from the token alone, as generation does; if not told,
          as `config.causal` says, in `train()` not.
        - live: values of live parameters in place of the configuration's.
        - observed: a dict that is filled with what the source observes, by path; tokens that do not exist are not
          counted there.
        - output_hidden_states, output_attentions: the model gives neither.
        """
        if output_hidden_states or output_attentions:
            raise ValueError(NEITHER)
        self._refuse_unsupported(input_ids, labels, past_key_values)
        if causal is None:
            causal = past_key_values is not None or (self.config.causal and not self.training)
            causal = causal and (labels is None or self.causal_losses)
        if use_cache is None:
            may = causal and not self.training and labels is None
            use_cache = past_key_values is not None or (may and self.config.use_cache)
        if not causal and (use_cache or past_key_values is not None):
            raise ValueError("a cache is of the causal rule: causal=True, or use_cache=False")
        if labels is not None and use_cache:
            raise ValueError("labels are of whole sequences: not with past_key_values, nor with use_cache=True")
        if labels is not None and causal and not self.causal_losses:
            raise ValueError("the model's objective has no causal rule")
        if live is not None and not self.live:
            raise ValueError("the model has no live parameters")
        if use_cache and past_key_values is None:
            past_key_values = RoutedCache()
        rows = _rows(attention_mask, input_ids, past_key_values)
        given = [input_ids]
        if labels is not None:
            given.append(labels.to(torch.int64))
        options = {"causal": causal, "observed": observed} | ({} if live is None else {"live": live})
        if rows is not None:
            given = [x.gather(1, rows.order) for x in given]
            options["lengths"] = rows.lengths
        if labels is not None:
            given[1] = _next(given[1], None if rows is None else rows.lengths)
        if past_key_values is not None:
            options["caches"] = past_key_values.kept
        logits, losses = self.compute(*given, **options)
        if logits is None and not self.training:  # the objective computes others
            logits, _ = self.compute(given[0], **options | {"observed": None})
        if past_key_values is not None:
            past_key_values.see(torch.ones_like(input_ids, dtype=torch.bool) if rows is None else rows.exists)
        if rows is not None and logits is not None:
            batch = torch.arange(len(logits), device=logits.device)[:, None]
            logits = logits[batch, rows.place].masked_fill(~rows.exists[..., None], 0.0)
        output = CausalLMOutput(
            loss=None if labels is None else sum(losses.values()),
            logits=logits,
            past_key_values=past_key_values if use_cache else None,
            losses=None if labels is None else losses,
        )
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()

    def _refuse_unsupported(self, input_ids: Tensor, labels: Tensor | None, past: object) -> None:
        if input_ids.dim() != 2:
            raise ValueError(f"input_ids are [batch, tokens], not {list(input_ids.shape)}")
        if self.config.output_hidden_states or self.config.output_attentions:
            raise ValueError(NEITHER)
        if past is not None and not isinstance(past, RoutedCache):
            raise ValueError(f"past_key_values are a RoutedCache, as the model gives it, not a {type(past).__name__}")
        if labels is None:
            return
        if self.no_labels is not None:
            raise ValueError(self.no_labels)
        if labels.shape != input_ids.shape:
            raise ValueError(f"labels are as input_ids, {list(input_ids.shape)}, not {list(labels.shape)}")
        if torch.compiler.is_compiling():
            return  # a graph does not depend on values
        vocabulary = self.config.vocab_size
        other = labels[(labels != NO_TARGET) & ((labels < 0) | (labels >= vocabulary))]
        if len(other) > 0:
            raise ValueError(f"labels are from 0 to {vocabulary - 1}, or {NO_TARGET} for none, not {int(other[0])}")

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: RoutedCache | None = None,
        attention_mask: Tensor | None = None,
        use_cache: bool | None = None,
        live: dict | None = None,
        **kwargs: object,
    ) -> dict:
        """The inputs of the next step: by the causal rule, and with a cache the tokens that it has not seen."""
        for name in ("labels", "observed"):
            if kwargs.get(name) is not None:
                raise ValueError(f"generate takes no {name}: a call of the model does")
        if kwargs.get("output_hidden_states") or kwargs.get("output_attentions"):
            raise ValueError(NEITHER)
        if kwargs.get("causal") not in (None, True):
            raise ValueError("generate goes by the causal rule: not causal=False")
        if past_key_values is not None:
            whole = input_ids.shape[1] if attention_mask is None else attention_mask.shape[1]
            input_ids = input_ids[:, input_ids.shape[1] - (whole - past_key_values.get_seq_length()) :]
        elif attention_mask is not None and not bool(attention_mask[:, -1].all()):
            raise ValueError('texts go on behind their last token: pad at the left, tokenizer.padding_side = "left"')
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "past_key_values": past_key_values,
            "use_cache": use_cache,
            "causal": True,
            "live": live,
        }

    def _prepare_cache_for_generation(
        self, generation_config: GenerationConfig, model_kwargs: dict, *args: object, **kwargs: object
    ):
        self._refuse_beyond(generation_config.max_length, model_kwargs.get("attention_mask"))
        kind = generation_config.cache_implementation
        if kind is not None:
            raise ValueError(f"the model keeps a RoutedCache, and no other: not cache_implementation={kind!r}")
        return super()._prepare_cache_for_generation(generation_config, model_kwargs, *args, **kwargs)

    def _refuse_beyond(self, columns: int | None, mask: Tensor | None) -> None:
        """Before anything is generated: more tokens than a sequence of the model has. The last is no input."""
        most = getattr(self.config, "max_position_embeddings", None)
        padding = 0 if mask is None else int((mask == 0).sum(1).min())
        if most is not None and columns is not None and columns - padding > most + 1:
            raise ValueError(
                f"{columns - padding} tokens with the new ones: a sequence of the model has at most {most}, "
                "and one that is generated from them"
            )

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # the first call makes a RoutedCache

    def get_input_embeddings(self) -> nn.Module:
        raise NotImplementedError("the model's table is a parameter of its blocks, not a module of PyTorch")

    def resize_token_embeddings(self, *args: object, **kwargs: object) -> nn.Module:
        raise NotImplementedError("the sizes of the model are those it was exported with: export it with another")


@dataclass
class _Rows:
    """Where the tokens of a batch lie once those that do not exist are behind the others."""

    exists: Tensor  # bool[B, T], of the input
    order: Tensor  # i64[B, T], which token of the input comes there
    place: Tensor  # i64[B, T], where a token of the input has come
    lengths: Tensor  # i64[B]


def _next(labels: Tensor, lengths: Tensor | None) -> Tensor:
    """Of labels[B, T] of sequences that lie at the left, those of the next token of each."""
    if lengths is not None:
        beyond = torch.arange(labels.shape[1], device=labels.device) >= lengths[:, None]
        labels = labels.masked_fill(beyond, NO_TARGET)
    return F.pad(labels[:, 1:], (0, 1), value=NO_TARGET)


def _rows(mask: Tensor | None, input_ids: Tensor, past: RoutedCache | None) -> _Rows | None:
    """None where all tokens exist."""
    if mask is None:
        return None
    before = 0 if past is None else past.columns
    wanted = [input_ids.shape[0], before + input_ids.shape[1]]
    if list(mask.shape) != wanted:
        raise ValueError(f"the attention mask is {wanted}, of all tokens so far, not {list(mask.shape)}")
    exists = mask != 0
    if before > 0 and not torch.equal(exists[:, :before], past.exists.to(mask.device)):
        raise ValueError("the attention mask leaves out other tokens than when the cache saw them")
    exists = exists[:, before:]
    if bool(exists.all()):
        return None
    order = torch.argsort((~exists).to(torch.uint8), dim=1, stable=True)
    place = (exists.cumsum(1) - 1).clamp(min=0)
    return _Rows(exists, order, place, exists.sum(1))
