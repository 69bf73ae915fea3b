// jax-js on WebGPU. Its arrays are reference-counted: a call consumes its arguments, unless it gets `.ref`.
import type * as JaxModule from "@jax-js/jax";
import type { Array as JaxArray } from "@jax-js/jax";
import type { CaseData } from "../protocol.js";
import { block, resultOf, startOf } from "./blocks.js";
import { provideGpu } from "./navigator.js";
import type { Ops } from "./ops.js";
import type { Built, Peer } from "./peer.js";

export type Jax = typeof JaxModule;

let jax: Jax | null = null;

/** Once `jaxjs` is open. */
export function jaxjsModule(): Jax {
  if (!jax) throw new Error("jax-js is not open");
  return jax;
}

export const jaxjs: Peer = {
  async open() {
    const description = await provideGpu();
    jax = await import("@jax-js/jax");
    const devices = await jax.init("webgpu");
    if (!devices.includes("webgpu")) throw new Error("no WebGPU device");
    jax.defaultDevice("webgpu");
    return description;
  },

  async build(data: CaseData, repeat: number): Promise<Built> {
    const kept: JaxArray[] = [];
    const compiled = new Map<string, Compiled>();
    const ops = operators(jax!, kept, compiled);
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
      return resultOf(data, Float32Array.from(await result.data()));
    };
    return {
      first: () => run(1),
      run: () => run(repeat),
      async dispose() {
        for (const f of compiled.values()) f.dispose();
        for (const array of kept) array.dispose();
      },
    };
  },
};

/** Shaped by its first call. */
export interface Compiled {
  (...args: JaxArray[]): JaxArray;
  dispose(): void;
}

/** `kept` gets all constants, `compiled` the parts by name. */
export function operators(
  { numpy: np, nn, lax, jit }: Jax,
  kept: JaxArray[],
  compiled: Map<string, Compiled>,
): Ops<JaxArray> {
  return {
    constant: (data, shape) => {
      const made = np.array(data).reshape([...shape]);
      kept.push(made);
      return made;
    },
    matmul: (a, b) => np.matmul(a.ref, b.ref),
    add: (a, b) => a.ref.add(b.ref),
    mul: (a, b) => a.ref.mul(b.ref),
    scale: (a, factor) => a.ref.mul(factor),
    normalise: (x) => x.ref.div(np.sqrt(np.mean(np.square(x.ref), -1, { keepdims: true }).add(1e-5))),
    softmax: (x) => nn.softmax(x.ref, -1),
    gelu: (x) => nn.gelu(x.ref, { approximate: false }),
    silu: (x) => nn.silu(x.ref),
    reshape: (x, shape) => x.ref.reshape([...shape]),
    transpose: (x, order) => x.ref.transpose([...order]),
    turned: (x, width) => {
      const part = (from: number, to: number): JaxArray =>
        x.ref.slice(...x.shape.slice(1).map((): [] => []), [from, to]);
      return np.concatenate([part(width / 2, width).mul(-1), part(0, width / 2)], -1);
    },
    top: (score, k) => {
      const [values, index] = lax.topK(score.ref, k);
      values.dispose();
      return index;
    },
    amongTop: (scores, k) => {
      const [values, index] = lax.topK(scores.ref, k);
      index.dispose();
      const least = np.min(values, -1, { keepdims: true });
      return np.where(np.greaterEqual(scores.ref, least), 1, 0);
    },
    rows: (x, index) => np.take(x.ref, index.ref, 0),
    // There is no scatter to call: every row looks for its update. A product with the places took six times as long.
    putRows: (x, index, _, update) => {
      const T = x.shape[0]!;
      const chosen = nn.oneHot(index.ref, T);
      const found = np.max(chosen.ref, 0).reshape([T, 1]);
      return x.ref.add(np.take(update.ref, np.argmax(chosen, 0), 0).mul(found));
    },
    causalMask: (index, k) => np.where(np.greaterEqual(index.ref.reshape([k, 1]), index.ref.reshape([1, k])), 0, -1e9),
    argmax: (x) => np.argmax(x.ref, -1),
    part: (name, f, args) => {
      let call = compiled.get(name);
      if (!call) compiled.set(name, (call = jit((...given: JaxArray[]) => f(given))));
      return call(...args.map((a) => a.ref));
    },
    release: (x) => {
      x.dispose();
    },
  };
}
