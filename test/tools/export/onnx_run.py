"""What exported graphs are and compute: by ONNX's checker, and by its runtime on one thread of the processor."""

import onnx
import onnxruntime
import numpy

TYPES = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64, "tensor(bool)": numpy.bool_}


def tensor(given, kind):
    data = numpy.array([float(x) if isinstance(x, str) else x for x in given["data"]])
    return data.astype(TYPES[kind]).reshape(given["shape"])


def shown(x):
    data = x.astype(numpy.float64) if x.dtype == numpy.float32 else x
    return {"shape": list(x.shape), "data": [str(v) if v != v or v in (INF, -INF) else v for v in data.ravel().tolist()]}


INF = float("inf")


def opened(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def answer(job):
    onnx.checker.check_model(job["path"], full_check=True)
    model = onnx.load(job["path"], load_external_data=False)
    session = opened(job["path"])
    names = [output.name for output in session.get_outputs()]
    kinds = {x.name: x.type for x in [*session.get_inputs(), *session.get_overridable_initializers()]}

    def run(given):
        inputs = {name: tensor(x, kinds[name]) for name, x in given.items()}
        return {name: shown(x) for name, x in zip(names, session.run(None, inputs))}

    return {
        "domains": sorted({node.domain for node in model.graph.node}),
        "opsets": [[o.domain, o.version] for o in model.opset_import],
        "operators": sorted({node.op_type for node in model.graph.node}),
        "nodes": len(model.graph.node),
        "metadata": {p.key: p.value for p in model.metadata_props},
        "producer": model.producer_name,
        "doc": model.doc_string,
        "runs": [run(given) for given in job.get("runs", [])],
        "tried": [tried(run, given) for given in job.get("tries", [])],
        "generated": generated(session, job["generate"]) if "generate" in job else None,
    }


def tried(run, given):
    """The results of a run that the runtime may refuse, or its reason."""
    try:
        return {"results": run(given)}
    except Exception as reason:
        return {"refused": str(reason)}


def generated(session, given):
    """Reads a prompt, then tokens one by one: given ones, or the likeliest; gives logits, and the rows of the caches."""
    batch = given["batch"]
    past = {
        x.name: numpy.zeros(
            [batch if i == 0 else size if isinstance(size, int) else 0 for i, size in enumerate(x.shape)],
            TYPES[x.type],
        )
        for x in session.get_inputs()
        if x.name.startswith("past.")
    }
    names = [output.name for output in session.get_outputs()]
    tokens = numpy.array(given["tokens"], numpy.int64).reshape(batch, -1)
    logits = []
    read = 0
    for step, n in enumerate(given["steps"]):
        inputs = {given["input"]: tokens[:, read : read + n], **past}
        if "lengths" in given:
            inputs["lengths"] = numpy.array(given["lengths"][step], numpy.int64)
        out = dict(zip(names, session.run(None, inputs)))
        past = {name.replace("present", "past", 1): x for name, x in out.items() if name.startswith("present.")}
        read += n
        last = out[given["output"]]
        logits.append(last.ravel().tolist())
        if read == tokens.shape[1] and step + 1 < len(given["steps"]):
            tokens = numpy.concatenate([tokens, last[:, -1].argmax(-1)[:, None]], 1)
    rows = {name: (x >= 0).sum(1).tolist() for name, x in past.items() if name.endswith("positions")}
    return {"logits": logits, "tokens": tokens.tolist(), "rows": rows, "length": past["past.length"].tolist()}
