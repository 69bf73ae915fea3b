"""The memory of a step: terms that can be computed by hand, and their laws."""

import json

import pytest

import memory
import model


def counted(capsys, *words):
    assert memory.main(["--device", "cpu", "--json", "--length", "32", *words]) == 0
    return json.loads(capsys.readouterr().out)


PARAMETERS = sum(p.numel() for p in model.Model().parameters())


def test_terms_are_those_of_the_model(capsys):
    terms = counted(capsys, "--batch", "4")
    assert terms["parameters"] == 4 * PARAMETERS
    steps = 4 * len(list(model.Model().parameters()))
    assert terms["moments"] == 8 * PARAMETERS + steps
    assert terms["other"] == 2 * 4 * 32 * 8  # tokens and targets
    assert terms["total"] == sum(count for term, count in terms.items() if term != "total")


def test_activations_grow_with_the_batch_and_shrink_with_recomputation(capsys):
    totals = [counted(capsys, "--batch", str(batch))["total"] for batch in (8, 16, 32)]
    assert totals == sorted(totals) and totals[2] - totals[1] == pytest.approx(2 * (totals[1] - totals[0]), rel=0.01)
    assert counted(capsys, "--batch", "32", "--recompute")["total"] < totals[2]
    assert counted(capsys, "--batch", "32", "--precision", "bf16")["total"] < totals[2]


def test_devices_share_the_sequences_and_fsdp_the_parameters(capsys):
    alone = counted(capsys, "--batch", "4")
    shared = counted(capsys, "--batch", "8", "--shard", "2")
    assert shared["parameters"] == pytest.approx(alone["parameters"] / 2, rel=0.01) and shared["gathered"] > 0
    replica = counted(capsys, "--batch", "8", "--replicate", "2")
    assert replica["parameters"] == alone["parameters"] and replica["gradients"] == 4 * PARAMETERS


@pytest.mark.parametrize("words, message", [
    (["--batch", "3", "--replicate", "2"], "--batch 3 cannot be shared out among 2 devices: give a multiple"),
])  # fmt: skip
def test_refuses(capsys, words, message):
    assert memory.main(["--device", "cpu", *words]) == 2
    assert message in capsys.readouterr().err


def test_prints_each_term(capsys):
    assert memory.main(["--device", "cpu", "--batch", "2", "--length", "16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 sequences of 16 tokens on 1 device(s), with the kernels of a CPU"
    assert [line.split()[0] for line in lines[1:]] == [*memory.TERMS, "total"]
