// Training steps in jax-js: one function computes gradients and AdamW, and jax-js compiles it.
import type { Array as JaxArray } from "@jax-js/jax";
import { jaxjsModule, operators, type Jax } from "../peers/jax.js";
import { lossOf, type Tables } from "./decoder.js";
import type { TrainOps } from "./ops.js";
import { decays, type TrainData } from "./protocol.js";
import { hostTables } from "./tables.js";
import { corrections, held, stored, type MakeTrainee } from "./trainee.js";

/** What a step changes, in the order of the weights. */
interface State {
  readonly weights: JaxArray[];
  readonly m: JaxArray[];
  readonly v: JaxArray[];
}

/** The function consumes its arguments, like all functions of jax-js. */
type Step = (
  weights: JaxArray[],
  m: JaxArray[],
  v: JaxArray[],
  batch: JaxArray[],
  tables: JaxArray[],
) => [JaxArray[], JaxArray[], JaxArray[], JaxArray];

export const trainJax: MakeTrainee = async (data) => {
  const jax = jaxjsModule();
  const { numpy: np } = jax;
  const begun = data.weights.map(([path, sent]) => held(path, sent));
  const sent = (values: Float32Array | Int32Array, shape: readonly number[]): JaxArray =>
    np.array(values).reshape([...shape]);
  const zeros = (): JaxArray[] =>
    begun.map(({ data, shape }) => np.array(new Float32Array(data.length)).reshape([...shape]));
  let state: State = { weights: begun.map(({ data, shape }) => sent(data, shape)), m: zeros(), v: zeros() };
  const { cos, sin, mask } = hostTables(data);
  const tables = [cos, sin, mask].map(({ data, shape }) => sent(data, shape));
  const step = jax.jit(stepOf(jax, data));
  let done = 0;
  const one = (): JaxArray => {
    const { tokens, targets } = data.batches[done++ % data.batches.length]!;
    const batch = [
      np.array(Int32Array.from(tokens)),
      np.array(Int32Array.from(targets)),
      np.array(Float32Array.from(corrections(data, done))),
    ];
    const [weights, m, v, loss] = step(
      state.weights,
      state.m,
      state.v,
      batch,
      tables.map((t) => t.ref),
    );
    state = { weights, m, v };
    return loss;
  };
  return {
    async steps(count) {
      const losses = Array.from({ length: count }, one);
      const values: number[] = [];
      for (const loss of losses) values.push((await loss.data())[0]!);
      return values;
    },
    async standing() {
      const read = async (arrays: readonly JaxArray[]): Promise<[string, Float32Array][]> => {
        const all: [string, Float32Array][] = [];
        for (const [i, [path, { shape }]] of data.weights.entries())
          all.push([path, stored(path, shape, Float32Array.from(await arrays[i]!.ref.data()))]);
        return all;
      };
      return { weights: await read(state.weights), moments: await read(state.m) };
    },
    async dispose() {
      step.dispose();
      for (const array of [...state.weights, ...state.m, ...state.v, ...tables]) array.dispose();
    },
  };
};

function stepOf(jax: Jax, data: TrainData): Step {
  const { numpy: np, valueAndGrad } = jax;
  const { learningRate, beta1, beta2, eps, decay, clip } = data.settings;
  const places = new Map(data.weights.map(([path], i) => [path, i]));
  return (weights, m, v, [tokens, targets, corrections], [cos, sin, mask]) => {
    const tables: Tables<JaxArray> = { cos: cos!, sin: sin!, mask: mask! };
    const ops = trainOperators(jax, data, tables);
    const [loss, gradients] = valueAndGrad((all: JaxArray[]) =>
      lossOf(ops, data, (path) => all[places.get(path)!]!, tables, tokens!, targets!),
    )(weights.map((w) => w.ref));
    const norm = np.sqrt(gradients.map((g) => np.sum(np.square(g.ref))).reduce((a, b) => a.add(b)));
    const factor = np.minimum(1, np.array(clip).div(norm.add(1e-6)));
    const first = corrections!.ref.slice(0);
    const second = corrections!.ref.slice(1);
    const next: [JaxArray[], JaxArray[], JaxArray[]] = [[], [], []];
    for (const [i, gradient] of gradients.entries()) {
      const [path, sent] = data.weights[i]!;
      const g = gradient.mul(factor.ref);
      const momentum = m[i]!.ref.mul(beta1).add(g.ref.mul(1 - beta1));
      const square = v[i]!.ref.mul(beta2).add(np.square(g).mul(1 - beta2));
      const change = momentum.ref
        .div(first.ref)
        .div(np.sqrt(square.ref.div(second.ref)).add(eps))
        .mul(learningRate);
      const weight = decays(path, sent) ? weights[i]!.ref.mul(1 - learningRate * decay) : weights[i]!.ref;
      next[0].push(weight.sub(change));
      next[1].push(momentum);
      next[2].push(square);
    }
    return [...next, loss];
  };
}

/** Of what is traced, nothing is kept. */
function trainOperators(
  jax: Jax,
  { B, T, dim, heads, vocab }: TrainData,
  tables: Tables<JaxArray>,
): TrainOps<JaxArray> {
  const { numpy: np, nn, lax, vjp } = jax;
  const width = dim / heads;
  return {
    ...operators(jax, [], new Map()),
    matmulTransposed: (a, b) => np.matmul(a.ref, np.swapaxes(b.ref, -1, -2)),
    lookUp: (table, tokens) => np.take(table.ref, tokens.ref, 0),
    choose: (score, k) => {
      const order = np.argsort(lax.stopGradient(score.ref).mul(-1));
      const index = order.slice([], [0, k]);
      const firsts = np.array(Int32Array.from({ length: B * k }, (_, i) => Math.floor(i / k) * T));
      const places = np.arange(T).reshape([1, 1, T]);
      const angles = (table: JaxArray): JaxArray =>
        np.take(table.ref, index.ref.reshape([B * k]), 0).reshape([B, 1, k, width]);
      return {
        // In this order: what a scatter reads may not be another shape of what was just computed.
        rows: index.ref.reshape([B * k]).add(firsts),
        mask: np.where(np.greaterEqual(index.ref.reshape([B, 1, k, 1]), index.ref.reshape([B, 1, 1, k])), 0, -1e9),
        cos: angles(tables.cos),
        sin: angles(tables.sin),
        chosen: np.sum(np.where(np.equal(index.ref.reshape([B, k, 1]), places), 1, 0), 1),
      };
    },
    take: (x, { rows }) => np.take(x.ref, rows.ref, 0),
    // There is no scatter to call, but it is what a gather becomes backwards.
    put: (x, { rows }, update) => {
      const [, back] = vjp((rowsOf: JaxArray) => np.take(rowsOf, rows.ref, 0), [np.zeros([B * T, dim])]);
      const [put] = back(update.ref);
      return x.ref.add(put);
    },
    detached: (x) => lax.stopGradient(x.ref),
    crossEntropy: (logits, targets) =>
      np.mean(np.sum(nn.oneHot(targets.ref, vocab).mul(nn.logSoftmax(logits.ref, -1)), -1)).mul(-1),
    predictorLoss: (z, { chosen }) => np.mean(nn.softplus(z.ref).sub(z.ref.mul(chosen.ref))),
  };
}
