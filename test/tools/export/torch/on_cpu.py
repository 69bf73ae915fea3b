"""Runs a script of an exported folder under gloo on CPU: python on_cpu.py RANKS script.py [arguments].

PyTorch 2.6 has FSDP2 for CUDA only. What it lacks on CPU is mended here, for tests alone. It starts the ranks itself, as
Debian's torchrun does not without libuv.
"""

import importlib
import os
import runpy
import socket
import sys
from pathlib import Path

import torch
import torch.distributed.fsdp._fully_shard._fsdp_collectives as collectives
import torch.distributed.fsdp._fully_shard._fsdp_param_group as group
import torch.distributed.pipelining.schedules as schedules

# A stream of the CPU has no events.
if not hasattr(torch.cpu.Stream, "record_event"):
    torch.cpu.Stream.record_event = lambda self, event=None: event or torch.cpu.Event()
    torch.cpu.Stream.wait_event = lambda self, event: None

    # Copying gathered parameters counts as a change of the parameters (pytorch/pytorch#132014).
    copy_out = group.foreach_all_gather_copy_out

    def kept(result, params, process_group):
        before = [(t, t._version) for p in params for t in p.all_gather_outputs]
        copy_out(result, params, process_group)
        for t, version in before:
            torch._C._autograd._unsafe_set_version_counter(t, version)

    group.foreach_all_gather_copy_out = kept

    # gloo's reduce_scatter gives the sum for the mean, silently: sum, then divide.
    def factors(scatter, reduce, dtype):
        return 1.0, float(scatter.size() * (1 if reduce is None else reduce.size()))

    collectives._get_gradient_divide_factors = factors


# What several sends and receives at once give back waits for the last alone, which is for all only under NCCL.
class Works:
    def __init__(self, works):
        self.works = works

    def wait(self):
        for work in self.works:
            work.wait()


def batched(operations, desc=None):
    return Works(torch.distributed.batch_isend_irecv(operations)) if operations else None


schedules._batch_p2p = batched


def rank_of(rank, ranks, port, script, arguments):
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "USE_LIBUV": "0"}
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    importlib.import_module("parallelize").FSDP_ON_CPU = True
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        os._exit(ended.code or 0)  # spawn has no word for it


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


if __name__ == "__main__":
    args = (int(sys.argv[1]), free_port(), sys.argv[2], sys.argv[3:])
    torch.multiprocessing.start_processes(rank_of, args=args, nprocs=args[0], start_method="fork")
