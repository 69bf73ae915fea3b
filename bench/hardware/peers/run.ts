// The process of peers.ts: has one other runtime run single operators on the null device that its environment names,
// and marks in the layer's log where each begins. What it computes is nothing.
import { appendFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Tensor } from "@tensorflow/tfjs-core";
import { openLlamaCpp } from "../../llama/llama-cpp.js";
import { writeLlama } from "../../llama/gguf.js";
import { jaxjs, jaxjsModule } from "../../peers/jax.js";
import { MICROSOFT, writeOnnx, type OnnxNode, type OnnxTensor, type OnnxValue } from "../../peers/onnx.js";
import { tensorflow, tfjs } from "../../peers/tfjs.js";
import { END, LATE } from "./marks.js";

const log = process.env["MODC_LAYER_LOG"]!;
const mark = (name: string): void => appendFileSync(log, `${JSON.stringify({ mark: name })}\n`);
const values = (n: number): Float32Array => new Float32Array(n).fill(0.01);
/** Runs one operator. A device without hardware may never say that it is done: then the log says that it is late. */
async function operator(name: string, work: () => Promise<unknown>): Promise<void> {
  mark(name);
  let timer: NodeJS.Timeout | undefined;
  const wait = new Promise<true>((done) => {
    timer = setTimeout(() => done(true), 5000);
  });
  if (await Promise.race([work().then(() => false), wait])) mark(`${LATE}${name}`);
  clearTimeout(timer);
}

async function runTfjs(): Promise<void> {
  await tfjs.open();
  const tf = tensorflow();
  const of = (...shape: number[]): Tensor => tf.tensor(values(shape.reduce((a, b) => a * b, 1)), shape, "float32");
  for (const rows of [1024, 1]) {
    const [a, b] = [of(rows, 1024), of(1024, 1024)];
    await operator(`f32 product ${rows}`, () => tf.matMul(a, b).data());
  }
  const [q, k] = [of(8, 512, 64), of(8, 512, 64)];
  await operator("f32 attention 512", () => tf.matMul(tf.softmax(tf.matMul(q, k, false, true)), k).data());
  const x = of(2048);
  await operator("top 256", () => tf.topk(x, 256).indices.data());
}

async function runJax(): Promise<void> {
  await jaxjs.open();
  const { numpy } = jaxjsModule();
  for (const rows of [1024, 1]) {
    const [a, b] = [rows, 1024].map((n) => numpy.array(values(n * 1024)).reshape([n, 1024]));
    await operator(`f32 product ${rows}`, () => numpy.matmul(a!, b!).data());
  }
}

type Kind = "f32" | "f16";
interface Model {
  readonly mark: string;
  readonly node: OnnxNode;
  readonly constants?: readonly OnnxTensor[];
  readonly inputs: readonly (OnnxValue & { readonly whole?: number })[];
  readonly outputs: readonly OnnxValue[];
}

const zeros = (type: Kind, n: number): Float32Array | Uint16Array =>
  type === "f32" ? new Float32Array(n) : new Uint16Array(n);

const product = (type: Kind, rows: number): Model => ({
  mark: `${type} product ${rows}`,
  node: { op: "MatMul", inputs: ["a", "b"], outputs: ["y"] },
  constants: [{ name: "b", shape: [1024, 1024], data: zeros(type, 1024 * 1024) }],
  inputs: [{ name: "a", shape: [rows, 1024], type }],
  outputs: [{ name: "y", shape: [rows, 1024], type }],
});

/** By q4 or q8 in blocks of 32. */
const quantized = (bits: 4 | 8): Model => ({
  mark: `q${bits} product 1`,
  node: {
    op: "MatMulNBits",
    domain: MICROSOFT,
    inputs: ["a", "b", "s"],
    outputs: ["y"],
    attributes: { K: 1024, N: 1024, bits, block_size: 32, accuracy_level: 4 },
  },
  constants: [
    { name: "b", shape: [1024, 32, 4 * bits], data: new Uint8Array(1024 * 128 * bits) },
    { name: "s", shape: [1024 * 32], data: zeros("f16", 1024 * 32) },
  ],
  inputs: [{ name: "a", shape: [1, 1024], type: "f16" }],
  outputs: [{ name: "y", shape: [1, 1024], type: "f16" }],
});

function attention(type: Kind, queries: number): Model {
  const past = 512 - queries;
  const of = (name: string, shape: readonly number[]): OnnxValue => ({ name, shape, type });
  const own = ["q", "k", "v"].map((name) => of(name, [1, queries, 512]));
  const cached = ["pk", "pv"].map((name) => of(name, [1, 8, past, 64]));
  return {
    mark: `${type} attention ${queries}`,
    node: {
      op: "GroupQueryAttention",
      domain: MICROSOFT,
      inputs: ["q", "k", "v", "pk", "pv", "l", "n"],
      outputs: ["y", "ok", "ov"],
      attributes: { num_heads: 8, kv_num_heads: 8 },
    },
    inputs: [
      ...own,
      ...cached,
      { name: "l", shape: [1, 1], type: "i32", whole: 511 },
      { name: "n", shape: [1], type: "i32", whole: 512 },
    ],
    outputs: [of("y", [1, queries, 512]), ...["ok", "ov"].map((name) => of(name, [1, 8, 512, 64]))],
  };
}

const MODELS = [
  product("f32", 1024),
  product("f16", 512),
  product("f32", 1),
  quantized(8),
  quantized(4),
  attention("f16", 512),
  attention("f16", 1),
];

async function runOnnxruntime(): Promise<void> {
  const ort = await import("onnxruntime-node");
  for (const { mark: name, node, constants = [], inputs, outputs } of MODELS) {
    const bytes = writeOnnx({ nodes: [node], constants, inputs, outputs });
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ["webgpu"], logSeverityLevel: 3 });
    const tensors = inputs.map(({ name: input, type, shape, whole = 0 }) => {
      const n = shape.reduce<number>((a, b) => a * Number(b), 1);
      const sizes = shape.map(Number);
      if (type === "i32") return [input, new ort.Tensor("int32", new Int32Array(n).fill(whole), sizes)] as const;
      if (type === "f16") return [input, new ort.Tensor("float16", new Uint16Array(n), sizes)] as const;
      return [input, new ort.Tensor("float32", new Float32Array(n), sizes)] as const;
    });
    await operator(name, () => session.run(Object.fromEntries(tensors)));
  }
}

async function runLlama(): Promise<void> {
  // Goes with the folder of the log.
  const path = join(dirname(log), "model.gguf");
  const shape = { name: "one", vocab: 1024, dim: 1024, hidden: 1024, depth: 1, heads: 16, kvHeads: 16 };
  for (const [type, kind] of [
    ["F32", "f32"],
    ["Q8_0", "q8"],
    ["Q4_0", "q4"],
  ] as const) {
    writeLlama(path, shape, type);
    const model = await openLlamaCpp(path, { vulkan: true, threads: 1, context: 512, flashAttention: true });
    mark(`${kind} prompt`);
    const prompt = Array.from({ length: 500 }, (_, i) => 3 + ((i * 7) % 250));
    let n = 0;
    for await (const _ of model.run(prompt, 3)) if (++n < 3) mark(`${kind} token`);
  }
}

const RUNS: Readonly<Record<string, () => Promise<void>>> = {
  tfjs: runTfjs,
  jax: runJax,
  onnxruntime: runOnnxruntime,
  llama: runLlama,
};

try {
  await RUNS[process.argv[2]!]!();
  mark(END);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
}
// Dawn ends in a crash where a device without hardware is destroyed.
process.stderr.write("", () => process.kill(process.pid, "SIGKILL"));
