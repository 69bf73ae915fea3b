// Generation on onnxruntime-node's WebGPU provider: a decoder as one graph, called once for each token.
import type * as Ort from "onnxruntime-node";
import { layerWeights, rotary, tensors, triangle, update } from "../peers/blocks.js";
import { writeOnnx, type OnnxValue } from "../peers/onnx.js";
import { GraphBuilder } from "../peers/onnxruntime.js";
import { timed, type Generated, type MakeWriter, type Writer } from "./generator.js";
import type { GenerateData } from "./protocol.js";

/**
 * The decoder over N tokens at positions `places`, with attention mask `mask`; with a cache also over P past tokens.
 * The cosines and sines of all positions are constants.
 */
function decoder({ dim, heads, depth, weights, prompt, count }: GenerateData, cached: boolean): Uint8Array {
  const graph = new GraphBuilder();
  const { ops } = graph;
  const width = dim / heads;
  const t = tensors(ops, { weights });
  const turns = rotary(prompt.length + count, width);
  const [cos, sin] = [turns.cos, turns.sin].map((table) =>
    ops.rows(ops.constant(table, [prompt.length + count, width]), "places"),
  ) as [string, string];
  const inputs: OnnxValue[] = ["tokens", "places"].map((name) => ({ name, shape: ["N"], type: "i64" }));
  inputs.push({ name: "mask", shape: ["N", cached ? "S" : "N"], type: "f32" });
  const outputs: OnnxValue[] = [];
  let x = ops.rows(t.raw("embed.table"), "tokens");
  for (let layer = 0; layer < depth; layer++) {
    const remember = (...own: readonly string[]): [string, string] => {
      const whole = own.map((value, i) => {
        const past: OnnxValue = { name: `past.${layer}.${i}`, shape: [heads, "P", width], type: "f32" };
        const made = graph.node("Concat", [past.name, value], { axis: 1 }, 1)[0]!;
        inputs.push(past);
        outputs.push({ name: made, shape: [heads, "S", width], type: "f32" });
        return made;
      });
      return whole as [string, string]; // of a key and a value
    };
    const sizes = { rows: -1, dim, heads, ...(cached && { remember }) };
    x = ops.add(x, update(ops, sizes, "gelu", x, cos, sin, "mask", layerWeights(t, `layers.${layer}.inner`, "gelu")));
  }
  const logits = ops.matmul(ops.mul(ops.normalise(x), t.raw("norm.weight")), t.linear("embed.table"));
  const vocabulary = weights.find(([path]) => path === "embed.table")![1].shape[0]!;
  outputs.unshift({ name: logits, shape: ["N", vocabulary], type: "f32" });
  return writeOnnx({ nodes: graph.nodes, constants: graph.constants, inputs, outputs });
}

/** The likeliest token after the last row of logits. */
function likeliest(logits: Float32Array, rows: number): number {
  const last = logits.subarray((logits.length / rows) * (rows - 1));
  return last.reduce((best, v, i) => (v > last[best]! ? i : best), 0);
}

const writer =
  (cached: boolean): MakeWriter =>
  async (data): Promise<Writer> => {
    const { InferenceSession, Tensor } = await import("onnxruntime-node");
    const session = await InferenceSession.create(decoder(data, cached), {
      executionProviders: ["webgpu"],
      logSeverityLevel: 3,
    });
    const { heads, dim, prompt } = data;
    const whole = (values: Iterable<number>): Ort.Tensor => {
      const numbers = BigInt64Array.from([...values].map(BigInt));
      return new Tensor("int64", numbers, [numbers.length]);
    };
    const places = (from: number, count: number): Ort.Tensor =>
      whole(Array.from({ length: count }, (_, i) => from + i));
    return {
      async generate(drawn): Promise<Generated> {
        if (drawn) throw new Error("onnxruntime is asked for the likeliest tokens only");
        const text = [...prompt];
        const empty = (): Ort.Tensor => new Tensor("float32", new Float32Array(0), [heads, 0, dim / heads]);
        let past = session.inputNames
          .filter((name) => name.startsWith("past."))
          .map((name): [string, Ort.Tensor] => [name, empty()]);
        const next = async (): Promise<number> => {
          const read = past[0]?.[1].dims[1] ?? 0;
          const rows = text.length - read;
          const mask = new Tensor("float32", rows === 1 ? new Float32Array(text.length) : triangle(text.length), [
            rows,
            text.length,
          ]);
          const results = await session.run({
            ...Object.fromEntries(past),
            tokens: whole(text.slice(read)),
            places: places(read, rows),
            mask,
          });
          const [logits, ...kept] = session.outputNames;
          past = past.map(([name], i) => [name, results[kept[i]!]!]);
          const token = likeliest(results[logits!]!.data as Float32Array, rows); // as the graph says
          text.push(token);
          return token;
        };
        return { ...(await timed(data.count, next)), shares: [] };
      },
      dispose: () => session.release(),
    };
  };

/** Keys and values of past tokens are inputs and outputs of the graph, as exported decoders have them. */
export const writeCached = writer(true);
/** Without a cache: all tokens are read again for each new one. */
export const writeWhole = writer(false);
