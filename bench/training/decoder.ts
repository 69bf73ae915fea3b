// bench/models/decoder.mod and its loss, written with the peers' operators, for a batch.
import type { TrainData } from "./protocol.js";
import type { Choice, TrainOps } from "./ops.js";

/** Weights by path; a Linear's weights are [in, out]. */
export type Weights<V> = (path: string) => V;

/** What does not learn: tables by position. */
export interface Tables<V> {
  /** [T, width] each. */
  readonly cos: V;
  readonly sin: V;
  /** [T, T]. */
  readonly mask: V;
}

interface Rows<V> {
  /** Of each sequence. */
  readonly count: number;
  readonly cos: V;
  readonly sin: V;
  readonly mask: V;
}

/** Whether the peers hold a weight transposed: the matrices of Linears, but not the embedding. */
export const isTransposed = (path: string, shape: readonly number[]): boolean =>
  shape.length === 2 && path !== "embed.table";

/** The loss of a batch: next token, and of each predictor. Tokens and targets are [B·T]. */
export function lossOf<V>(
  ops: TrainOps<V>,
  data: TrainData,
  weights: Weights<V>,
  tables: Tables<V>,
  tokens: V,
  targets: V,
): V {
  const { B, T, depth, k } = data;
  const whole: Rows<V> = { count: T, ...tables };
  const losses: V[] = [];
  let x = ops.lookUp(weights("embed.table"), tokens);
  for (let i = 0; i < depth; i++) {
    const own: Weights<V> = (path) => weights(`layers.${i}.${path}`);
    const inner: Weights<V> = (path) => own(`inner.${path}`);
    if (k === null || i % 2 === 0) {
      x = ops.add(x, update(ops, data, inner, x, whole));
      continue;
    }
    const score = ops.reshape(ops.matmul(x, own("router.weight")), [B, T]);
    const choice = ops.choose(score, k);
    losses.push(ops.scale(ops.predictorLoss(guess(ops, data, own, ops.detached(x)), choice), 0.01));
    const rows = ops.take(x, choice);
    // The scores of the chosen once more: a product with one column costs less than a gather and its gradient.
    const gate = ops.matmul(rows, own("router.weight"));
    x = ops.put(x, choice, ops.mul(update(ops, data, inner, rows, rowsOf(choice, k)), gate));
  }
  const logits = ops.matmulTransposed(ops.mul(ops.normalise(x), weights("norm.weight")), weights("embed.table"));
  return losses.reduce((sum, loss) => ops.add(sum, loss), ops.crossEntropy(logits, targets));
}

const rowsOf = <V>({ cos, sin, mask }: Choice<V>, count: number): Rows<V> => ({ count, cos, sin, mask });

/** [B, T]. */
function guess<V>(ops: TrainOps<V>, { B, T }: TrainData, own: Weights<V>, x: V): V {
  const hidden = ops.silu(ops.add(ops.matmul(x, own("guess.up.weight")), own("guess.up.bias")));
  return ops.reshape(ops.add(ops.matmul(hidden, own("guess.down.weight")), own("guess.down.bias")), [B, T]);
}

/** a + mlp(mlp_norm(x + a)), a = attn(attn_norm(x)), on x: [B·rows, dim]. */
function update<V>(
  ops: TrainOps<V>,
  { B, dim, heads }: TrainData,
  w: Weights<V>,
  x: V,
  { count, cos, sin, mask }: Rows<V>,
): V {
  const width = dim / heads;
  const split = (y: V): V => ops.transpose(ops.reshape(y, [B, count, heads, width]), [0, 2, 1, 3]);
  const turn = (y: V): V => ops.add(ops.mul(y, cos), ops.mul(ops.turned(y, width), sin));
  const n = ops.mul(ops.normalise(x), w("attn_norm.weight"));
  const [q, k, v] = (["q", "k", "v"] as const).map((name) => split(ops.matmul(n, w(`attn.${name}.weight`)))) as [
    V,
    V,
    V,
  ];
  const scores = ops.scale(ops.matmulTransposed(turn(q), turn(k)), 1 / Math.sqrt(width));
  const seen = ops.matmul(ops.softmax(ops.add(scores, mask)), v);
  const a = ops.matmul(ops.reshape(ops.transpose(seen, [0, 2, 1, 3]), [B * count, dim]), w("attn.o.weight"));
  const m = ops.mul(ops.normalise(ops.add(x, a)), w("mlp_norm.weight"));
  const up = ops.gelu(ops.add(ops.matmul(m, w("mlp.up.weight")), w("mlp.up.bias")));
  return ops.add(a, ops.add(ops.matmul(up, w("mlp.down.weight")), w("mlp.down.bias")));
}
