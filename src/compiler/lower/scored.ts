// The graphs that judge given texts: the log-probability of the token behind each token, and the most likely one. As
// only these are results, the logits of all tokens are not read back.
import { createEmit } from "../ir/build.js";
import { typeOf, type Graph, type GraphInput, type GraphOutput } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";
import { ops } from "../ops/index.js";
import { languageModel } from "./language-model.js";

/**
 * likely: the log-probability of each token's target, f32[B, T], 0 where the target is −1. greedy: the token with the
 * largest logit after each token, u32[B, T], the first of equal ones.
 */
export type Score = "likely" | "greedy";

/** The result. */
export const SCORES = "scores";

export interface ScoredGraph {
  readonly graph: Graph;
  /** The input of tokens. */
  readonly input: GraphInput;
  /** The name of the input of targets, i32[B, T]; null for `greedy`. */
  readonly targets: string | null;
  readonly vocabulary: number;
}

/**
 * The graph of `forward` with the score in place of its results: by top-k in phase infer, by the causal rule in phase
 * generate. Observed values stay. Throws GenerationError if the model gives no logits for its tokens.
 */
export function scoredGraph(graph: Graph, score: Score): ScoredGraph {
  const { input, result, vocabulary } = languageModel(graph, "a model whose texts are scored");
  const emit = createEmit(ops, graph.axes);
  const observed = graph.outputs.filter((o) => o.role === "observe");
  const made = (node: GraphOutput["node"], targets: GraphInput | null): ScoredGraph => {
    const { shape, packing } = input;
    const { states } = graph;
    const outputs = [{ name: SCORES, role: "result", node, shape, packing } as const, ...observed];
    const starts = reachedStarts({ outputs, states }, (axis) => graph.starts.get(axis) ?? null);
    const inputs = targets ? [...graph.inputs, targets] : graph.inputs;
    return { graph: { ...graph, inputs, outputs, starts }, input, targets: targets?.name ?? null, vocabulary };
  };
  if (score === "greedy") {
    const axis = typeOf(result.node).shape.length - 1;
    return made(emit.node("argmax", [result.node], { axis, keep: false }), null);
  }
  const name = input.name === "targets" ? "next" : "targets";
  const node = emit.node("input", [], { ...input.node.attrs, name, dtype: "i32" });
  const surprises = emit.node("cross_entropy", [result.node, node], {});
  return made(emit.node("neg", [surprises], {}), { ...input, name, node, least: -1, below: vocabulary });
}
