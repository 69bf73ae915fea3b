"""Answers the jobs of tests, so that one process imports what they need for all of them.

Each line of standard input is JSON: the path of a script, and jobs for its function `answer`. A line of JSON replies:
the answers, or what went wrong.
"""

import importlib.util
import json
import sys
import traceback

scripts = {}


def script(path):
    if path not in scripts:
        spec = importlib.util.spec_from_file_location(f"script{len(scripts)}", path)
        scripts[path] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(scripts[path])
    return scripts[path]


def serve():
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = script(request["script"]).answer
            # JSON has no NaN: an answer that contains NaN fails here with a message.
            reply = json.dumps({"answers": [answer(job) for job in request["jobs"]]}, allow_nan=False)
        except Exception:
            reply = json.dumps({"error": traceback.format_exc()})
        print(reply, flush=True)
