# Writes GGUF files of Hugging Face's checkpoint folders, from the format's public description and that of llama.cpp's
# names: a separate account, which shares no code with modc's reader. Standard input has a list of jobs: {"folder",
# "output", "type": F32 | F16 | BF16 | Q8_0 | Q4_0, "version": 2 | 3, "keys": [[key, kind, value], …]}. Without a folder
# it is a file of keys alone, such as a vocabulary.
import json
import math
import os
import struct
import sys

from architectures import CONVERTERS

KINDS = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "str": 8, "u64": 10, "i64": 11, "f64": 12}
PACKED = {"u8": "<B", "i8": "<b", "u16": "<H", "i16": "<h", "u32": "<I", "i32": "<i", "f32": "<f", "bool": "<?", "u64": "<Q", "i64": "<q", "f64": "<d"}
TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "BF16": 30}
ALIGNMENT = 32


def text(value):
    encoded = value.encode("utf-8")
    return struct.pack("<Q", len(encoded)) + encoded


def scalar(kind, value):
    return text(value) if kind == "str" else struct.pack(PACKED[kind], value)


def key_value(name, kind, value):
    """A kind such as str[] is a list."""
    head = text(name)
    if not kind.endswith("[]"):
        return head + struct.pack("<I", KINDS[kind]) + scalar(kind, value)
    kind = kind[:-2]
    return head + struct.pack("<IIQ", 9, KINDS[kind], len(value)) + b"".join(scalar(kind, v) for v in value)


# --- the checkpoint


def tensors_of(folder):
    """Shapes, and values as lists, of all safetensors of a folder."""
    found = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            raw = file.read()
        size = struct.unpack("<Q", raw[:8])[0]
        header = json.loads(raw[8 : 8 + size])
        header.pop("__metadata__", None)
        for key, entry in header.items():
            begin, end = entry["data_offsets"]
            data = raw[8 + size + begin : 8 + size + end]
            if entry["dtype"] == "F32":
                values = struct.unpack("<%df" % (len(data) // 4), data)
            elif entry["dtype"] == "F16":
                values = struct.unpack("<%de" % (len(data) // 2), data)
            else:  # BF16: the upper half of an f32
                halves = struct.unpack("<%dH" % (len(data) // 2), data)
                values = struct.unpack("<%df" % len(halves), struct.pack("<%dI" % len(halves), *(h << 16 for h in halves)))
            found[key] = (entry["shape"], list(values))
    return found


def interleaved(values, shape, heads):
    """Rows i and i + half of each head become its rows 2i and 2i + 1, as llama.cpp rotates them."""
    row = 1 if len(shape) == 1 else shape[1]
    width = shape[0] // heads
    out = []
    for head in range(heads):
        for i in range(width // 2):
            for half in range(2):
                at = (head * width + half * width // 2 + i) * row
                out.extend(values[at : at + row])
    return out


NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def name_of(key):
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if key in whole:
        return whole[key]
    _, _, layer, rest = key.split(".", 3)
    inner, kind = rest.rsplit(".", 1)
    return "blk.%s.%s.%s" % (layer, NAMES[inner], kind)


# --- values as bytes


def f16(value):
    return struct.pack("<e", value)


def rounded(value):
    """To the nearest f32."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def away(value):
    """To the nearest whole number, halves away from zero."""
    return int(math.floor(value + 0.5)) if value >= 0 else -int(math.floor(-value + 0.5))


def q8_0(block):
    d = rounded(max(abs(v) for v in block) / 127)
    inverse = rounded(1 / d) if d else 0.0
    return f16(d) + struct.pack("<32b", *(away(rounded(v * inverse)) for v in block))


def q4_0(block):
    extreme = max(block, key=abs)
    d = rounded(extreme / -8)
    inverse = rounded(1 / d) if d else 0.0
    q = [min(15, int(rounded(v * inverse) + 8.5)) for v in block]
    return f16(d) + bytes(q[i] | q[i + 16] << 4 for i in range(16))


def data_of(values, shape, kind):
    """The type that is written, and the bytes: vectors stay f32, and rows that are no whole blocks become f16."""
    if len(shape) == 1:
        kind = "F32"
    elif kind in ("Q8_0", "Q4_0") and shape[-1] % 32:
        kind = "F16"
    if kind == "F32":
        return kind, struct.pack("<%df" % len(values), *values)
    if kind == "F16":
        return kind, struct.pack("<%de" % len(values), *values)
    if kind == "BF16":
        words = struct.unpack("<%dI" % len(values), struct.pack("<%df" % len(values), *values))
        return kind, struct.pack("<%dH" % len(words), *((w + 0x7FFF + (w >> 16 & 1)) >> 16 for w in words))
    block = q8_0 if kind == "Q8_0" else q4_0
    return kind, b"".join(block(values[i : i + 32]) for i in range(0, len(values), 32))


# --- what the configuration says


def rope_factors(config, scaling):
    """Factors by which Llama 3 divides the frequency of each pair."""
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    theta = scaling.get("rope_theta", config.get("rope_theta", 10000.0))
    old = scaling["original_max_position_embeddings"]
    low, high, factor = scaling["low_freq_factor"], scaling["high_freq_factor"], scaling["factor"]
    factors = []
    for i in range(width // 2):
        wave = 2 * math.pi * theta ** (2 * i / width)
        if wave < old / high:
            factors.append(1.0)
        elif wave > old / low:
            factors.append(factor)
        else:
            smooth = (old / wave - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def metadata_of(config):
    arch = {"mistral": "llama"}.get(config["model_type"], config["model_type"])
    heads = config["num_attention_heads"]
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    p = arch + "."
    keys = [
        ["general.architecture", "str", arch],
        ["general.name", "str", "test"],
        ["general.quantization_version", "u32", 2],
        [p + "context_length", "u32", config["max_position_embeddings"]],
        [p + "embedding_length", "u32", config["hidden_size"]],
        [p + "block_count", "u32", config["num_hidden_layers"]],
        [p + "feed_forward_length", "u32", config["intermediate_size"]],
        [p + "attention.head_count", "u32", heads],
        [p + "attention.head_count_kv", "u32", config["num_key_value_heads"]],
        [p + "attention.layer_norm_rms_epsilon", "f32", config["rms_norm_eps"]],
        [p + "rope.freq_base", "f32", scaling.get("rope_theta", config.get("rope_theta", 10000.0))],
        [p + "rope.dimension_count", "u32", config.get("head_dim") or config["hidden_size"] // heads],
        [p + "vocab_size", "u32", config["vocab_size"]],
    ]
    if "head_dim" in config:
        keys += [[p + "attention.key_length", "u32", config["head_dim"]], [p + "attention.value_length", "u32", config["head_dim"]]]
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind in ("linear", "yarn"):
        keys += [[p + "rope.scaling.type", "str", kind], [p + "rope.scaling.factor", "f32", scaling["factor"]]]
    if kind == "yarn":
        keys += [[p + "rope.scaling.original_context_length", "u32", scaling["original_max_position_embeddings"]]]
        if "beta_fast" in scaling:
            keys += [[p + "rope.scaling.yarn_beta_fast", "f32", scaling["beta_fast"]]]
    return arch, keys, rope_factors(config, scaling) if kind == "llama3" else None


def model_of(job):
    """Keys and tensors of a folder."""
    with open(os.path.join(job["folder"], "config.json")) as file:
        config = json.load(file)
    if config["model_type"] in CONVERTERS:
        keys, converted = CONVERTERS[config["model_type"]](config, tensors_of(job["folder"]))
        return keys, [(name, shape, *data_of(values, shape, job["type"])) for name, (shape, values) in converted.items()]
    arch, keys, factors = metadata_of(config)
    tensors = []
    for key, (shape, values) in tensors_of(job["folder"]).items():
        name = name_of(key)
        if arch == "llama" and ".attn_q." in name:
            values = interleaved(values, shape, config["num_attention_heads"])
        if arch == "llama" and ".attn_k." in name:
            values = interleaved(values, shape, config["num_key_value_heads"])
        tensors.append((name, shape, *data_of(values, shape, job["type"])))
    if factors:
        tensors.append(("rope_freqs.weight", [len(factors)], *data_of(factors, [len(factors)], "F32")))
    return keys, tensors


def write(job):
    keys, tensors = model_of(job) if "folder" in job else ([], [])
    keys = keys + job.get("keys", [])
    head = b"GGUF" + struct.pack("<IQQ", job.get("version", 3), len(tensors), len(keys))
    head += b"".join(key_value(*key) for key in keys)
    data = b""
    for name, shape, kind, values in tensors:
        head += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in reversed(shape))
        head += struct.pack("<IQ", TYPES[kind], len(data))
        data += values + bytes(-len(values) % ALIGNMENT)
    with open(job["output"], "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT) + data)


for job in json.load(sys.stdin):
    write(job)
