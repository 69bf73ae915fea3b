// What published variants compute on one sequence, by their papers' description: for each the result of the example's
// model at its defaults, with the sizes that the test gives it.
import {
  Account,
  add,
  at,
  best,
  mean,
  put,
  range,
  scale,
  sigmoid,
  softmax,
  where,
  type Given,
  type Rows,
} from "./account.js";

type Inputs = Readonly<Record<string, { readonly shape: readonly number[]; readonly data: ArrayLike<number> }>>;
type Accounted = (given: Given, inputs: Inputs) => Rows;

const LAYERS = 2;
const tokensOf = (inputs: Inputs): number[] => Array.from(inputs["tokens"]!.data);
const column = (x: Rows, c = 0): number[] => x.map((row) => row[c]!);
const rest = (tokens: readonly number[], all: number): number[] => range(all).filter((t) => !tokens.includes(t));

/** x with what the network adds to it. */
const thought = (m: Account, path: string, x: Rows): Rows =>
  add(x, m.swiglu(`${path}.mlp`, m.rms(`${path}.mlp_norm`, x)));

export const ACCOUNTS: Readonly<Record<string, Accounted>> = {
  modification(given, inputs) {
    const m = new Account(given);
    let x = m.embedded(tokensOf(inputs));
    for (const l of range(LAYERS)) {
      const path = `layers.${l}`;
      if (l % 2 === 0) {
        x = add(x, m.layer(`${path}.inner`, x, range(x.length)));
        continue;
      }
      const g = column(m.linear(`${path}.router`, x)).map(sigmoid);
      const run = where(g.map((v) => v > 0.5));
      const update = m.layer(`${path}.inner`, at(x, run), run);
      x = put(
        x,
        run,
        scale(
          update,
          run.map((t) => g[t]!),
        ),
      );
    }
    return m.logits(x);
  },

  "mor-token-choice"(given, inputs) {
    const m = new Account(given);
    let x = m.embedded(tokensOf(inputs));
    x = add(x, m.layer("first.inner", x, range(x.length)));
    const p = m.linear("router", x).map(softmax);
    const depth = p.map((row) => row.indexOf(Math.max(...row)));
    let rows = x;
    let ended = x;
    for (const r of range(3)) {
      const going = where(depth.map((d) => d >= r));
      rows = put(rows, going, m.layer("shared.0.inner", at(rows, going), going));
      ended = ended.map((row, t) => (depth[t] === r ? rows[t]! : row));
    }
    x = add(
      x,
      scale(
        ended,
        p.map((row) => Math.max(...row)),
      ),
    );
    return m.logits(add(x, m.layer("last.inner", x, range(x.length))));
  },

  "router-tuning"(given, inputs) {
    const m = new Account(given);
    let x = m.embedded(tokensOf(inputs));
    for (const l of range(LAYERS)) {
      const n = m.rms(`layers.${l}.attn_norm`, x);
      const run = where(column(m.linear(`layers.${l}.router`, n)).map((v) => v > 0));
      const heard = m.attention(`layers.${l}.attn`, at(n, run), run, n, range(n.length));
      x = thought(m, `layers.${l}`, put(x, run, heard));
    }
    return m.logits(x);
  },

  "skip-gpt"(given, inputs) {
    const m = new Account(given);
    let x = m.embedded(tokensOf(inputs));
    for (const l of range(LAYERS)) {
      const path = `layers.${l}`;
      const running = (router: string): number[] => {
        const hidden = m.linear(`${router}.up`, x).map((row) => row.map((v) => Math.max(v, 0)));
        return where(m.linear(`${router}.down`, hidden).map(([runs, skips]) => runs! > skips!));
      };
      const [attends, thinks] = [running(`${path}.attn_router`), running(`${path}.mlp_router`)];
      const n = m.rms(`${path}.attn_norm`, x);
      const h = put(x, attends, m.attention(`${path}.attn`, at(n, attends), attends, n, range(n.length)));
      x = put(h, thinks, m.swiglu(`${path}.mlp`, m.rms(`${path}.mlp_norm`, at(h, thinks))));
    }
    return m.logits(x);
  },

  "d-llm"(given, inputs) {
    const m = new Account(given);
    let x = m.embedded(tokensOf(inputs));
    x = add(x, m.layer("first.0.inner", x, range(x.length)));
    for (const l of range(LAYERS)) {
      const path = `layers.${l}`;
      const normed = m.rms(`${path}.router_norm`, m.linear(`${path}.router_up`, x));
      const logits = m.linear(
        `${path}.router`,
        normed.map((row) => row.map((v) => v * sigmoid(v))),
      );
      const run = where(logits.map(([skips, runs], t) => runs! > skips! || t < 2));
      // Who does not run is neither query nor key.
      const rows = at(x, run);
      const n = m.rms(`${path}.attn_norm`, rows);
      const a = m.attention(path, n, run, n, run);
      x = put(x, run, add(a, m.swiglu(`${path}.mlp`, m.rms(`${path}.mlp_norm`, add(rows, a)))));
    }
    return m.logits(x);
  },

  "flexi-depth"(given, inputs) {
    const m = new Account(given);
    let x = m.embedded(tokensOf(inputs));
    x = add(x, m.layer("first.0.inner", x, range(x.length)));
    for (const l of range(LAYERS)) {
      const path = `layers.${l}`;
      const down = m.linear(`${path}.router_down`, m.rms(`${path}.router_norm`, x));
      const up = m.linear(
        `${path}.router_up`,
        down.map((row) => row.map(Math.tanh)),
      );
      const g = column(m.linear(`${path}.router`, up)).map(sigmoid);
      const run = where(g.map((v) => v > 0.5));
      const skip = rest(run, x.length);
      const n = m.rms(`${path}.attn_norm`, x);
      const h = put(x, run, m.attention(`${path}.attn`, at(n, run), run, n, range(n.length)));
      const normed = m.rms(`${path}.mlp_norm`, h);
      const ran = scale(
        m.swiglu(`${path}.mlp`, at(normed, run)),
        run.map((t) => g[t]!),
      );
      const adapted = scale(
        m.swiglu(`${path}.adapter`, at(normed, skip)),
        skip.map((t) => 1 - g[t]!),
      );
      x = put(put(h, run, ran), skip, adapted);
    }
    return m.logits(x);
  },

  "gate-skip"(given, inputs) {
    const m = new Account(given);
    let x = m.embedded(tokensOf(inputs));
    const k = Math.ceil(0.75 * x.length);
    for (const l of range(LAYERS))
      for (const branch of ["attn", "mlp"] as const) {
        const path = `layers.${l}`;
        const n = m.rms(`${path}.${branch}_norm`, x);
        const g = m.linear(`${path}.${branch}_gate.gate`, n).map((row) => row.map(sigmoid));
        const run = best(g.map(mean), k);
        const update =
          branch === "attn"
            ? m.attention(`${path}.attn`, at(n, run), run, n, range(n.length))
            : m.swiglu(`${path}.mlp`, at(n, run));
        x = put(
          x,
          run,
          update.map((row, i) => row.map((v, c) => v * g[run[i]!]![c]!)),
        );
      }
    return m.logits(x);
  },

  "early-exit"(given, inputs) {
    const m = new Account(given);
    let x = m.embedded(tokensOf(inputs));
    const deeper = (path: string, going: readonly number[]): Rows => {
      const rows = at(x, going);
      const [n, all] = [m.rms(`${path}.attn_norm`, rows), m.rms(`${path}.attn_norm`, x)];
      const a = m.attention(`${path}.attn`, n, going, all, range(all.length));
      return put(x, going, add(a, m.swiglu(`${path}.mlp`, m.rms(`${path}.mlp_norm`, add(rows, a)))));
    };
    x = deeper("layers.0", range(x.length));
    let on = x.map(() => true);
    for (const l of range(LAYERS - 1)) {
      const sure = m.logits(x).map((row) => {
        const [first, second] = softmax(row).sort((a, b) => b - a);
        return first! - second!;
      });
      on = on.map((was, t) => was && sure[t]! <= 0.9);
      x = deeper(`layers.${l + 1}`, where(on));
    }
    return m.logits(x);
  },

  "p-mod-multimodal"(given, inputs) {
    const m = new Account(given);
    const { shape, data } = inputs["x"]!;
    const width = shape[2]!;
    const seen = where(Array.from(inputs["vision"]!.data, (v) => v !== 0));
    let x: Rows = range(shape[1]!).map((t) => range(width).map((c) => data[t * width + c]!));
    for (const l of range(LAYERS)) {
      const path = `layers.${l}`;
      const score = column(m.linear(`${path}.router`, x));
      const chosen = best(
        seen.map((t) => score[t]!),
        Math.floor(((LAYERS - l) / LAYERS) * seen.length),
      );
      const kept = chosen.map((i) => seen[i]!);
      const stay = range(x.length).filter((t) => !seen.includes(t) || kept.includes(t));
      const gate = score.map((s, t) => (seen.includes(t) ? 1 + 0.2 * Math.tanh(s) : 1));
      const rows = at(x, stay);
      const n = m.rms(`${path}.layer.attn_norm`, rows);
      const h = add(rows, m.attention(`${path}.layer.attn`, n, stay, n, stay));
      const update = m.swiglu(`${path}.layer.mlp`, m.rms(`${path}.layer.mlp_norm`, h));
      const out = add(
        h,
        scale(
          update,
          stay.map((t) => gate[t]!),
        ),
      );
      const skipped = scale(x, gate);
      x = skipped.map((row, t) => (stay.includes(t) ? out[stay.indexOf(t)]! : row));
    }
    return m.rms("norm", x);
  },
};
