// The example moby with its own weights by the causal rule: what an exported graph that generates is held against.
import { readFileSync } from "node:fs";
import type { Evaluation } from "../../../src/compiler/reference/evaluate.js";
import { asProgramWeight } from "../../../src/runtime/program/program.js";
import { matchWeights, readWeight } from "../../../src/runtime/index.js";
import { openWeights } from "../../../src/runtime/node.js";
import { reference, type Filled, type Weights } from "../../end-to-end/model.js";
import { optimized } from "../../optimized.js";
import { modelOf } from "./onnx-files.js";

const EXAMPLES = new URL("../../../examples/", import.meta.url);
export const mobySource = readFileSync(new URL("moby.mod", EXAMPLES), "utf8");
export const mobyModel = modelOf(mobySource, { phase: "generate" });
const VOCABULARY = 256;

export async function mobyWeights(): Promise<Weights> {
  const source = await openWeights(new URL("moby.safetensors", EXAMPLES).href);
  const declared = mobyModel.weights.map((weight) => asProgramWeight(weight));
  const matched = matchWeights({ weights: declared, ignore: mobyModel.ignore }, source);
  const weights = new Map<string, Filled>();
  for (const weight of declared) {
    const words = await readWeight(weight, matched.get(weight)!, source);
    weights.set(weight.path, { shape: weight.shape, data: Float32Array.from(words) });
  }
  await source.close();
  return weights;
}

/** One pass over all tokens: the logits at each token, and all outputs. */
export function causal(
  tokens: readonly number[],
  weights: Weights,
): { readonly logits: (at: number) => readonly number[]; readonly outputs: Evaluation["outputs"] } {
  const { graph } = optimized(mobySource, { phase: "generate", verify: false });
  const given = { shape: [1, tokens.length], data: Uint32Array.from(tokens) };
  const { outputs } = reference(graph, weights, { inputs: { tokens: given } });
  const { data } = outputs.get("output")!;
  return { logits: (at) => Array.from(data.slice(at * VOCABULARY, (at + 1) * VOCABULARY)), outputs };
}

/** The token with the largest logit. */
export const likeliest = (logits: readonly number[]): number => logits.indexOf(Math.max(...logits));
