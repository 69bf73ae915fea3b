// The standard library has the signatures, members and results that the language page promises.
import { describe, expect, it } from "vitest";
import { libraryExports, libraryFile, librarySources } from "../../../src/language/check/names/library.js";
import { printKind } from "../../../src/language/check/instances/parameters.js";
import { codesOf, modelOf, operations, outputType } from "./harness.js";

const weights = (
  call: string,
  input = "x: f32[B, T, 8]",
  result = "f32[B, T, 8]",
): Readonly<Record<string, readonly number[]>> =>
  Object.fromEntries(modelOf(using(call, input, result)).weights.map((w) => [w.path.replace(/^m\./, ""), w.shape]));
const using = (
  call: string,
  input = "x: f32[B, T, 8]",
  result = "f32[B, T, 8]",
): string => `import { ${[...libraryExports().keys()].join(", ")} } from "std"
model M() { m: ${call}\n forward(${input}) -> ${result} { m(x) } }`;

describe("the standard library", () => {
  it("has the parameters of the language page, in their order", () => {
    const signatures = [...libraryExports()].map(([name, file]) => {
      const block = libraryFile(file)?.declarations.find((d) => d.name.text === name);
      if (block?.kind !== "block") return name;
      const source = librarySources.get(file)?.text ?? "";
      const params = block.params.map((p) => {
        const fallback = p.default === null ? "" : ` = ${source.slice(p.default.span.start, p.default.span.end)}`;
        return `${p.name.text}: ${printKind(p.type)}${fallback}`;
      });
      return `${name}(${params.join(", ")})`;
    });
    expect(new Set(signatures)).toEqual(
      new Set([
        "Linear(d_in: int, d_out: int, bias: bool = true)",
        "Embedding(vocab: int, dim: int)",
        "RMSNorm(dim: int, eps: float = 1e-5)",
        "LayerNorm(dim: int, eps: float = 1e-5, bias: bool = true)",
        "Attention(dim: int, heads: int, kv_heads: int = heads, head_dim: int = dim / heads, theta: float = " +
          "10000.0, causal: bool = true, window: int = 0, bias: bool = false, out_bias: bool = bias, qk_norm: bool " +
          "= false, cap: float = 0.0, sinks: bool = false, rotate: int = head_dim, out_gate: bool = false)",
        "CrossAttention(dim: int, heads: int, width: int = dim, kv_heads: int = heads, head_dim: int = dim / heads, " +
          "bias: bool = false, out_bias: bool = bias, qk_norm: bool = false)",
        "Cross(layer: block, attention: block, dim: int, width: int = dim)",
        'MoDWith(inner: block, dim: int, width: int, capacity: ratio = 12.5%, gate: string = "raw")',
        "PatchEmbed(size: int, patch: int, dim: int, channels: int = 3, bias: bool = true)",
        'Sinusoids(dim: int, theta: float = 10000.0, order: string = "pairs")',
        "AdaLN(inner: block, dim: int, width: int = dim, eps: float = 1e-6)",
        "LoRA(d_in: int, d_out: int, rank: int = 8, alpha: float = 16.0, bias: bool = false)",
        "LowRank(d_in: int, d_out: int, rank: int)",
        "SwiGLU(dim: int, hidden: int, bias: bool = false)",
        "GeluMLP(dim: int, hidden: int, bias: bool = true)",
        'Layer(dim: int, heads: int, kv_heads: int = heads, hidden: int = 4 * dim, mlp: string = "swiglu", ' +
          'theta: float = 10000.0, causal: bool = true, window: int = 0, norms: string = "before", parallel: bool = ' +
          "false, factor: float = 1.0)",
        "Residual(inner: block)",
        "Predictor(dim: int, hidden: int = max(ceil(dim / 16), 8))",
        'MoD(inner: block, dim: int, capacity: ratio = 12.5%, gate: string = "raw")',
        "LayerOf(attn: block, mlp: block, dim: int)",
        "Nothing()",
        "Same()",
        'MoE(experts: [block], dim: int, k: int, gate: string = "softmax", renormalize: bool = false, scale: float ' +
          "= 1.0, router_bias: bool = false, groups: int = 1, open: int = groups, loss_free: bool = false, rate: " +
          "float = 0.001, balance: float = 0.0, z: float = 0.0)",
        "SharedMoE(moe: block, shared: block, dim: int, gated: bool = false)",
        "ExpertChoice(experts: [block], dim: int, share: ratio)",
        "ShortConv(dim: int, width: int = 4, bias: bool = false)",
        "DeltaRule(shared: int = 1)",
        "Mamba2(dim: int, heads: int, head_dim: int = 2 * dim / heads, state_dim: int = 128, groups: int = 1, " +
          "width: int = 4, bias: bool = false, conv_bias: bool = true, eps: float = 1e-5)",
        "L2Norm(eps: float = 1e-6)",
        "GatedDeltaNet(dim: int, heads: int, head_dim: int = dim / heads, key_heads: int = heads, key_dim: int = " +
          "head_dim, width: int = 4, eps: float = 1e-6)",
        "KDA(dim: int, heads: int, head_dim: int = dim / heads, width: int = 4, eps: float = 1e-5)",
        'Bottleneck(dim: int, rank: int, act: string = "none", bias: bool = true)',
        "RWKV7TimeMix(dim: int, head_dim: int = 64, first: bool = true, decay_rank: int = 32, rate_rank: int = " +
          "32, value_rank: int = 32, gate_rank: int = 32)",
        "RWKV7ChannelMix(dim: int, hidden: int = 4 * dim)",
        "RGLRU(dim: int, heads: int = 1)",
        "Griffin(dim: int, channels: int = dim, heads: int = 1, width: int = 4)",
        "Documents(separator: int)",
        "Chunks(inner: block, dim: int, share: ratio = 1 / 6, rate: float = 0.03)",
        "MemoryParts(dim: int, heads: int, key_dim: int, value_dim: int, width: int)",
        "Memory(parts: block, dim: int, heads: int, key_dim: int, value_dim: int)",
        "Memories(dim: int, heads: int, count: int = 8, active: int = 2, key_dim: int = dim / heads, value_dim: " +
          "int = 2 * key_dim, shared: bool = false, width: int = 4, eps: float = 1e-5)",
        "MLA(dim: int, heads: int, latent: int = 512, query_latent: int = 0, plain: int = 128, rotated: int = 64, " +
          "value_dim: int = 128, theta: float = 10000.0, eps: float = 1e-6)",
      ]),
    );
  });

  it("documents every block and parameter", () => {
    for (const file of librarySources.keys())
      for (const d of libraryFile(file)?.declarations ?? []) {
        expect(d.doc, d.name.text).toBeTruthy();
        if (d.kind === "block") for (const p of d.params) expect(p.doc, `${d.name.text}.${p.name.text}`).toBeTruthy();
      }
  });

  it("has the members that make up weight paths", () => {
    expect(weights("Linear(8, 8)")).toEqual({ weight: [8, 8], bias: [8] });
    expect(weights("Linear(8, 8, false)")).toEqual({ weight: [8, 8] });
    expect(weights("Embedding(16, 8)", "x: u32[B, T]")).toEqual({ table: [16, 8] });
    expect(weights("RMSNorm(8)")).toEqual({ weight: [8] });
    expect(weights("LayerNorm(8)")).toEqual({ weight: [8], bias: [8] });
    expect(weights("LayerNorm(8, bias: false)")).toEqual({ weight: [8] });
    expect(weights("SwiGLU(8, 12)")).toEqual({ "gate.weight": [12, 8], "up.weight": [12, 8], "down.weight": [8, 12] });
    expect(weights("GeluMLP(8, 12)")).toEqual({
      "up.weight": [12, 8],
      "up.bias": [12],
      "down.weight": [8, 12],
      "down.bias": [8],
    });
    expect(weights("Attention(8, 4, 2)")).toEqual({
      "q.weight": [8, 8],
      "k.weight": [4, 8],
      "v.weight": [4, 8],
      "o.weight": [8, 8],
    });
    expect(weights("Attention(8, 2, head_dim: 6, bias: true, out_bias: false, qk_norm: true)")).toEqual({
      "q.weight": [12, 8],
      "q.bias": [12],
      "k.weight": [12, 8],
      "k.bias": [12],
      "v.weight": [12, 8],
      "v.bias": [12],
      "o.weight": [8, 12],
      "q_norm.weight": [6],
      "k_norm.weight": [6],
    });
    expect(Object.keys(weights('Layer(8, 2, mlp: "gelu")'))).toEqual([
      "attn_norm.weight",
      "attn.q.weight",
      "attn.k.weight",
      "attn.v.weight",
      "attn.o.weight",
      "mlp_norm.weight",
      "mlp.up.weight",
      "mlp.up.bias",
      "mlp.down.weight",
      "mlp.down.bias",
    ]);
    expect(Object.keys(weights("MoD(SwiGLU(8, 12), 8)"))).toEqual([
      "inner.gate.weight",
      "inner.up.weight",
      "inner.down.weight",
      "router.weight",
      "guess.up.weight",
      "guess.up.bias",
      "guess.down.weight",
      "guess.down.bias",
    ]);
    expect(Object.keys(weights("MoE([GeluMLP(8, 4), Same(), Linear(8, 8, false)], 8, 1, router_bias: true)"))).toEqual([
      "experts.0.up.weight",
      "experts.0.up.bias",
      "experts.0.down.weight",
      "experts.0.down.bias",
      "experts.2.weight",
      "router.weight",
      "router.bias",
    ]);
    expect(Object.keys(weights("SharedMoE(MoE([Same(), Same()], 8, 1), Linear(8, 8, false), 8, gated: true)"))).toEqual(
      ["moe.router.weight", "shared.weight", "shared_gate.weight"],
    );
    expect(Object.keys(weights("LayerOf(Linear(8, 8, false), Same(), 8)"))).toEqual([
      "attn.weight",
      "attn_norm.weight",
      "mlp_norm.weight",
    ]);
    expect(weights("Predictor(8)", undefined, "f32[B, T, 1]")["up.weight"]).toEqual([8, 8]);
    expect(weights("Predictor(320)", "x: f32[B, T, 320]", "f32[B, T, 1]")["up.weight"]).toEqual([20, 320]);
  });

  it("computes in every phase, with every option", () => {
    for (const phase of ["infer", "train", "generate"] as const)
      for (const call of [
        "Linear(8, 8)",
        "LayerNorm(8)",
        "LayerNorm(8, bias: false)",
        "Attention(8, 2, theta: 0.0)",
        "Attention(8, 2, window: 3, qk_norm: true, bias: true)",
        "Residual(Layer(8, 2))",
        'MoD(Layer(8, 2, mlp: "gelu"), 8, 50%, gate: "sigmoid")',
        'MoD(Layer(8, 2), 8, gate: "identity")',
        "MoD(MoD(Layer(8, 4, 2), 8, 1 / 2), 8, 1 / 2)",
        "LayerOf(Attention(8, 2), SwiGLU(8, 12), 8)",
        "MoE([for e in 0..4: SwiGLU(8, 12)], 8, 2, renormalize: true, balance: 0.01, z: 0.001)",
        "MoE([for e in 0..4: SwiGLU(8, 12)] + [Nothing(), Same()], 8, 6)",
        'MoE([for e in 0..4: SwiGLU(8, 12)], 8, 1, gate: "chosen", router_bias: true)',
        'MoE([for e in 0..8: SwiGLU(8, 12)], 8, 3, gate: "sigmoid", groups: 4, open: 2, loss_free: true)',
        "SharedMoE(MoE([SwiGLU(8, 12), GeluMLP(8, 4)], 8, 1), SwiGLU(8, 12), 8, gated: true)",
        "MoD(LayerOf(Attention(8, 2), MoE([for e in 0..4: SwiGLU(8, 12)], 8, 2), 8), 8, 50%)",
      ]) {
        expect(outputType(modelOf(using(call), { phase, entry: "forward" })), call).toBe("f32[B, T, 8]");
      }
  });

  it("rotates and limits only where asked", () => {
    const ops = (call: string): string => operations(modelOf(using(call))).join("\n");
    expect(ops("Attention(8, 2)")).toContain("rope");
    expect(ops("Attention(8, 2, theta: 0.0)")).not.toContain("rope");
  });

  it("says so where `mlp` is neither", () => {
    expect(codesOf(using('Layer(8, 2, mlp: "relu")'))).toEqual(["unknown-option", "not-callable"]);
  });
});
