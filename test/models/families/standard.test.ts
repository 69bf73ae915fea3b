// Models as standard architectures of Hugging Face: each kind of configuration is found again from the model that it
// describes, with the keys of its weights, and what differs is none.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { VERSIONS } from "../../../src/tools/export/torch.js";
import { parseConfig } from "../../../src/models/families/config.js";
import { decoderSource } from "../../../src/models/families/source/decoder.js";
import { standardOf, type Standard } from "../../../src/models/families/standard.js";
import { VARIANTS, type Config } from "./folders.js";

function standardIn(
  text: string,
  set: Readonly<Record<string, string>> = {},
  config: string | null = null,
): Standard | null {
  const [first, ...others] = VERSIONS.flatMap(
    (version) => check({ file: "model.mod", text }, { ...version, set, read: () => null }).model ?? [],
  );
  return standardOf({ models: [first!, ...others], config });
}

/** What a standard architecture does not have: scaled angles, and windows of some layers. */
const LEFT_OUT = ["rope_scaling", "rope_parameters", "layer_types", "use_sliding_window"];
const CONFIGS: readonly Config[] = VARIANTS.map(({ config }) =>
  Object.fromEntries(Object.entries(config).filter(([name]) => !LEFT_OUT.includes(name))),
);

const example = (name: string): string =>
  readFileSync(new URL(`../../../examples/${name}.mod`, import.meta.url), "utf8");
const small = { vocab: "96", dim: "32", heads: "4", kv_heads: "2", hidden: "48", depth: "2" };

/** A small Llama of the library's blocks, with this loss and this in place of its last norm. */
const built = (loss: string, norm = "RMSNorm(dim)"): string => `
import { Embedding, Layer, Linear, Residual, RMSNorm } from "std"
model Tiny(vocab: int = 96, dim: int = 32, heads: int = 2, depth: int = 2) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth: Residual(Layer(dim, heads))]
  norm:   ${norm}
  head:   Linear(dim, vocab, bias: false)
  forward(tokens: u32[B, S]) -> f32[B, S, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    head(norm(x))
  }
  objective(tokens: u32[B, S], targets: u32[B, S]) { loss own = ${loss} }
}`;
const LLAMA = example("llama");
const MLP = "h + mlp(mlp_norm(h))";
const PLAIN = "cross_entropy(forward(tokens), targets)";

describe("standard architectures", () => {
  it.each(CONFIGS)("are found: $model_type, tied $tie_word_embeddings, biased $attention_bias", (config) => {
    const text = decoderSource(parseConfig(JSON.stringify(config)));
    const standard = standardIn(text)!;
    // Where two families compute alike, the first is written.
    if (config["model_type"] !== "mistral") expect(standard.config["model_type"]).toBe(config["model_type"]);
    expect(decoderSource(parseConfig(JSON.stringify(standard.config))).replaceAll(/Llama|Mistral|Qwen\d/g, "")).toBe(
      text.replaceAll(/Llama|Mistral|Qwen\d/g, ""),
    );
    const { model } = check({ file: "model.mod", text }, { phase: "infer", read: () => null });
    expect(Object.fromEntries(standard.keys)).toEqual(
      Object.fromEntries(model!.weights.map(({ path, keys }) => [path, keys[0]])),
    );
  });

  it("are those of the configuration that a model was read from, where it is still that", () => {
    const { config } = VARIANTS.find(({ name }) => name.includes("Qwen3, tied, YaRN"))!;
    const own = JSON.stringify(config);
    const text = decoderSource(parseConfig(own));
    expect(standardIn(text)).toBeNull();
    const standard = standardIn(text, {}, own)!;
    expect(standard.config).toMatchObject({ model_type: "qwen3", rope_parameters: config["rope_parameters"] });
    expect(standard.keys.get("layers.1.inner.attn.q_norm.weight")).toBe("model.layers.1.self_attn.q_norm.weight");
    expect(standardIn(text.replace("silu(gate(x))", "relu(gate(x))"), {}, own)).toBeNull();
    expect(standardIn(text, {}, JSON.stringify({ ...config, auto_map: { AutoConfig: "a.B" } }))).toBeNull();
  });

  it("are mixtures of experts too, by their own configuration", () => {
    const { config: sizes } = VARIANTS[0]!;
    const mixtral = { model_type: "mixtral", architectures: ["MixtralForCausalLM"], num_local_experts: 3 };
    const own = JSON.stringify({ ...sizes, ...mixtral, num_hidden_layers: 1, sliding_window: null });
    const standard = standardIn(decoderSource(parseConfig(own)), {}, own)!;
    expect(standard.architecture).toBe("MixtralForCausalLM");
    expect([...standard.keys.values()]).toContain("model.layers.0.block_sparse_moe.experts.2.w3.weight");
  });

  it("are found for other texts of the same computation, with sums in another order", () => {
    const llama = standardIn(example("llama"), small)!;
    expect(llama.config).toMatchObject({ model_type: "llama", num_hidden_layers: 2, tie_word_embeddings: true });
    expect(llama.keys.get("layers.1.mlp.up.weight")).toBe("model.layers.1.mlp.up_proj.weight");
    expect(llama.keys.get("embed")).toBe("model.embed_tokens.weight");
    const own = standardIn(built(PLAIN))!;
    expect(own.config).toMatchObject({ model_type: "llama", num_key_value_heads: 2, tie_word_embeddings: false });
    expect(own.config["max_position_embeddings"]).toBeUndefined();
    expect(own.keys.get("head.weight")).toBe("lm_head.weight");
  });

  it.each([
    ["a routed model", example("moby")],
    ["one with adapters", example("lora")],
    ["another loss", built(`2 * ${PLAIN}`)],
    ["another norm", built(PLAIN, "RMSNorm(dim, eps: 1e-6)")],
    ["a weight that forward does not use", built(PLAIN).replace("head:", "weight spare: f32[4] = ones\n  head:")],
    ["another rule of generation", LLAMA.replace(MLP, `if generate then h else ${MLP}`)],
    ["another rule of training", LLAMA.replace(MLP, `if train then h else ${MLP}`)],
    ["another loss of evaluation", built(`if train then ${PLAIN} else 2.0 * ${PLAIN}`)],
    ["tokens as their own targets", built("cross_entropy(forward(tokens), tokens)")],
    ["targets as tokens", built("cross_entropy(forward(targets), tokens)")],
    ["something observed", built(PLAIN).replace("head(norm(x))", "observe x\n    head(norm(x))")],
  ])("are none for %s", (_, text) => {
    expect(standardIn(text, text.startsWith(LLAMA.slice(0, 99)) ? small : {})).toBeNull();
  });
});
