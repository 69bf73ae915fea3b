"""Greedy generation, in the steps in which transformers take it."""

import torch


class GenerationConfig:
    pass


class _Settings:
    cache_implementation = None

    def __init__(self, max_length):
        self.max_length = max_length


class GenerationMixin:
    def _prepare_cache_for_generation(self, *args, **kwargs):
        pass

    def generate(self, input_ids, attention_mask=None, max_new_tokens=20, do_sample=False, use_cache=True, pad_token_id=None, **kwargs):
        past = None
        self._prepare_cache_for_generation(_Settings(input_ids.shape[1] + max_new_tokens), {"attention_mask": attention_mask})
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        for _ in range(max_new_tokens):
            inputs = self.prepare_inputs_for_generation(
                input_ids, past_key_values=past, attention_mask=mask, use_cache=use_cache, **kwargs
            )
            with torch.no_grad():
                output = self(**inputs, return_dict=True)
            past = output.past_key_values
            input_ids = torch.cat((input_ids, output.logits[:, -1:].argmax(-1)), 1)
            mask = torch.cat((mask, torch.ones_like(mask[:, :1])), 1)
        return input_ids
