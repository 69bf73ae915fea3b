"""Answers the jobs of tests in PyTorch, 64-bit floats, so that one process imports it for all of them.

Each line of standard input is JSON: the path of a script, and jobs for its function `answer`. A line of JSON replies:
the answers, or what went wrong.
"""

import importlib.util
import json
import sys
import traceback

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

scripts = {}


def script(path):
    if path not in scripts:
        spec = importlib.util.spec_from_file_location(f"script{len(scripts)}", path)
        scripts[path] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(scripts[path])
    return scripts[path]


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = script(request["script"]).answer
        reply = {"answers": [answer(job) for job in request["jobs"]]}
    except Exception:
        reply = {"error": traceback.format_exc()}
    print(json.dumps(reply), flush=True)
