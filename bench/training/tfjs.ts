// Training steps in TensorFlow.js: gradients by its tape, AdamW from its operators.
import type * as TfCore from "@tensorflow/tfjs-core";
import type { Tensor, Variable } from "@tensorflow/tfjs-core";
import { operators, tensorflow } from "../peers/tfjs.js";
import { lossOf, type Tables } from "./decoder.js";
import type { Choice, TrainOps } from "./ops.js";
import { decays, type TrainData } from "./protocol.js";
import { hostTables } from "./tables.js";
import { corrections, held, stored, type MakeTrainee } from "./trainee.js";

type Tf = typeof TfCore;

interface Learning {
  readonly path: string;
  readonly shape: readonly number[];
  readonly value: Variable;
  readonly m: Variable;
  readonly v: Variable;
  readonly decays: boolean;
}

export const trainTfjs: MakeTrainee = async (data) => {
  const tf = tensorflow();
  await registerGradients();
  const tables = tablesOf(tf, data);
  const learning = data.weights.map(([path, sent]): Learning => {
    const { data: values, shape } = held(path, sent);
    const zeros = (): Variable => tf.variable(tf.zeros([...shape]), false);
    const value = tf.variable(tf.tensor(values, [...shape], "float32"), true);
    return { path, shape: sent.shape, value, m: zeros(), v: zeros(), decays: decays(path, sent) };
  });
  const weights = new Map(learning.map((l) => [l.path, l.value]));
  let done = 0;
  const one = (): Tensor => {
    const { tokens, targets } = data.batches[done++ % data.batches.length]!;
    return step(tf, { data, tables, learning, weights }, done, Int32Array.from(tokens), Int32Array.from(targets));
  };
  return {
    async steps(count) {
      const losses = Array.from({ length: count }, one);
      const values: number[] = [];
      for (const loss of losses) {
        values.push((await loss.data())[0]!);
        loss.dispose();
      }
      return values;
    },
    async standing() {
      const read = async (of: (l: Learning) => Variable): Promise<[string, Float32Array][]> => {
        const all: [string, Float32Array][] = [];
        for (const l of learning) all.push([l.path, stored(l.path, l.shape, Float32Array.from(await of(l).data()))]);
        return all;
      };
      return { weights: await read((l) => l.value), moments: await read((l) => l.m) };
    },
    async dispose() {
      for (const { value, m, v } of learning) for (const tensor of [value, m, v]) tensor.dispose();
      for (const tensor of Object.values(tables)) tensor.dispose();
    },
  };
};

/**
 * TensorFlow.js's core is published without its gradients. Their files have imports that only bundlers resolve, so the
 * bench bundles them next to this process (`process.ts`).
 */
async function registerGradients(): Promise<void> {
  await import(new URL("./gradients.js", import.meta.url).href);
}

function tablesOf(tf: Tf, data: TrainData): Tables<Tensor> {
  const { cos, sin, mask } = hostTables(data);
  const sent = ({ data, shape }: typeof cos): Tensor => tf.tensor(data, [...shape], "float32");
  return { cos: sent(cos), sin: sent(sin), mask: sent(mask) };
}

interface Setting {
  readonly data: TrainData;
  readonly tables: Tables<Tensor>;
  readonly learning: readonly Learning[];
  readonly weights: ReadonlyMap<string, Variable>;
}

/** One step. Returns the loss, which the caller disposes. */
function step(
  tf: Tf,
  { data, tables, learning, weights }: Setting,
  number: number,
  tokens: Int32Array,
  targets: Int32Array,
): Tensor {
  const kept: Tensor[] = [];
  const loss = tf.tidy(() => {
    const ops = trainOperators(tf, data, tables, kept);
    const [given, wanted] = [tokens, targets].map((values) => tf.tensor(values, [values.length], "int32")) as [
      Tensor,
      Tensor,
    ];
    const { value, grads } = tf.variableGrads(
      () => lossOf(ops, data, (path) => weights.get(path)!, tables, given, wanted),
      learning.map((l) => l.value),
    );
    update(
      tf,
      data,
      learning,
      learning.map((l) => grads[l.value.name]!),
      number,
    );
    return value;
  });
  for (const tensor of kept) tensor.dispose();
  return loss;
}

function update(
  tf: Tf,
  data: TrainData,
  learning: readonly Learning[],
  gradients: readonly Tensor[],
  number: number,
): void {
  const { learningRate, beta1, beta2, eps, decay, clip } = data.settings;
  const [first, second] = corrections(data, number);
  const norm = tf.sqrt(tf.sum(tf.stack(gradients.map((g) => tf.sum(tf.square(g))))));
  const factor = tf.minimum(1, tf.div(clip, tf.add(norm, 1e-6)));
  for (const [i, { value, m, v, decays }] of learning.entries()) {
    const g = tf.mul(gradients[i]!, factor);
    m.assign(tf.add(tf.mul(m, beta1), tf.mul(g, 1 - beta1)));
    v.assign(tf.add(tf.mul(v, beta2), tf.mul(tf.square(g), 1 - beta2)));
    const change = tf.mul(tf.div(m, tf.add(tf.mul(tf.sqrt(v), 1 / Math.sqrt(second)), eps)), learningRate / first);
    value.assign(tf.sub(decays ? tf.mul(value, 1 - learningRate * decay) : value, change));
  }
}

/** `kept` holds what has to live until gradients are there. */
function trainOperators(
  tf: Tf,
  { B, T, dim, heads, vocab }: TrainData,
  tables: Tables<Tensor>,
  kept: Tensor[],
): TrainOps<Tensor> {
  // There is no operator that stops gradients, but the tape does not see what an operator with a gradient of one's own
  // does inside.
  const offTape = (on: Tensor, make: (on: Tensor) => readonly Tensor[]): readonly Tensor[] => {
    let made: readonly Tensor[] = [];
    tf.customGrad((x: Tensor) => {
      made = make(x).map((tensor) => tf.keep(tensor));
      return { value: tf.zeros([1]), gradFunc: () => tf.zerosLike(x) };
    })(on);
    kept.push(...made);
    return made;
  };
  const column = (rows: Tensor): Tensor => tf.expandDims(rows, 1);
  const width = dim / heads;
  return {
    ...operators(tf, kept),
    matmulTransposed: (a, b) => tf.matMul(a, b, false, true),
    lookUp: (table, tokens) => tf.gather(table, tokens),
    choose: (score, k) => {
      const [rows, mask, cos, sin, chosen] = offTape(score, (score) => {
        const { indices } = tf.topk(score, k);
        const flat = tf.reshape(indices, [B * k]);
        const [row, columnOf] = [tf.reshape(indices, [B, 1, k, 1]), tf.reshape(indices, [B, 1, 1, k])];
        const firsts = tf.tensor(
          Int32Array.from({ length: B }, (_, b) => b * T),
          [B, 1],
          "int32",
        );
        const rows = tf.reshape(tf.add(indices, firsts), [B * k]);
        return [
          rows,
          tf.where(tf.greaterEqual(row, columnOf), 0, -1e9),
          ...[tables.cos, tables.sin].map((table) => tf.reshape(tf.gather(table, flat), [B, 1, k, width])),
          tf.reshape(tf.scatterND(column(rows), tf.ones([B * k]), [B * T]), [B, T]),
        ];
      }) as [Tensor, Tensor, Tensor, Tensor, Tensor];
      return { rows, mask, cos, sin, chosen };
    },
    take: (x, { rows }) =>
      tf.customGrad((x: Tensor) => ({
        value: tf.gather(x, rows),
        gradFunc: (dy: Tensor) => tf.scatterND(column(rows), dy, [...x.shape]),
      }))(x),
    put: (x, { rows }, update) =>
      tf.customGrad((x: Tensor, update: Tensor) => ({
        value: tf.tensorScatterUpdate(x, column(rows), tf.add(tf.gather(x, rows), update)),
        gradFunc: (dy: Tensor) => [dy, tf.gather(dy, rows)],
      }))(x, update),
    detached: (x) => offTape(x, (x) => [tf.clone(x)])[0]!,
    crossEntropy: (logits, targets) =>
      tf.neg(tf.mean(tf.sum(tf.mul(tf.oneHot(targets, vocab), tf.logSoftmax(logits)), -1))),
    predictorLoss: (z, { chosen }: Choice<Tensor>) => tf.mean(tf.sub(tf.softplus(z), tf.mul(z, chosen))),
  };
}
