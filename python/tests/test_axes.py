"""Rows of sequences and choices of tokens, held against plain Python."""

import math
from fractions import Fraction

import pytest
import torch

import modc_torch as mt


def padded(lengths, tokens):
    return mt.rows(torch.zeros(len(lengths), tokens), torch.tensor(lengths))


@pytest.mark.parametrize("fn, plain", [("sum", sum), ("max", max), ("min", min), ("mean", lambda x: sum(x) / len(x))])
def test_reductions_read_existing_tokens_only(fn, plain):
    torch.manual_seed(1)
    x, lengths = torch.randn(3, 5, dtype=torch.float64), [5, 3, 1]
    found = getattr(mt, fn)(x, padded(lengths, 5))
    due = [plain(row[:n]) for row, n in zip(x.tolist(), lengths)]
    assert found.tolist() == pytest.approx(due)


@pytest.mark.parametrize("valid", [None, torch.ones(2, 0, dtype=torch.bool)])
def test_a_route_that_no_token_takes_gives_zeros(valid):
    x, axis = torch.ones(2, 0, 3), mt.Axis(torch.zeros(2, 0, dtype=torch.int64), valid)
    for fn in (mt.sum, mt.mean, mt.var, mt.max, mt.min):
        assert fn(x, axis).tolist() == [[0.0] * 3] * 2
    assert mt.max(x, axis, keepdim=True, dims=(1, 2)).tolist() == [[[0.0]], [[0.0]]]
    assert mt.token(x, axis, 0).tolist() == mt.token(x, axis, -1).tolist() == [[0.0] * 3] * 2
    assert mt.count(mt.Route(axis.positions, axis)).tolist() == [0, 0]
    queries, k = mt.rows(torch.ones(2, 3), None), torch.ones(2, 1, 0, 4)
    for weights in (None, torch.ones(2, 0)):
        y = mt.attention(torch.ones(2, 1, 3, 4), k, k, queries, axis, weights=weights)
        assert y.shape == (2, 1, 3, 4) and not y.any()


def test_top_takes_the_earlier_of_equal_scores_and_nan_last():
    nan, inf = math.nan, math.inf
    score = torch.tensor([[nan, -inf], [-inf, nan], [nan, 1.0], [nan, nan], [0.0, -0.0]])
    axis = mt.rows(score, None)
    exists = torch.ones_like(score, dtype=torch.bool)
    one = torch.tensor([True, False]).expand_as(exists)
    for own, due in ((axis, [1, 0, 1, 0, 0]), (axis._replace(valid=exists), [1, 0, 1, 0, 0])):
        assert mt.top(score, own, lambda n: 1).index.flatten().tolist() == due
    assert mt.top(score, axis._replace(valid=one), lambda n: 1).index.flatten().tolist() == [0] * 5


def test_take_and_put_move_the_chosen_tokens():
    x = torch.arange(8.0).reshape(1, 4, 2)
    route = mt.top(torch.tensor([[0.1, 3.0, 0.2, 2.0]]), mt.rows(x, None), lambda n: 2)
    taken = mt.take(x, route)
    assert taken.tolist() == [[[2.0, 3.0], [6.0, 7.0]]]
    assert mt.put(x, route, 10 * torch.ones_like(taken)).tolist() == [[[0, 1], [12, 13], [4, 5], [16, 17]]]


@pytest.mark.parametrize("share", [Fraction(1, 8), Fraction(1, 3), Fraction(-5, 2)])
def test_sizes_are_exact(share):
    for n in range(40):
        assert mt.floor_of(share, n) == math.floor(share * n)
        assert mt.ceil_of(share, n, Fraction(1, 7)) == math.ceil(share * n + Fraction(1, 7))
        nearest = math.copysign(math.floor(abs(share * n) + Fraction(1, 2)), share * n)
        assert mt.round_of(share, n) == nearest


def test_join_and_span_keep_the_order_of_tokens():
    x, y = torch.tensor([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    joined, axis = mt.join((x, y), (padded([3, 1], 3), mt.rows(y, None)))
    assert mt.lengths_of(axis).tolist() == [5, 3]
    assert joined[0].tolist() == [1, 2, 3, 5, 6] and joined[1, :3].tolist() == [4, 7, 8]
    last, axis = mt.span(joined, axis, -2, None)
    assert mt.lengths_of(axis).tolist() == [2, 2] and last[:, :2].tolist() == [[5, 6], [7, 8]]


@pytest.mark.parametrize("lengths, message", [
    ([1, 2], "lengths are a tensor of one number for each of the 2 sequences"),
    (torch.tensor([0.5, 5.0]), "lengths are integers"),
    (torch.tensor([-1, 5]), "lengths are from 0 to 5"),
])  # fmt: skip
def test_rows_refuses_lengths(lengths, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        mt.rows(torch.zeros(2, 5), lengths)
