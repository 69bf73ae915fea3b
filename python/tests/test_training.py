"""Training on one device: data, settings, rates, steps, checkpoints, and the division of linear maps."""

import pytest
import torch

import checkpoint
import data
import model
import parallelize
import settings
import train
import training


def batch_of(rows, seed=5):
    torch.manual_seed(seed)
    tokens = torch.stack([torch.randperm(64)[:12] for _ in range(rows)])
    return {"tokens": tokens, "targets": tokens.roll(-1, 1)}


def test_an_epoch_reads_each_window_once():
    windows = data.Windows(tokens=103, context=8, seed=3, held_out=0.1)
    position = data.Position()
    _, count = windows._epoch(0)
    offsets = [windows.next(data.Position(0, i), 1)[0][0] for i in range(count)]
    assert len(set(offsets)) == count and max(offsets) + 9 <= windows.boundary
    together, position = windows.next(position, 5)
    assert together == offsets[:5] and position == data.Position(0, 5)


@pytest.mark.parametrize("given, message", [
    ({"lr": 0.0}, "--lr is 0.0: it is above 0"),
    ({"batch": 0}, "--batch is 0: it is at least 1"),
    ({"schedule": "constant", "min_lr": 1e-4}, "--min-lr has no effect"),
    ({"live": "capacity=25%"}, "the model has no live parameter 'capacity'"),
])  # fmt: skip
def test_settings_that_no_run_can_have_are_refused(given, message):
    with pytest.raises(settings.SettingsError, match=message):
        settings.settled(given, None)


def test_settings_depend_on_each_other():
    settled = settings.settled({"steps": 50, "lr": 0.1}, None)
    assert (settled["warmup"], settled["min_lr"], settled["decay"]) == (5, 0.01, 10)


def test_the_learning_rate_rises_then_falls():
    rates = [training.learning_rate(step, "cosine", 1.0, 0.1, 4, 20, 0) for step in range(20)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0] and rates[-1] == pytest.approx(0.1)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_parts_of_a_batch_make_the_step_of_the_whole():
    states = []
    for parts in (1, 2):
        torch.manual_seed(6)
        own = model.Model()
        optimizer = training.make_optimizer(own, 1e-2, 0.1, (0.9, 0.95), 1e-8)
        whole = batch_of(4)
        rows = 4 // parts
        batches = [{name: x[i : i + rows] for name, x in whole.items()} for i in range(0, 4, rows)]
        losses, norm = training.train_step(own, optimizer, batches, clip=0.5)
        states.append((losses["next_token"], norm, own.head.weight.detach().clone()))
    (loss, norm, weight), (like, other, again) = states
    assert loss == pytest.approx(like, abs=1e-6) and norm == pytest.approx(other, abs=1e-6)
    torch.testing.assert_close(weight, again, atol=1e-6, rtol=0)


def test_a_step_whose_norm_is_not_finite_changes_nothing():
    own = model.Model()
    optimizer = training.make_optimizer(own, 1e-2, 0.1, (0.9, 0.95), 1e-8)
    own.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = {name: values.clone() for name, values in own.state_dict().items()}
    training.train_step(own, optimizer, [batch_of(2)])
    assert all(torch.equal(values, before[name]) for name, values in own.state_dict().items())


def test_validation_computes_in_the_type_of_training():
    class Watching(torch.nn.Module):
        def forward(self, tokens, causal):
            return {"l": ((torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16) * torch.ones(())}

    batches = [{"tokens": torch.zeros(2, 3, dtype=torch.int64)}]
    contexts = (None, torch.autocast("cpu", torch.bfloat16))
    assert [training.evaluate(Watching(), batches, False, autocast=context) for context in contexts] == [0, 1]


def test_ranks_and_resumed_runs_draw_other_numbers():
    seeds = {training.dropout_seed(7, step, share, 2) for step in (0, 1, 2) for share in (0, 1)}
    assert len(seeds) == 6


def test_a_checkpoint_begins_in_an_empty_folder(tmp_path):
    folder = tmp_path / ".new-step"
    folder.mkdir()
    (folder / "half").write_text("")
    checkpoint._emptied(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name, plan, size, message", [
    ("q", ("columns", 64), (8, 128), "q has 2 heads of 64 columns: 4 devices cannot share them out"),
    ("up", ("columns", 1), (8, 6), "up has 6 columns: 4 devices cannot share them out"),
    ("o", ("rows", 64), (128, 8), "o has 2 heads of 64 rows: 4 devices cannot share them out"),
])  # fmt: skip
def test_whole_heads_are_divided(monkeypatch, name, plan, size, message):
    class Mesh:
        def size(self):
            return 4

    monkeypatch.setattr(parallelize, "PLAN", {name: plan})
    with pytest.raises(ValueError, match=message):
        parallelize.apply_tp(torch.nn.ModuleDict({name: torch.nn.Linear(*size)}), Mesh())


def test_a_run_trains_validates_and_goes_on(tmp_path, capsys):
    (tmp_path / "tokens.bin").write_bytes(bytes(i * 7 % 61 for i in range(600)))
    words = ["--data", tmp_path / "tokens.bin", "--output", tmp_path / "run", "--device", "cpu", "--length", "16"]
    more = ["--batch", "2", "--validate-every", "2", "--windows", "2"]
    given = [str(word) for word in (*words, *more)]
    assert train.main([*given, "--steps", "2"]) == 0
    assert train.main([*given, "--steps", "4", "--resume"]) == 0
    assert [path.name for path in checkpoint.checkpoints(tmp_path / "run")] == ["step-00000002", "step-00000004"]
    assert train.main([*given, "--steps", "4"]) == 1
    assert "holds a run already: --resume goes on with it" in capsys.readouterr().err
