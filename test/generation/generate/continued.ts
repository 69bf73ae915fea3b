// The two graphs of a generation run by the reference: prompts, then steps, from states that go on.
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { SAMPLING_STATES, type GenerationGraphs } from "../../../src/compiler/lower/generation.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { tensor } from "../../../src/compiler/ops/tensors.js";
import { evaluate, type EvaluateOptions } from "../../../src/compiler/reference/evaluate.js";

export type Weights = EvaluateOptions["weights"];

/** Sequences that go on from states, as the two programs run them. */
export class Continued {
  readonly #graphs: GenerationGraphs;
  readonly #weights: Weights;
  readonly #extents: ReadonlyMap<string, number>;
  states: ReadonlyMap<string, Tensor>;

  constructor(graphs: GenerationGraphs, weights: Weights, batch: number, capacity: number) {
    this.#graphs = graphs;
    this.#weights = weights;
    // The largest logit, with its log-probability.
    const settings = Float64Array.from({ length: 7 * batch }, (_, i) => [0, 0, 1, 0, 1, 0, 1][i % 7]!);
    this.states = new Map([[SAMPLING_STATES.settings, tensor("f32", [batch, 7], settings)]]);
    const capacities = graphs.axes.flatMap((a) => (a.capacity === null ? [] : [[a.capacity, capacity] as const]));
    this.#extents = new Map([["B", batch], ["generate.sequence", 1], ...capacities]);
  }

  /** Reads one chunk of each sequence. */
  read(chunks: readonly (readonly number[])[]): ReadonlyMap<string, Tensor> {
    const longest = Math.max(1, ...chunks.map((c) => c.length));
    const tokens = chunks.map((c) => Array.from({ length: longest }, (_, i) => c[i] ?? 0));
    return this.#run(
      this.#graphs.prompt,
      new Map([[this.#graphs.input, tokens]]),
      chunks.map((c) => c.length),
    );
  }
  /** Adds the token chosen last to those sequences. */
  step(lengths: readonly number[]): ReadonlyMap<string, Tensor> {
    return this.#run(this.#graphs.step, new Map(), lengths);
  }
  #run(graph: Graph, inputs: EvaluateOptions["inputs"], lengths: readonly number[]): ReadonlyMap<string, Tensor> {
    const extents = new Map(inputs.size > 0 ? this.#extents : [...this.#extents, ["T", 1]]);
    if (inputs.size > 0) extents.delete("B");
    const { outputs, states } = evaluate(graph, {
      inputs,
      weights: this.#weights,
      lengths,
      extents,
      states: this.states,
      seed: 5,
    });
    this.states = states;
    return outputs;
  }
}

/** A row of a matrix. */
export const rowOf = (t: Tensor, row: number): number[] => {
  const width = t.shape.at(-1)!;
  return [...t.data.subarray(row * width, (row + 1) * width)];
};
