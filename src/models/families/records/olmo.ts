// Ai2's OLMo: norms without weights; from 2 on norms behind, and of the rows of queries and keys; from 3 on windows.
import type { Family, Norm } from "../description/family.js";
import { noBias, windowsBut } from "../description/layers.js";
import { rotationOf, scaledRotary, type Turn } from "../description/rotary.js";
import { headNorms, llama } from "./llama.js";

const WEIGHTLESS: Norm = { kind: "layer", weight: "none", bias: false };
const EPS = 1e-5;

export const olmo: Family = {
  ...llama,
  type: "olmo",
  model: "OLMo",
  architecture: "OlmoForCausalLM",
  reads: ["clip_qkv"],
  eps: EPS,
  norm(config) {
    if ((config.number("rms_norm_eps") ?? EPS) !== EPS) config.refuse("rms_norm_eps", `this family's is ${EPS} always`);
    return WEIGHTLESS;
  },
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: noBias(config, "mlp_bias") };
  },
  clip: (config) => config.positive("clip_qkv"),
};

export const olmo2: Family = {
  ...llama,
  type: "olmo2",
  model: "OLMo2",
  architecture: "Olmo2ForCausalLM",
  eps: EPS,
  biases: (config) => olmo.biases(config),
  norms: "behind",
  headNorms: () => headNorms("row"),
};

export const olmo3: Family = {
  ...olmo2,
  type: "olmo3",
  model: "OLMo3",
  architecture: "Olmo3ForCausalLM",
  theta: 500_000,
  windows: (config, depth) =>
    windowsBut(config, depth, config.has("sliding_window") ? config.whole("sliding_window") : 4096, 4),
  rotation(config, { headDim, positions, depth }, theta) {
    const context = { headDim, positions, theta };
    const parameters = config.object("rope_parameters");
    const byType = parameters?.has("full_attention") === true || parameters?.has("sliding_attention") === true;
    // Scaling is of the layers without a window.
    const whole = byType ? parameters.object("full_attention") : (parameters ?? config.object("rope_scaling"));
    const main = scaledRotary(config, whole, context);
    const local = scaledRotary(config, byType ? parameters.object("sliding_attention") : null, {
      ...context,
      theta: byType ? theta : main.theta,
    });
    if (main.frequencies === null && local.frequencies === null && main.theta === local.theta)
      return rotationOf(main, depth, headDim);
    const layers = olmo3.windows(config, depth).map((window): Turn => (window > 0 ? "local" : "main"));
    return rotationOf(main, depth, headDim, { local, layers });
  },
};

export const OLMO_FAMILIES: readonly Family[] = [olmo, olmo2, olmo3];
