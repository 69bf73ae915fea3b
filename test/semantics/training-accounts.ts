// What LayerSkip, A-MoD and CoLT5 compute and minimise on one sequence, by their papers, in plain loops. Each can make
// mistakes that an implementation makes.
import {
  Account,
  add,
  at,
  attended,
  best,
  crossEntropy,
  mean,
  mixed,
  put,
  range,
  scale,
  sum,
  type Given,
  type Row,
  type Rows,
} from "./account.js";

export interface Task {
  /** Tokens, or the rows of embedded patches. */
  readonly tokens: Row;
  readonly x: Rows;
  /** The target of each token, or one class for the whole input. */
  readonly targets: Row;
  readonly depth: number;
  readonly mistake: string | null;
  /**
   * Choices, and values that give a slope and are not themselves used, as the first run with it makes them: gradients
   * hold them still.
   */
  readonly held: Map<string, Row>;
  /** The tokens that a layer does not drop in this step. */
  readonly stays: (layer: number) => readonly number[];
}
export interface Answer {
  readonly output: Rows;
  readonly loss: number;
}
export interface Accounted {
  readonly mistakes: readonly string[];
  of(given: Given, task: Task): Answer;
}

/** Whether the task asks for this mistake. */
const errs = ({ mistake }: Task, name: string): boolean => mistake === name;

/** Returns the first run's values, and stores them on that run. */
function heldBy({ held }: Task, name: string, made: Row): Row {
  if (!held.has(name)) held.set(name, made);
  return held.get(name)!;
}

export const LAYER_SKIP: Accounted = {
  mistakes: [
    "all exits alike",
    "the last exit alone",
    "exits counted from 0",
    "no norm at early exits",
    "dropped tokens are keys",
    "positions compacted",
    "what stays is scaled up",
    "the result is the last layer's",
  ],
  of(given, task) {
    const m = new Account(given);
    const { tokens, targets, depth } = task;
    const exit = depth - 1;
    let x = m.embedded(tokens);
    let deep = x;
    let loss = 0;
    for (const l of range(depth)) {
      const path = `layers.${l}.inner`;
      const all = range(tokens.length);
      if (l < exit || errs(task, "the result is the last layer's")) x = add(x, m.layer(path, x, all));
      deep = dropped(m, path, deep, task, task.stays(l));
      const early = errs(task, "no norm at early exits") && l < depth - 1;
      const shares = errs(task, "exits counted from 0") ? (depth * (depth - 1)) / 2 : (depth * (depth + 1)) / 2;
      const share = errs(task, "all exits alike")
        ? 1 / depth
        : errs(task, "the last exit alone")
          ? Number(l === depth - 1)
          : (l + (errs(task, "exits counted from 0") ? 0 : 1)) / shares;
      loss += share * crossEntropy(early ? m.unembedded(deep) : m.logits(deep), targets);
    }
    return { output: m.logits(x), loss };
  },
};

/** A layer whose tokens that do not stay are neither changed nor seen. */
function dropped(m: Account, path: string, x: Rows, task: Task, stays: readonly number[]): Rows {
  const rate = x.length / Math.max(stays.length, 1);
  if (errs(task, "dropped tokens are keys")) {
    const [n, all] = [m.rms(`${path}.attn_norm`, at(x, stays)), m.rms(`${path}.attn_norm`, x)];
    const a = m.attention(`${path}.attn`, n, stays, all, range(x.length));
    return put(x, stays, add(a, m.swiglu(`${path}.mlp`, m.rms(`${path}.mlp_norm`, add(at(x, stays), a)))));
  }
  const update = m.layer(path, at(x, stays), errs(task, "positions compacted") ? range(stays.length) : stays);
  return put(
    x,
    stays,
    errs(task, "what stays is scaled up")
      ? scale(
          update,
          stays.map(() => rate),
        )
      : update,
  );
}

export const A_MOD: Accounted = {
  mistakes: [
    "attention that tokens give",
    "attention of one head",
    "attention before softmax",
    "the first layer decides always",
    "the mean over tokens that were routed",
    "capacity rounded down",
    "keys of all tokens",
    "updates weighted by attention",
  ],
  of(given, task) {
    const m = new Account(given);
    let { x } = task;
    let seen: Row = [];
    let chosen: readonly number[] = range(x.length);
    for (const l of range(task.depth)) {
      const all = range(x.length);
      if (l % 2 === 0) {
        const { update, received } = looking(m, `layers.${l}`, given.heads, x, all, task);
        if (l === 0 || !errs(task, "the first layer decides always")) seen = received;
        x = add(x, update);
      } else {
        const k = errs(task, "capacity rounded down") ? Math.floor(x.length / 2) : Math.ceil(x.length / 2);
        chosen = heldBy(task, `${l}`, best(seen, k));
        const { update } = looking(m, `layers.${l}`, given.heads, x, chosen, task);
        const weights = chosen.map((t) => (errs(task, "updates weighted by attention") ? seen[t]! : 1));
        x = put(x, chosen, scale(update, weights));
      }
    }
    const read = errs(task, "the mean over tokens that were routed") ? at(x, chosen) : x;
    const pooled = range(x[0]!.length).map((c) => mean(read.map((row) => row[c]!)));
    const output = m.linear("head", m.layerNorm("norm", [pooled]));
    return { output, loss: crossEntropy(output, task.targets) };
  },
};

/** What a layer adds to these tokens, among themselves, and how much attention each of them got. */
function looking(
  m: Account,
  path: string,
  heads: number,
  x: Rows,
  tokens: readonly number[],
  task: Task,
): { readonly update: Rows; readonly received: Row } {
  const own = at(x, tokens);
  const n = m.layerNorm(`${path}.attn_norm`, own);
  const keys = errs(task, "keys of all tokens") ? m.layerNorm(`${path}.attn_norm`, x) : n;
  const [q, k] = [m.linear(`${path}.q`, n), m.linear(`${path}.k`, keys)];
  const shares = attended(q, k, heads, () => true);
  const a = m.linear(`${path}.o`, mixed(shares, m.linear(`${path}.v`, keys)));
  const update = add(a, m.geluMlp(`${path}.mlp`, m.layerNorm(`${path}.mlp_norm`, add(own, a))));
  const counted = errs(task, "attention of one head") ? shares.slice(0, 1) : shares;
  const received = keys.map((_, j) =>
    errs(task, "attention that tokens give")
      ? sum(shares.flatMap((head) => head[j] ?? []))
      : errs(task, "attention before softmax")
        ? sum(q.map((query) => sum(query.map((v, c) => v * k[j]![c]!))))
        : sum(counted.flatMap((head) => head.map((row) => row[j]!))),
  );
  return { update, received };
}

/** Sizes of the model that the test compiles. */
export const COLT5_SIZES = { window: 3, queries: 1 / 4, keys: 1 / 3, tokens: 1 / 2 };

export const COLT5: Accounted = {
  mistakes: [
    "a key's score is its value's factor",
    "no slope for keys",
    "queries without their score",
    "hard scores",
    "one step of descent",
    "the window ignored",
    "half the window",
    "keys are the queries",
    "positions compacted",
    "light branches for the rest alone",
    "targets of -1 count",
  ],
  of(given, task) {
    const m = new Account(given);
    const { tokens, targets, depth } = task;
    let x = m.embedded(tokens);
    for (const l of range(depth)) x = conditional(m, `layers.${l}`, given.heads, x, task);
    const output = m.logits(x);
    const wanted = errs(task, "targets of -1 count") ? targets.map((t) => Math.max(t, 0)) : targets;
    return { output, loss: crossEntropy(output, wanted) };
  },
};

function conditional(m: Account, path: string, heads: number, x: Rows, task: Task): Rows {
  const T = x.length;
  const { window, queries, keys, tokens } = COLT5_SIZES;
  const count = (share: number): number => Math.ceil(Math.round(share * T * 1e9) / 1e9);
  const scored = (router: string, n: Rows, share: number): Row => {
    const s = m.linear(`${path}.${router}`, n).map((row) => row[0]!);
    const soft = softTop(s, share * T, errs(task, "one step of descent") ? 1 : 20);
    return errs(task, "hard scores") ? soft.map(() => 1) : soft;
  };
  /** By rotary positions, and heads of their own. */
  const heard = (own: string, own_heads: number, n: Rows, from: Row, to: Row, factor: Row, sees: Sees): Rows => {
    const places = (list: Row): Row => (errs(task, "positions compacted") ? range(list.length) : list);
    const q = m.turned(m.linear(`${own}q`, at(n, from)), places(from), own_heads);
    const k = m.turned(m.linear(`${own}k`, at(n, to)), places(to), own_heads);
    return m.linear(`${own}o`, mixed(attended(q, k, own_heads, sees), scale(m.linear(`${own}v`, at(n, to)), factor)));
  };

  const n = m.rms(`${path}.attn_norm`, x);
  const asks = scored("asking", n, queries);
  const tells = scored("telling", n, keys);
  const asker = heldBy(task, `${path} asks`, best(asks, count(queries)));
  const teller = errs(task, "keys are the queries") ? asker : heldBy(task, `${path} tells`, best(tells, count(keys)));
  const all = range(T);
  const near = errs(task, "half the window") ? window - 1 : window;
  const light = heard(
    `${path}.light_attn.`,
    heads / 2,
    n,
    all,
    all,
    all.map(() => 1),
    (i, j) => errs(task, "the window ignored") || Math.abs(i - j) < near,
  );
  const heavy = heard(`${path}.`, (heads * 3) / 4, n, asker, teller, at(slope(path, tells, task), teller), () => true);
  const gates = asker.map((t) => (errs(task, "queries without their score") ? 1 : asks[t]!));
  const rest = (branch: Rows, chosen: readonly number[]): Rows =>
    errs(task, "light branches for the rest alone")
      ? scale(
          branch,
          all.map((t) => Number(!chosen.includes(t))),
        )
      : branch;
  const h = put(add(x, rest(light, asker)), asker, scale(heavy, gates));

  const normed = m.rms(`${path}.mlp_norm`, h);
  const thinks = scored("thinking", normed, tokens);
  const thinker = heldBy(task, `${path} thinks`, best(thinks, count(tokens)));
  const thought = scale(m.geluMlp(`${path}.heavy_mlp`, at(normed, thinker)), at(thinks, thinker));
  return put(add(h, rest(m.geluMlp(`${path}.light_mlp`, normed), thinker)), thinker, thought);
}

type Sees = (query: number, key: number) => boolean;

/** 1 at the weights that gradients are taken at, with the slope of the score. */
function slope(path: string, score: Row, task: Task): Row {
  if (errs(task, "a key's score is its value's factor")) return score;
  const before = heldBy(task, path, score);
  return score.map((v, t) => (errs(task, "no slope for keys") ? 1 : 1 + v - before[t]!));
}

/** Coordinate descent on the dual of the k best with entropy: a, then b ≤ 0, so often. */
function softTop(s: Row, k: number, steps: number): Row {
  let b = s.map((v) => -v);
  let a = 0;
  for (let i = 0; i < steps; i++) {
    a = Math.log(k) - Math.log(sum(s.map((v, t) => Math.exp(v + b[t]!))));
    b = s.map((v) => -Math.max(v + a, 0));
  }
  return s.map((v, t) => Math.exp(v + a + b[t]!));
}
