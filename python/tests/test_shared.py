"""Experts, losses, caches and files of weights."""

import pytest
import torch
import torch.nn.functional as F

import modc_files as files
import modc_torch as mt


def test_rows_of_experts_come_back_to_their_tokens():
    torch.manual_seed(2)
    x, score = torch.randn(2, 5, 4), torch.randn(2, 5, 3)
    weight = torch.randn(3, 6, 4)
    axis = mt.rows(x, torch.tensor([5, 3]))
    chosen = mt.top_entries(score, 2)
    entries = mt.sort_entries(chosen, axis, 3)
    found = mt.unsorted(mt.expert_linear(mt.rows_of(x, entries), weight, entries), entries)
    for b, length in enumerate((5, 3)):
        for t in range(5):
            for k in range(2):
                due = weight[chosen[b, t, k]] @ x[b, t] if t < length else torch.zeros(6)
                torch.testing.assert_close(found[b, t, k], due)


def test_cross_entropy_is_a_mean_over_targets_that_count():
    torch.manual_seed(3)
    logits, targets = torch.randn(2, 4, 7), torch.tensor([[1, -1, 3, 0], [6, 2, 5, 5]])
    axis = mt.rows(targets, torch.tensor([4, 2]))
    counted = [(0, 0), (0, 2), (0, 3), (1, 0), (1, 1)]
    due = sum(F.cross_entropy(logits[b, t], targets[b, t]) for b, t in counted) / len(counted)
    torch.testing.assert_close(mt.cross_entropy(logits, targets, axis), due)
    with pytest.raises(RuntimeError, match="targets are below 7, the classes of the logits"):
        mt.cross_entropy(logits, targets + 1, axis)


def test_log_probability_is_that_of_each_target():
    torch.manual_seed(3)
    logits, targets = torch.randn(2, 4, 7), torch.tensor([[1, -1, 3, 0], [6, 2, 9, 9]])
    axis = mt.rows(targets, torch.tensor([4, 2]))
    found = mt.log_probability(logits, targets, axis)
    for b, t in [(0, 0), (0, 2), (0, 3), (1, 0), (1, 1)]:
        torch.testing.assert_close(found[b, t], logits[b, t].log_softmax(-1)[targets[b, t]])
    assert found[0, 1] == 0
    with pytest.raises(RuntimeError, match="targets are below 7, the classes of the logits"):
        mt.log_probability(logits, targets + 1, axis)


def test_attention_with_caches_is_that_of_the_whole_sequence():
    torch.manual_seed(4)
    q, k, v = (torch.randn(2, 3, 6, 4) for _ in range(3))
    whole = mt.attention(q, k, v, mt.rows(torch.zeros(2, 6), None), causal=True)
    caches, parts = mt.Caches(), []
    for start, end in ((0, 3), (3, 4), (4, 6)):
        axis = mt.rows(torch.zeros(2, end - start), None, caches)
        parts.append(mt.attention(*(x[:, :, start:end] for x in (q, k, v)), axis, causal=True))
    torch.testing.assert_close(torch.cat(parts, 2), whole)


def test_weights_in_a_file_come_back_and_experts_have_their_own_keys(tmp_path):
    tensors = {"experts.w": torch.randn(2, 3), "norm": torch.randn(5), "count": torch.tensor(7, dtype=torch.int32)}
    table = {"experts.w": ["e.0.w", "e.1.w"], "norm": "final_norm"}
    apart = files.keyed(tensors, table)
    assert sorted(apart) == ["count", "e.0.w", "e.1.w", "final_norm"]
    files.write_safetensors(tmp_path / "x.safetensors", apart)
    back = files.named(files.read_safetensors(tmp_path / "x.safetensors"), table)
    assert sorted(back) == sorted(tensors)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    del apart["e.1.w"]
    with pytest.raises(ValueError, match="the weights have no e.1.w"):
        files.named(apart, table)
