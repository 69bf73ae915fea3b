// A second, independent reading of the language: a model's logical operations on one sequence at a time, as plain
// nested loops. With one sequence nothing is packed, padded or masked, so it shares no idea with lowering. It knows no
// random values. Of functions of one element it asks the records, whose samples are worked by hand.
import type { LogicalAttrs, Model, Value } from "../../../src/language/check/model/model.js";
import { spanOf } from "../../../src/ground/size/counting.js";
import { evaluateSize, type Size } from "../../../src/ground/size/size.js";
import { toNumber, type Rational } from "../../../src/ground/numerics/rational.js";
import { attended, pairAttended, receivedBy, type Sides } from "./oracle-attention.js";
import { linearlyAttended, scanned, shifted } from "./oracle-recurrences.js";
import { applied, type Arr, arr, at, binaryLoss, get, logProbabilities, replaced, sum } from "./oracle-elements.js";
import { isOfEntries, ofEntries } from "./oracle-entries.js";
import { byExpert, isOfSorted, ofSorted, type Orders } from "./oracle-sorted.js";

export interface OracleRun {
  /** The inputs of this sequence alone: batch size 1, own length. */
  readonly inputs: ReadonlyMap<string, Arr>;
  readonly weights: ReadonlyMap<string, Arr>;
  /** Extents of input axes: 1 for the batch, the sequence's length. */
  readonly extents: ReadonlyMap<string, number>;
  readonly live?: ReadonlyMap<string, Rational>;
}

const without = <T>(list: readonly T[], gone: readonly number[]): T[] => list.filter((_, i) => !gone.includes(i));

/** Every reachable value of the model on one sequence, by value. */
export function oracle(model: Model, run: OracleRun): ReadonlyMap<Value, Arr> {
  const counts = new Map(run.extents);
  const positions = new Map<string, readonly number[]>();
  const axes = new Map(model.axes.map((a) => [a.name, a]));
  const routes = new Map<Value, readonly number[]>();
  const sizeOf = (size: Size, own?: { axis: string; count: number }): number =>
    toNumber(
      evaluateSize(size, (a) =>
        a.kind === "live" ? run.live!.get(a.name)! : own?.axis === a.axis ? own.count : countOf(a.axis),
      ),
    );
  const countOf = (axis: string): number => {
    const known = counts.get(axis);
    if (known !== undefined) return known;
    const a = axes.get(axis);
    if (a?.role !== "sequence") throw new Error(`no extent for ${axis}`);
    const rule = a.count;
    const n = ((): number => {
      switch (rule.kind) {
        case "span": {
          const [from, to] = spanOf(rule, countOf(rule.parent));
          return to - from;
        }
        case "stride":
          return Math.ceil(countOf(rule.parent) / Number(rule.step));
        case "fixed":
          return Number(rule.tokens);
        case "join":
          return sum(rule.parts.map(countOf));
        case "top":
          return Math.min(Math.max(0, sizeOf(rule.k)), countOf(rule.parent));
        default:
          throw new Error(`axis ${axis} is not known yet`);
      }
    })();
    counts.set(axis, n);
    return n;
  };
  const positionsOf = (axis: string): readonly number[] =>
    positions.get(axis) ?? Array.from({ length: countOf(axis) }, (_, i) => i);
  const values = new Map<Value, Arr>();
  const orders: Orders = new Map();
  const pending = [...model.outputs, ...model.losses, ...model.observes].map((o) => o.value);
  const reached = new Set<Value>();
  for (let v = pending.pop(); v; v = pending.pop()) {
    if (reached.has(v)) continue;
    reached.add(v);
    pending.push(...v.inputs);
  }
  const route = (value: Value, rows: readonly number[]): Arr => {
    const { axis } = value.attrs as LogicalAttrs["top"];
    const rule = (axes.get(axis) as { count: { parent: string } }).count;
    counts.set(axis, rows.length);
    const parent = positionsOf(rule.parent);
    positions.set(
      axis,
      rows.map((r) => parent[r]!),
    );
    routes.set(value, rows);
    return arr([1, rows.length], ([, i]) => rows[i!]!);
  };

  const evaluate = (v: Value): Arr => {
    const given = v.inputs.map((i) => values.get(i)!);
    const own = byExpert(v, given, orders);
    if (own && "data" in own) return own;
    const x = own ?? given;
    const shape = (): number[] => v.type.shape.map((s) => sizeOf(s));
    const { op } = v;
    // The name repeats the case it stands in, which has just been tested.
    const attrs = <K extends keyof LogicalAttrs>(name: K): LogicalAttrs[K] => {
      if (v.op !== name) throw new Error(`${v.op} has no attributes of ${name}`);
      return v.attrs as LogicalAttrs[K];
    };
    switch (op) {
      case "input":
        return run.inputs.get(attrs("input").name)!;
      case "weight":
        return run.weights.get(attrs("weight").path)!;
      case "state":
        return run.weights.get(attrs("state").path)!;
      case "live":
        return arr([], () => toNumber(run.live!.get(attrs("live").name)!));
      case "number":
        return arr([], () => attrs("number").value);
      case "literal":
        return { shape: shape(), data: attrs("literal").values };
      case "length":
        return arr(shape(), () => sizeOf(attrs("length").size));
      case "pointwise":
        return applied(
          attrs("pointwise").fn,
          x,
          v.inputs.map((i) => i.type.dtype),
        );
      case "powi":
        return arr(x[0]!.shape, (i) => get(x[0]!, i) ** attrs("powi").exponent);
      case "cast": {
        const to = v.type.dtype;
        return arr(x[0]!.shape, (i) => {
          const n = get(x[0]!, i);
          return to === "bool" ? Number(n !== 0) : to === "u32" || to === "i32" ? Math.trunc(n) : n;
        });
      }
      case "straight":
      case "stop_gradient":
        return x[0]!;
      case "zeros":
        return arr(shape(), () => 0);
      case "reduce":
        return reduce(x[0]!, x.slice(1), attrs("reduce"));
      case "softmax": {
        const { axis } = attrs("softmax");
        const [a, ...exists] = x as [Arr];
        const holds = (i: readonly number[]): boolean => exists.every((e) => at(e, i) === 1);
        return arr(a.shape, (i) => {
          const all = Array.from({ length: a.shape[axis]! }, (_, j) => replaced(i, axis, j));
          const line = all.filter(holds).map((j) => get(a, j));
          const most = Math.max(...line);
          return holds(i) ? Math.exp(get(a, i) - most) / sum(line.map((n) => Math.exp(n - most))) : 0;
        });
      }
      case "matmul": {
        const [a, b] = x as [Arr, Arr];
        return arr(shape(), (i) => {
          const [row, column] = [i[i.length - 2]!, i[i.length - 1]!];
          const lead = i.slice(0, -2);
          return sum(
            Array.from({ length: a.shape.at(-1)! }, (_, k) => at(a, [...lead, row, k]) * at(b, [...lead, k, column])),
          );
        });
      }
      case "reshape":
        return { shape: shape(), data: x[0]!.data };
      case "permute": {
        const { order } = attrs("permute");
        return arr(
          order.map((d) => x[0]!.shape[d]!),
          (i) =>
            get(
              x[0]!,
              order.map((_, d) => i[order.indexOf(d)]!),
            ),
        );
      }
      case "slice": {
        const { axis, start } = attrs("slice");
        return arr(shape(), (i) => get(x[0]!, replaced(i, axis, i[axis]! + start)));
      }
      case "span": {
        const { dim, axis } = attrs("span");
        const made = axes.get(axis);
        if (made?.role === "sequence" && made.count.kind === "stride") {
          const step = Number(made.count.step);
          return arr(shape(), (i) => get(x[0]!, replaced(i, dim, i[dim]! * step)));
        }
        const rule = made as { count: Parameters<typeof spanOf>[0] };
        const [start] = spanOf(rule.count, x[0]!.shape[dim]!);
        return arr(shape(), (i) => get(x[0]!, replaced(i, dim, i[dim]! + start)));
      }
      case "token": {
        const { dim, index } = attrs("token");
        const n = x[0]!.shape[dim]!;
        const t = index < 0 ? n + index : index;
        return arr(without(x[0]!.shape, [dim]), (i) =>
          t < 0 || t >= n ? 0 : get(x[0]!, [...i.slice(0, dim), t, ...i.slice(dim)]),
        );
      }
      case "concat":
        return concat(x, attrs("concat").axis);
      case "join":
        return concat(x, attrs("join").dim);
      case "sequence":
        return { shape: shape(), data: x[0]!.data };
      case "rows": {
        const [all, index] = x as [Arr, Arr];
        const rank = index.shape.length;
        const n = all.shape[1]!;
        return arr(shape(), (i) => {
          const at = get(index, i.slice(0, rank));
          const row = Math.min(Math.max(at < 0 ? at + n : at, 0), n - 1);
          return n === 0 ? 0 : get(all, [i[0]!, row, ...i.slice(rank)]);
        });
      }
      case "gather": {
        const [table, indices] = x as [Arr, Arr];
        const rank = indices.shape.length;
        return arr([...indices.shape, ...table.shape.slice(1)], (i) => {
          const [at, rows] = [get(indices, i.slice(0, rank)), table.shape[0]!];
          return get(table, [Math.min(Math.max(at < 0 ? at + rows : at, 0), rows - 1), ...i.slice(rank)]);
        });
      }
      case "rope": {
        const { dim, theta, frequencies, scale } = attrs("rope");
        const places = positionsOf(axisAt(v.inputs[0]!, dim));
        const last = x[0]!.shape.length - 1;
        const half = x[0]!.shape[last]! / 2;
        return arr(x[0]!.shape, (i) => {
          const channel = i[last]! % half;
          const angle = places[i[dim]!]! * (frequencies ? frequencies[channel]! : theta ** (-channel / half));
          const [cos, sin] = [Math.cos(angle) * scale, Math.sin(angle) * scale];
          const [first, second] = [
            get(x[0]!, replaced(i, last, channel)),
            get(x[0]!, replaced(i, last, channel + half)),
          ];
          return i[last]! < half ? first * cos - second * sin : second * cos + first * sin;
        });
      }
      case "attention":
        return attended(sidesOf(v, x, x[3]), x[2]!, attrs("attention"));
      case "pair_attention":
      case "mass":
        return pairAttended(v as Value<"mass">, values, sidesOf(v, x));
      case "received":
        return receivedBy(sidesOf(v, x), attrs("received"));
      case "linear_attention":
        return linearlyAttended(x, attrs("linear_attention"));
      case "scan":
        return scanned(x, attrs("scan"));
      case "shift":
        return shifted(x[0]!, attrs("shift"));
      case "position":
        return arr(shape(), (i) => positionsOf(attrs("position").axis)[i[1]!]!);
      case "top": {
        const { axis } = attrs("top");
        const rule = (axes.get(axis) as { count: { k: Size } }).count;
        const [score] = x as [Arr];
        const key = (i: number): number => (Number.isNaN(score.data[i]!) ? -Infinity : score.data[i]!);
        const ranked = score.data
          .map((_, i) => i)
          .sort((a, b) => {
            const nan = Number(Number.isNaN(score.data[a]!)) - Number(Number.isNaN(score.data[b]!));
            return nan !== 0 ? nan : key(b) - key(a) || a - b;
          });
        return route(
          v,
          ranked.slice(0, Math.max(0, sizeOf(rule.k))).sort((a, b) => a - b),
        );
      }
      case "top_tokens": {
        const [{ shape: all, data }] = x as [Arr];
        const [k, E] = [countOf(attrs("top_tokens").axis), all[2]!];
        const order = (n: number): number => (Number.isNaN(n) ? -Infinity : n);
        return arr(all, (i) => {
          const own = data.filter((_, n) => n % E === i[2]);
          const ahead = own.filter((s, t) => {
            const [a, b] = [s, own[i[1]!]!];
            if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(b);
            return order(a) > order(b) || (order(a) === order(b) && t < i[1]!);
          });
          return Number(ahead.length < k);
        });
      }
      case "above":
        return route(
          v,
          x[0]!.data.flatMap((s, i) => (s > at(x[1]!, [0, i]) ? [i] : [])),
        );
      case "those":
        return route(
          v,
          x[0]!.data.flatMap((holds, i) => (holds ? [i] : [])),
        );
      case "take": {
        const rows = routes.get(v.inputs[1]!)!;
        const { dim } = attrs("take");
        return arr(
          x[0]!.shape.map((s, d) => (d === dim ? rows.length : s)),
          (i) => get(x[0]!, replaced(i, dim, rows[i[dim]!]!)),
        );
      }
      case "put": {
        const rows = routes.get(v.inputs[1]!)!;
        const { dim } = attrs("put");
        return arr(x[0]!.shape, (i) => {
          const row = rows.indexOf(i[dim]!);
          return get(x[0]!, i) + (row < 0 ? 0 : at(x[2]!, replaced(i, dim, row)));
        });
      }
      case "mask": {
        const rows = routes.get(v.inputs[0]!)!;
        return arr(shape(), (i) => Number(rows.includes(i[1]!)));
      }
      case "index":
        return x[0]!;
      case "count":
        return arr([1], () => routes.get(v.inputs[0]!)!.length);
      case "cross_entropy": {
        const logs = logProbabilities(x[0]!, x[1]!).filter((log) => log !== null);
        return arr([], () => (logs.length === 0 ? 0 : -sum(logs) / logs.length));
      }
      case "log_probability": {
        const logs = logProbabilities(x[0]!, x[1]!);
        return { shape: x[1]!.shape, data: logs.map((log) => log ?? 0) };
      }
      case "bce": {
        const [z, t] = x as [Arr, Arr];
        const rows = z.data.map((n, i) => binaryLoss(n, t.data[i]!));
        return arr([], () => (rows.length === 0 ? 0 : sum(rows) / rows.length));
      }
      case "contrast": // of several sequences: test/compiler/lower/contrast.test.ts
      case "dropout":
      case "random_normal":
      case "random_uniform":
        throw new Error(`the oracle knows no ${op}`);
      default:
        if (isOfSorted(op)) return ofSorted(op, v, x, shape(), orders);
        return isOfEntries(op) ? ofEntries(op, v, x, shape(), routes) : (op satisfies never);
    }
  };
  const axisAt = (value: Value, dim: number): string => {
    const size = value.type.shape[dim]!;
    if (typeof size === "number") throw new Error("not a sequence dimension");
    return size.key;
  };
  const sidesOf = (v: Value, [q, k]: readonly Arr[], weight?: Arr): Sides => {
    const [positionsQ, positionsK] = v.inputs.map((i) => positionsOf(axisAt(i, i.type.shape.length - 2)));
    return { q: q!, k: k!, positionsQ: positionsQ!, positionsK: positionsK!, weight };
  };
  for (const v of [...reached].sort((a, b) => a.id - b.id)) values.set(v, evaluate(v));
  return values;
}

function reduce(a: Arr, exists: readonly Arr[], { fn, axes, keep }: LogicalAttrs["reduce"]): Arr {
  const kept = a.shape.map((s, d) => (axes.includes(d) ? 1 : s));
  const full = arr(kept, (i) => {
    const line: number[] = [];
    arr(
      a.shape.map((s, d) => (axes.includes(d) ? s : 1)),
      (j) => {
        const place = a.shape.map((_, d) => (axes.includes(d) ? j[d]! : i[d]!));
        return exists.every((e) => at(e, place) === 1) ? line.push(get(a, place)) : 0;
      },
    );
    const n = line.length;
    const mean = n === 0 ? 0 : sum(line) / n;
    switch (fn) {
      case "sum":
        return sum(line);
      case "mean":
        return mean;
      case "max":
        return n === 0 ? 0 : Math.max(...line);
      case "min":
        return n === 0 ? 0 : Math.min(...line);
      case "var":
        return n === 0 ? 0 : sum(line.map((v) => (v - mean) ** 2)) / n;
      case "argmax":
        return n === 0 ? 0 : line.indexOf(Math.max(...line));
      default:
        return fn satisfies never;
    }
  });
  return keep ? full : { shape: without(kept, axes), data: full.data };
}

function concat(parts: readonly Arr[], axis: number): Arr {
  const [first] = parts as [Arr];
  const total = sum(parts.map((p) => p.shape[axis]!));
  return arr(
    first.shape.map((s, d) => (d === axis ? total : s)),
    (i) => {
      let at = i[axis]!;
      for (const p of parts) {
        if (at < p.shape[axis]!) return get(p, replaced(i, axis, at));
        at -= p.shape[axis]!;
      }
      throw new Error("out of range");
    },
  );
}
