"""What an exported folder trains on one process and on several, on CPU: losses and gradient norms of the same steps.

python ranks.py FOLDER SCRATCH: prints them as JSON, by the way in which devices share the work.
"""

import json
import sys
from pathlib import Path

import on_cpu  # noqa: F401: FSDP2 on CPU
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.tensor import DTensor

FOLDER, SCRATCH = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(FOLDER))

import checkpoint  # noqa: E402
import model as exported  # noqa: E402
import parallelize as parallel  # noqa: E402
import training  # noqa: E402
from modc_files import read_weights  # noqa: E402
from parallelize import data_rank, make_mesh, parallelize, replicated  # noqa: E402
from pipeline import Pipeline, Stage  # noqa: E402

parallel.FSDP_ON_CPU = True  # as on_cpu has mended it
BATCH, TOKENS, MICRO = 4, 24, 2
MICRO_OF_PIPELINE = 4
STEPS = 3


def batches_of(step, vocab, rank, shares):
    """Rows of unequal lengths, whose targets are ignored on some ranks more than on others."""
    draw = torch.Generator().manual_seed(100 + step)
    rows = BATCH // shares
    made = []
    for _ in range(MICRO):
        # No token twice: a later equal token has the same score, and rounding would choose.
        tokens = torch.stack([torch.randperm(vocab, generator=draw)[:TOKENS] for _ in range(BATCH)])
        targets = torch.randint(0, vocab, (BATCH, TOKENS), generator=draw)
        lengths = torch.randint(1, TOKENS + 1, (BATCH,), generator=draw)
        targets[0, 3:] = -1
        targets[3] = -1
        own = slice(rank * rows, (rank + 1) * rows)
        made.append({"tokens": tokens[own], "targets": targets[own], "lengths": lengths[own]})
    return made


def made(mesh, job):
    stages = job.get("pipeline", 1)
    with torch.device("meta"):
        if stages == 1:
            model = getattr(exported, checkpoint.MODEL)()
        else:
            model = Stage(None, mesh["pipeline"].get_local_rank(), stages, tuple(job.get("points", ())))
    parallelize(model, mesh, recompute=job.get("recompute", False))
    model.to_empty(device="cpu")
    if stages == 1:
        whole = read_weights(FOLDER) if dist.get_rank() == 0 else {}
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    else:
        stored = read_weights(FOLDER)
        whole = {name: stored[name] for name in model.state_dict()}
        options = StateDictOptions(full_state_dict=True)
    set_model_state_dict(model, whole, options=options)
    optimizer = training.make_optimizer(model, 1e-2, 0.1, (0.9, 0.95), 1e-8)
    return model, optimizer


def rank_of(rank, name, world, job, store):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    mesh = make_mesh("cpu", world, *job["mesh"], job.get("pipeline", 1))
    model, optimizer = made(mesh, job)
    step = 0
    if "load" in job:
        step = checkpoint.load(checkpoint.checkpoints(SCRATCH / job["load"])[-1], model, optimizer).step
    trained = replicated(model, mesh)
    gradients = {}

    def keep(*_):
        if not gradients:
            gradients.update(gradients_of(model))

    optimizer.register_step_pre_hook(keep)
    pipeline = None
    if job.get("pipeline", 1) > 1:
        micro, order = job.get("micro", MICRO_OF_PIPELINE), job.get("schedule", "gpipe")
        pipeline = Pipeline(trained, optimizer, mesh, torch.device("cpu"), micro, order)
    autocast = torch.autocast("cpu", torch.bfloat16) if job.get("bf16") else None
    vocab = model.args.vocab
    answers = []
    for at in range(step, step + STEPS):
        batches = batches_of(at, vocab, *data_rank(mesh))
        if pipeline:
            losses, norm = pipeline.train_step(batches, clip=0.5)
        else:
            losses, norm = training.train_step(trained, optimizer, batches, clip=0.5, autocast=autocast)
        own = {name: values.tolist() for name, values in checkpoint._states(model).items()}
        of_ranks = [None] * world
        dist.all_gather_object(of_ranks, own)
        states = {name: values for states in of_ranks for name, values in states.items()}
        answers.append({"losses": losses, "norm": norm, "states": states})
    evaluated = {}
    for causal in (False, True):
        held_out = batches_of(1000, vocab, *data_rank(mesh))
        rule = "causal" if causal else "top-k"
        evaluated[rule] = (
            pipeline.evaluate(held_out, causal) if pipeline else training.evaluate(trained, held_out, causal, autocast)
        )
    torch.save(gradients, SCRATCH / f"{name}-{rank}.pt")
    if "save" in job:
        checkpoint.save(SCRATCH / job["save"], model, optimizer, checkpoint.Progress(step + STEPS, 0, 7, {}), keep=2)
    if rank == 0:
        (SCRATCH / f"{name}.json").write_text(json.dumps({"steps": answers, "evaluated": evaluated, "held": held(model)}))
    dist.destroy_process_group()


def held(model):
    """How many numbers of weights this rank has."""
    return sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in model.parameters())


def gradients_of(model):
    """Those of this rank's stage, whole."""
    found = {}
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        if gradient is None:
            continue
        found[training.plain(name)] = gradient.full_tensor() if isinstance(gradient, DTensor) else gradient.clone()
    return found


def difference(name, like, world):
    """Of all gradients of the first step from those of another way, by the largest of each."""
    own, due = ({}, {})
    for found, way, ranks in ((own, name, world), (due, like, 1)):
        for rank in range(ranks):
            found |= torch.load(SCRATCH / f"{way}-{rank}.pt")
    if own.keys() != due.keys():
        return f"gradients of {sorted(own.keys() ^ due.keys())}"
    return max(((own[key] - due[key]).abs().max() / due[key].abs().max().clamp(min=1e-6)).item() for key in due)


def trained(name, job):
    """Under load gloo sometimes fails to connect its processes, before anything else: then they are started again."""
    for attempt in range(5):
        store = SCRATCH / f"{name}-{attempt}.store"
        try:
            processes.start_processes(
                rank_of, args=(name, job["world"], job, store), nprocs=job["world"], start_method="fork"
            )
        except processes.ProcessRaisedException as fault:
            if "connectFullMesh failed" not in str(fault) or attempt == 4:
                raise
        else:
            answer = json.loads((SCRATCH / f"{name}.json").read_text())
            return answer | {"gradients": difference(name, job.get("like", "one"), job["world"])}


def main():
    jobs = json.loads(sys.stdin.read())
    print(json.dumps({name: trained(name, job) for name, job in jobs.items()}))


main()
