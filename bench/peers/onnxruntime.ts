// onnxruntime-node, on its WebGPU or its CPU execution provider. A session runs one graph and always waits, so
// repetitions are part of the graph.
import type * as Ort from "onnxruntime-node";
import type { CaseData } from "../protocol.js";
import { block, resultOf, startOf } from "./blocks.js";
import { writeOnnx, type Attribute, type OnnxNode, type OnnxTensor } from "./onnx.js";
import type { Ops } from "./ops.js";
import type { Built, Peer } from "./peer.js";

export function onnxruntime(provider: "webgpu" | "cpu"): Peer {
  let ort: typeof Ort | null = null;
  const create = (model: Uint8Array): Promise<Ort.InferenceSession> =>
    ort!.InferenceSession.create(model, { executionProviders: [provider], logSeverityLevel: 3 });
  return {
    async open() {
      ort = await import("onnxruntime-node");
      // A session that does next to nothing opens the device.
      const value = { name: "x", shape: [4], type: "f32" } as const;
      const session = await create(
        writeOnnx({
          nodes: [{ op: "Relu", inputs: ["x"], outputs: ["y"] }],
          constants: [],
          inputs: [value],
          outputs: [{ ...value, name: "y" }],
        }),
      );
      await session.run({ x: new ort.Tensor("float32", new Float32Array(4), [4]) });
      await session.release();
      return `onnxruntime ${provider}`;
    },

    async build(data: CaseData, repeat: number): Promise<Built> {
      const graph = new GraphBuilder();
      const start = startOf(data);
      const { apply, next } = block(graph.ops, data, "x");
      let result = apply("x");
      for (let i = 1; i < repeat; i++) result = apply(next(result));
      const whole = start.data instanceof Int32Array;
      const shape =
        data.kind === "moby"
          ? [data.T, data.weights.find(([path]) => path === "moby.embed.table")![1].shape[0]!]
          : start.shape;
      const model = writeOnnx({
        nodes: graph.nodes,
        constants: graph.constants,
        inputs: [{ name: "x", shape: start.shape, type: whole ? "i64" : "f32" }],
        outputs: [{ name: result, shape, type: "f32" }],
      });
      const session = await create(model);
      const { Tensor } = ort!;
      const x =
        start.data instanceof Int32Array
          ? new Tensor("int64", BigInt64Array.from(start.data, BigInt), [...start.shape])
          : new Tensor("float32", start.data, [...start.shape]);
      const run = async (): Promise<Float32Array> => {
        const results = await session.run({ x });
        return resultOf(data, results[result]!.data as Float32Array); // every block has one f32 result
      };
      return {
        first: run,
        run,
        dispose: () => session.release(),
      };
    },
  };
}

/** Records nodes as operators are called. A value is its name. */
export class GraphBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly constants: OnnxTensor[] = [];
  readonly #scalars = new Map<string, string>();
  readonly ops: Ops<string>;
  #values = 0;

  constructor() {
    const call = (
      op: string,
      inputs: readonly string[],
      attributes: Readonly<Record<string, Attribute>> = {},
    ): string => this.node(op, inputs, attributes, 1)[0]!;
    const column = (index: string): string => call("Unsqueeze", [index, this.#whole([1])]);
    this.ops = {
      constant: (data, shape) =>
        this.#constant(data instanceof Int32Array ? BigInt64Array.from(data, BigInt) : data, shape),
      matmul: (a, b) => call("MatMul", [a, b]),
      add: (a, b) => call("Add", [a, b]),
      mul: (a, b) => call("Mul", [a, b]),
      scale: (a, factor) => call("Mul", [a, this.#number(factor)]),
      normalise: (x) => {
        const mean = call("ReduceMean", [call("Mul", [x, x]), this.#whole([-1])], { keepdims: 1 });
        return call("Div", [x, call("Sqrt", [call("Add", [mean, this.#number(1e-5)])])]);
      },
      softmax: (x) => call("Softmax", [x], { axis: -1 }),
      gelu: (x) => call("Gelu", [x]),
      silu: (x) => call("Mul", [x, call("Sigmoid", [x])]),
      reshape: (x, shape) => call("Reshape", [x, this.#whole(shape)]),
      transpose: (x, order) => call("Transpose", [x], { perm: order }),
      turned: (x, width) => {
        const [a, b] = this.node("Split", [x, this.#whole([width / 2, width / 2])], { axis: -1 }, 2) as [
          string,
          string,
        ];
        return call("Concat", [call("Neg", [b]), a], { axis: -1 });
      },
      top: (score, k) => this.node("TopK", [score, this.#whole([k])], {}, 2)[1]!,
      amongTop: (scores, k) => {
        const values = this.node("TopK", [scores, this.#whole([k])], {}, 2)[0]!;
        const least = call("ReduceMin", [values, this.#whole([-1])], { keepdims: 1 });
        return call("Where", [call("GreaterOrEqual", [scores, least]), this.#number(1), this.#number(0)]);
      },
      rows: (x, index) => call("Gather", [x, index], { axis: 0 }),
      putRows: (x, index, before, update) => call("ScatterND", [x, column(index), call("Add", [before, update])]),
      causalMask: (index, k) => {
        const place = call("Cast", [index], { to: 1 });
        const sees = call("GreaterOrEqual", [
          call("Reshape", [place, this.#whole([k, 1])]),
          call("Reshape", [place, this.#whole([1, k])]),
        ]);
        return call("Where", [sees, this.#number(0), this.#number(-1e9)]);
      },
      argmax: (x) => call("ArgMax", [x], { axis: -1, keepdims: 0 }),
      part: (_, f, args) => f(args),
      release: () => undefined,
    };
  }

  node(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    results: number,
  ): readonly string[] {
    const outputs = Array.from({ length: results }, () => `v${this.#values++}`);
    this.nodes.push({ op, inputs, outputs, attributes });
    return outputs;
  }

  #constant(data: Float32Array | BigInt64Array, shape: readonly number[]): string {
    const name = `c${this.#values++}`;
    this.constants.push({ name, shape, data });
    return name;
  }

  #number(value: number): string {
    return this.#shared(`f${value}`, () => this.#constant(Float32Array.of(value), []));
  }

  #whole(values: readonly number[]): string {
    return this.#shared(`i${values.join()}`, () => this.#constant(BigInt64Array.from(values, BigInt), [values.length]));
  }

  #shared(key: string, make: () => string): string {
    let name = this.#scalars.get(key);
    if (name === undefined) this.#scalars.set(key, (name = make()));
    return name;
  }
}
