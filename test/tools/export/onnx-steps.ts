// An exported graph that generates, held against the causal rule without caches: sequences of a batch read given tokens
// in steps of several lengths.
import { join } from "node:path";
import { expect } from "vitest";
import { randomTokens, randomWeights, reference } from "../../end-to-end/model.js";
import { askOnnx } from "../../onnxruntime.js";
import { optimized } from "../../optimized.js";
import { modelOf, written } from "./onnx-files.js";
import { expectClose } from "./onnx-same.js";

const SCRIPT = new URL("onnx_run.py", import.meta.url);

interface Answer {
  readonly generated: {
    readonly logits: readonly (readonly number[])[];
    readonly rows: Readonly<Record<string, readonly number[]>>;
    readonly length: readonly number[];
  };
}

export interface Steps {
  readonly text: string;
  readonly set?: Readonly<Record<string, string>>;
  /** Of each step how many tokens every sequence reads. */
  readonly lengths: readonly (readonly number[])[];
  readonly seed?: number;
}

/** Fails where they differ; gives how many rows each route's caches have in the end, by sequence. */
export async function expectSteps(root: string, what: string, steps: Steps): Promise<Answer["generated"]["rows"]> {
  const { text, set = {}, lengths, seed = 3 } = steps;
  const model = modelOf(text, { set, phase: "generate" });
  const weights = randomWeights(model, seed);
  const path = join(root, "steps.onnx");
  written(path, model, weights, { caches: true, lengths: true });
  const batch = lengths[0]!.length;
  // If no sequence reads a token, the steps alternate between one padding token and none.
  const longest = lengths.map((step, i) => Math.max(i % 2, ...step));
  const total = longest.reduce((a, b) => a + b);
  const all = randomTokens([batch, total], 64, 5).data;
  const output = model.outputs[0]!.name;
  const given = { batch, tokens: Array.from(all), steps: longest, lengths, input: "tokens", output };
  const [answer] = await askOnnx<Answer>(SCRIPT, [{ path, generate: given }]);
  const { generated } = answer!;
  const { graph } = optimized(text, { set, phase: "generate", verify: false });
  for (let b = 0; b < batch; b++) {
    const own: number[] = [];
    /** Of each step the last token so far; null where it reads none. */
    const ends = lengths.map((step, i) => {
      const from = b * total + longest.slice(0, i).reduce((a, n) => a + n, 0);
      own.push(...all.slice(from, from + step[b]!));
      return step[b] === 0 ? null : own.length - 1;
    });
    const tokens = { shape: [1, own.length], data: Uint32Array.from(own) };
    const whole = reference(graph, weights, { inputs: { tokens } }).outputs.get(output)!;
    const V = whole.shape[2]!;
    ends.forEach((end, i) => {
      if (end === null) return;
      const made = generated.logits[i]!.slice(b * V, (b + 1) * V);
      expectClose(made, whole.data.slice(end * V, (end + 1) * V), `${what} sequence ${b} step ${i}`);
    });
    expect(generated.length[b]).toBe(own.length);
  }
  return generated.rows;
}
