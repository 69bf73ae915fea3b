// Reads the configurations of Cohere's models.
import { describe, expect, it } from "vitest";
import { accountConfigs, bare, read, refuses } from "./configs.js";

describe("Cohere", () => {
  const { Cohere: cohere, "Cohere 2": cohere2 } = accountConfigs("cohere");
  const { layer_types: _, ...older } = cohere2!;

  it("has the defaults of its configuration classes", () => {
    expect(bare("cohere")).toMatchObject({
      eps: 1e-5,
      tied: true,
      headNorms: null,
      factors: { logits: 0.0625 },
      rotation: { main: { theta: 500_000 }, neighbours: true },
    });
    expect(bare("cohere2")).toMatchObject({
      windows: [4096, 4096, 4096, 0],
      rotation: { main: { theta: 10_000 }, layers: ["main", "main", "main", "none"] },
    });
  });

  it("takes the period of windows from older configurations, which say more than they need", () => {
    const config = {
      ...older,
      layer_switch: 3,
      sliding_window_pattern: 3,
      order_of_interleaved_layers: "local_attn_first",
      position_embedding_type: "rope_gptj",
      rotary_pct: 1.0,
      use_embedding_sharing: true,
      use_gated_activation: true,
      use_parallel_block: true,
      use_parallel_embedding: true,
    };
    expect(read(config).windows).toEqual([7, 7, 0]);
  });

  refuses([
    ["logits without a factor", { ...cohere, logit_scale: null }, "logit_scale is null: this family scales its logits"],
    ["biases of the network", { ...cohere, mlp_bias: true }, "mlp_bias is true: this family has no such weights"],
    [
      "no windows",
      { ...cohere2, sliding_window: null },
      "sliding_window is null: layers without a window rotate nothing",
    ],
    ["two periods", { ...older, layer_switch: 4, sliding_window_pattern: 3 }, "sliding_window_pattern is 3"],
    ["serial layers", { ...cohere2, use_parallel_block: false }, "use_parallel_block is false: this family's is true"],
    ["a part of each head", { ...cohere2, rotary_pct: 0.5 }, "rotary_pct is 0.5: this family's is 1 always"],
  ]);
});
