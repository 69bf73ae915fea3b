// TensorFlow.js on its WebGPU backend.
import type * as TfCore from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { CaseData } from "../protocol.js";
import { block, resultOf, startOf } from "./blocks.js";
import { provideGpu } from "./navigator.js";
import type { Ops } from "./ops.js";
import type { Built, Peer } from "./peer.js";

type Tf = typeof TfCore;

let tf: Tf | null = null;

/** Once `tfjs` is open. */
export function tensorflow(): Tf {
  if (!tf) throw new Error("TensorFlow.js is not open");
  return tf;
}

export const tfjs: Peer = {
  async open() {
    const description = await provideGpu();
    // It looks for a page before it registers.
    Object.assign(globalThis, {
      window: globalThis,
      document: { createElement: () => ({}), body: { appendChild: () => undefined } },
    });
    tf = await import("@tensorflow/tfjs-core");
    await import("@tensorflow/tfjs-backend-webgpu");
    // There is no CPU backend to hand small work to.
    tf.env().set("WEBGPU_CPU_FORWARD", false);
    await tf.setBackend("webgpu");
    await tf.ready();
    return description;
  },

  async build(data: CaseData, repeat: number): Promise<Built> {
    const kept: Tensor[] = [];
    const ops = operators(tf!, kept);
    const start = startOf(data);
    const { apply, next, start: first } = block(ops, data, ops.constant(start.data, start.shape));
    const run = async (times: number): Promise<Float32Array> => {
      let x = first;
      let result = apply(x);
      for (let i = 1; i < times; i++) {
        x = next(result);
        const before = result;
        result = apply(x);
        before.dispose();
        if (x !== before) x.dispose();
      }
      const values = await result.data();
      result.dispose();
      return resultOf(data, Float32Array.from(values));
    };
    return {
      first: () => run(1),
      run: () => run(repeat),
      async dispose() {
        for (const tensor of kept) tensor.dispose();
      },
    };
  },
};

/** Adds all constants to `kept`. */
export function operators(tf: Tf, kept: Tensor[]): Ops<Tensor> {
  return {
    constant: (data, shape) => {
      const made = tf.tensor(data, [...shape], data instanceof Int32Array ? "int32" : "float32");
      kept.push(made);
      return made;
    },
    matmul: (a, b) => tf.matMul(a, b),
    add: (a, b) => tf.add(a, b),
    mul: (a, b) => tf.mul(a, b),
    scale: (a, factor) => tf.mul(a, factor),
    normalise: (x) => tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-5))),
    softmax: (x) => tf.softmax(x),
    gelu: (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)),
    silu: (x) => tf.mul(x, tf.sigmoid(x)),
    reshape: (x, shape) => tf.reshape(x, [...shape]),
    transpose: (x, order) => tf.transpose(x, [...order]),
    turned: (x, width) => {
      const [a, b] = tf.split(x, 2, -1);
      if (!a || !b) throw new Error(`an axis of ${width} has no halves`);
      return tf.concat([tf.neg(b), a], -1);
    },
    top: (score, k) => {
      const { values, indices } = tf.topk(score, k);
      values.dispose();
      return indices;
    },
    amongTop: (scores, k) => {
      const { values } = tf.topk(scores, k);
      return tf.where(tf.greaterEqual(scores, tf.min(values, -1, true)), 1, 0);
    },
    rows: (x, index) => tf.gather(x, index),
    putRows: (x, index, before, update) => tf.tensorScatterUpdate(x, tf.expandDims(index, 1), tf.add(before, update)),
    causalMask: (index) => tf.where(tf.greaterEqual(tf.expandDims(index, 1), tf.expandDims(index, 0)), 0, -1e9),
    argmax: (x) => tf.argMax(x, -1),
    part: (_, f, args) => tf.tidy(() => f(args)),
    release: (x) => {
      x.dispose();
    },
  };
}
