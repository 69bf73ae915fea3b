# Turns Hugging Face's folders of further families into keys and tensors of GGUF files, as llama.cpp's converter does:
# from its public description of names and from its published behaviour, an account that shares no code with modc's.
# A tensor is (shape, values), its values a flat list.


import math


def first(config, *names):
    """The first field that is there."""
    return next((config[name] for name in names if config.get(name) is not None), None)


def usual_keys(arch, c):
    """Keys that most families have."""
    dim, heads = first(c, "hidden_size", "n_embd"), first(c, "num_attention_heads", "n_head")
    values = [
        ["context_length", "u32", first(c, "max_position_embeddings", "n_positions", "seq_length")],
        ["embedding_length", "u32", dim],
        ["block_count", "u32", first(c, "num_hidden_layers", "n_layer")],
        ["feed_forward_length", "u32", first(c, "intermediate_size", "n_inner") or 4 * dim],
        ["attention.head_count", "u32", heads],
        ["attention.head_count_kv", "u32", first(c, "num_key_value_heads") or heads],
    ]
    if "rms_norm_eps" in c:
        values.append(["attention.layer_norm_rms_epsilon", "f32", c["rms_norm_eps"]])
    if first(c, "layer_norm_eps", "layer_norm_epsilon") is not None:
        values.append(["attention.layer_norm_epsilon", "f32", first(c, "layer_norm_eps", "layer_norm_epsilon")])
    if "rope_theta" in c:
        values.append(["rope.freq_base", "f32", c["rope_theta"]])
    if "head_dim" in c:
        values += [["attention.key_length", "u32", c["head_dim"]], ["attention.value_length", "u32", c["head_dim"]]]
    return [["general.architecture", "str", arch], *([f"{arch}.{name}", kind, value] for name, kind, value in values)]


LLAMA_PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
LLAMA_WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def renamed(tensors, parts, whole=LLAMA_WHOLE, layers="model.layers."):
    """Tensors under GGUF's names."""
    found = {}
    for key, tensor in tensors.items():
        inner, kind = key.rsplit(".", 1)
        if inner in whole:
            name = whole[inner]
        else:
            assert inner.startswith(layers), key
            layer, part = inner[len(layers) :].split(".", 1)
            name = f"blk.{layer}.{parts[part]}"
        found[f"{name}.{kind}"] = tensor
    return found


def with_one(tensors):
    """Norms' weights with 1 added."""
    return {
        name: (shape, [value + 1 for value in values] if name.endswith("norm.weight") else values)
        for name, (shape, values) in tensors.items()
    }


GEMMA_PARTS = {
    **LLAMA_PARTS,
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def gemma2(c, tensors):
    a = "gemma2"
    keys = [
        *usual_keys(a, c),
        [f"{a}.attn_logit_softcapping", "f32", c["attn_logit_softcapping"]],
        [f"{a}.final_logit_softcapping", "f32", c["final_logit_softcapping"]],
        [f"{a}.attention.sliding_window", "u32", c["sliding_window"]],
    ]
    return keys, with_one(renamed(tensors, GEMMA_PARTS))


def gemma3(c, tensors):
    a = "gemma3"
    scaling = c["rope_scaling"]
    keys = [
        *usual_keys(a, c),
        [f"{a}.attention.sliding_window", "u32", c["sliding_window"]],
        [f"{a}.rope.scaling.type", "str", scaling["rope_type"]],
        [f"{a}.rope.scaling.factor", "f32", scaling["factor"]],
    ]
    return keys, with_one(renamed(tensors, GEMMA_PARTS))


def phi3(c, tensors):
    a, scaling = "phi3", c["rope_scaling"]
    width = c["hidden_size"] // c["num_attention_heads"]
    original = c["original_max_position_embeddings"]
    stretched = c["max_position_embeddings"] / original
    keys = [
        *usual_keys(a, c),
        [f"{a}.rope.dimension_count", "u32", int(c["partial_rotary_factor"] * width)],
        [f"{a}.rope.scaling.original_context_length", "u32", original],
        [f"{a}.rope.scaling.attn_factor", "f32", math.sqrt(1 + math.log(stretched) / math.log(original))],
        [f"{a}.attention.sliding_window", "u32", c["sliding_window"] or 0],
    ]
    parts = {**LLAMA_PARTS, "self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"}
    factors = {
        f"rope_factors_{name}.weight": ([len(scaling[f"{name}_factor"])], scaling[f"{name}_factor"])
        for name in ("long", "short")
    }
    return keys, {**renamed(tensors, parts), **factors}


def qwen_moe(c, tensors):
    a = {"qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe"}[c["model_type"]]
    parts = {
        **LLAMA_PARTS,
        "mlp.gate": "ffn_gate_inp",
        "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
        **{f"mlp.shared_expert.{x}_proj": f"ffn_{x}_shexp" for x in ("gate", "up", "down")},
        **{f"mlp.experts.{x}_proj": f"ffn_{x}_exps" for x in ("gate", "up", "down")},
    }
    stacked = {key: tensor for key, tensor in tensors.items() if ".experts." not in key}
    for i in range(c["num_hidden_layers"]):
        for x in ("gate", "up", "down"):
            own = [tensors[f"model.layers.{i}.mlp.experts.{e}.{x}_proj.weight"] for e in range(c["num_experts"])]
            shape = [len(own), *own[0][0]]
            stacked[f"model.layers.{i}.mlp.experts.{x}_proj.weight"] = (shape, [v for _, values in own for v in values])
    keys = [
        *usual_keys(a, c),
        [f"{a}.expert_count", "u32", c["num_experts"]],
        [f"{a}.expert_used_count", "u32", c["num_experts_per_tok"]],
        [f"{a}.expert_feed_forward_length", "u32", c["moe_intermediate_size"]],
    ]
    if a == "qwen2moe":
        keys += [[f"{a}.expert_shared_feed_forward_length", "u32", c["shared_expert_intermediate_size"]]]
    found = renamed(stacked, parts)
    for name, (shape, values) in found.items():
        if name.endswith(".ffn_gate_inp_shexp.weight"):
            found[name] = ([shape[1]], values)
    return keys, found


def olmo2(c, tensors):
    a, scaling = "olmo2", c["rope_scaling"]
    parts = {
        **LLAMA_PARTS,
        "post_attention_layernorm": "post_attention_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
    }
    keys = usual_keys(a, c)
    if c["model_type"] == "olmo3":
        keys += [
            [f"{a}.attention.sliding_window", "u32", c["sliding_window"]],
            [f"{a}.attention.sliding_window_pattern", "bool[]", [t == "sliding_attention" for t in c["layer_types"]]],
            [f"{a}.rope.scaling.type", "str", "yarn"],
            [f"{a}.rope.scaling.factor", "f32", scaling["factor"]],
            [f"{a}.rope.scaling.original_context_length", "u32", scaling["original_max_position_embeddings"]],
        ]
    return keys, renamed(tensors, parts)


def in_pairs(tensors, c):
    """Queries and keys whose rows i and i + half of each head lie beside each other."""
    found = dict(tensors)
    for name, (shape, values) in tensors.items():
        part = name.split(".")[2] if name.startswith("blk.") else None
        if part not in ("attn_q", "attn_k"):
            continue
        heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}[part]
        width, row = shape[0] // c[heads], 1 if len(shape) == 1 else shape[1]
        order = [h * width + i + half for h in range(c[heads]) for i in range(width // 2) for half in (0, width // 2)]
        found[name] = (shape, [value for at in order for value in values[at * row : (at + 1) * row]])
    return found


def granite(c, tensors):
    a = "granite"
    keys = [
        *usual_keys(a, c),
        [f"{a}.attention.scale", "f32", c["attention_multiplier"]],
        [f"{a}.embedding_scale", "f32", c["embedding_multiplier"]],
        [f"{a}.residual_scale", "f32", c["residual_multiplier"]],
        [f"{a}.logit_scale", "f32", c["logits_scaling"]],
    ]
    return keys, in_pairs(renamed(tensors, LLAMA_PARTS), c)


def cohere(c, tensors):
    a = {"cohere": "command-r", "cohere2": "cohere2"}[c["model_type"]]
    keys = [
        *usual_keys(a, c),
        [f"{a}.logit_scale", "f32", c["logit_scale"]],
        [f"{a}.rope.scaling.type", "str", "none"],
    ]
    if a == "cohere2":
        keys += [
            [f"{a}.attention.sliding_window", "u32", c["sliding_window"]],
            [f"{a}.rope.dimension_count", "u32", c["head_dim"]],
        ]
    return keys, renamed(tensors, LLAMA_PARTS)


def by_kind(tensors, heads):
    """Fused maps with the rows of all queries, of all keys and of all values, which lay head by head."""
    found = dict(tensors)
    for name, (shape, values) in tensors.items():
        if ".attn_qkv." not in name:
            continue
        part = len(values) // heads // 3
        found[name] = (shape, [
            value
            for kind in range(3)
            for head in range(heads)
            for value in values[(3 * head + kind) * part : (3 * head + kind + 1) * part]
        ])
    return found


BLOOM_PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
}


def gptneox(c, tensors):
    a = "gptneox"
    width = c["hidden_size"] // c["num_attention_heads"]
    keys = [
        *usual_keys(a, c),
        [f"{a}.rope.dimension_count", "u32", int(c["rotary_pct"] * width)],
        [f"{a}.use_parallel_residual", "bool", c["use_parallel_residual"]],
    ]
    whole = {"gpt_neox.embed_in": "token_embd", "gpt_neox.final_layer_norm": "output_norm", "embed_out": "output"}
    parts = {**BLOOM_PARTS, "attention.query_key_value": "attn_qkv", "attention.dense": "attn_output"}
    masks = (".attention.bias", ".attention.masked_bias", ".attention.rotary_emb.inv_freq")
    own = {key: tensor for key, tensor in tensors.items() if not key.endswith(masks)}
    return keys, by_kind(renamed(own, parts, whole, "gpt_neox.layers."), c["num_attention_heads"])


def gpt2(c, tensors):
    whole = {"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm"}
    parts = {
        "ln_1": "attn_norm",
        "attn.c_attn": "attn_qkv",
        "attn.c_proj": "attn_output",
        "ln_2": "ffn_norm",
        "mlp.c_fc": "ffn_up",
        "mlp.c_proj": "ffn_down",
    }
    found = renamed(tensors, parts, whole, "transformer.h.")
    for name, (shape, values) in found.items():
        if name.startswith("blk.") and len(shape) == 2:
            found[name] = (shape[::-1], [value for column in range(shape[1]) for value in values[column :: shape[1]]])
    return usual_keys("gpt2", c), found


def bloom(c, tensors):
    whole = {
        "transformer.word_embeddings": "token_embd",
        "transformer.word_embeddings_layernorm": "token_embd_norm",
        "transformer.ln_f": "output_norm",
    }
    parts = {**BLOOM_PARTS, "self_attention.query_key_value": "attn_qkv", "self_attention.dense": "attn_output"}
    return usual_keys("bloom", c), by_kind(renamed(tensors, parts, whole, "transformer.h."), c["n_head"])


def gpt_oss(c, tensors):
    a, scaling, hidden = "gpt-oss", c["rope_scaling"], c["intermediate_size"]
    parts = {**LLAMA_PARTS, "post_attention_layernorm": "post_attention_norm", "mlp.router": "ffn_gate_inp"}
    plain = {k: t for k, t in tensors.items() if ".experts." not in k and not k.endswith(".sinks")}
    found = renamed(plain, parts)

    def turned(values, shape):
        """A stack of matrices, each transposed."""
        count, rows, columns = shape
        each = [values[e * rows * columns : (e + 1) * rows * columns] for e in range(count)]
        return [v for own in each for column in range(columns) for v in own[column::columns]]

    for i in range(c["num_hidden_layers"]):
        p, b = f"model.layers.{i}", f"blk.{i}"
        found[f"{b}.attn_sinks.weight"] = tensors[f"{p}.self_attn.sinks"]
        (count, dim, both), values = tensors[f"{p}.mlp.experts.gate_up_proj"]
        rows = turned(values, [count, dim, both])
        _, biases = tensors[f"{p}.mlp.experts.gate_up_proj_bias"]
        for first_row, x in enumerate(("gate", "up")):
            own = [v for at in range(first_row, count * both, 2) for v in rows[at * dim : (at + 1) * dim]]
            found[f"{b}.ffn_{x}_exps.weight"] = ([count, hidden, dim], own)
            found[f"{b}.ffn_{x}_exps.bias"] = ([count, hidden], biases[first_row::2])
        _, values = tensors[f"{p}.mlp.experts.down_proj"]
        found[f"{b}.ffn_down_exps.weight"] = ([count, dim, hidden], turned(values, [count, hidden, dim]))
        found[f"{b}.ffn_down_exps.bias"] = tensors[f"{p}.mlp.experts.down_proj_bias"]
    keys = [
        *usual_keys(a, c),
        [f"{a}.attention.sliding_window", "u32", c["sliding_window"]],
        [f"{a}.expert_count", "u32", c["num_local_experts"]],
        [f"{a}.expert_used_count", "u32", c["num_experts_per_tok"]],
        [f"{a}.expert_feed_forward_length", "u32", hidden],
        [f"{a}.rope.scaling.type", "str", "yarn"],
        [f"{a}.rope.scaling.factor", "f32", scaling["factor"]],
        [f"{a}.rope.scaling.original_context_length", "u32", scaling["original_max_position_embeddings"]],
    ]
    return keys, found


# By `model_type`.
CONVERTERS = {
    "gemma2": gemma2,
    "gemma3_text": gemma3,
    "phi3": phi3,
    "qwen2_moe": qwen_moe,
    "qwen3_moe": qwen_moe,
    "olmo2": olmo2,
    "olmo3": olmo2,
    "granite": granite,
    "cohere": cohere,
    "cohere2": cohere,
    "gpt_neox": gptneox,
    "gpt2": gpt2,
    "bloom": bloom,
    "gpt_oss": gpt_oss,
}
