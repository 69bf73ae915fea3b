// Lowers attention that reads pairs of tokens: the mask and the bias become an expression of operands on packed rows.
import { exactly } from "../../ground/base/collections.js";
import { invariant } from "../../ground/base/invariant.js";
import type { DType } from "../../ground/base/dtype.js";
import type { LogicalType, Value } from "../../language/check/model/model.js";
import {
  pairInputs,
  pairPart,
  type Attending,
  type PairPart,
  type PairRole,
  type RoledValue,
} from "../../language/check/model/pairs.js";
import { isOp } from "../../language/check/model/types.js";
import { typeOf, type Node } from "../ir/graph.js";
import type { Pair, PairSide, PairStep } from "../ir/pair.js";
import { inputsFor } from "../ir/typing.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import { axisSize, rowsSize, type Size } from "../../ground/size/size.js";
import { attentionScale, headsOf, rowsOf, rowsOfBoth, type Rows } from "./attention-rows.js";
import type { Lowering, Placed } from "./context.js";
import { alignedOperand, fromPackedAlong, packedAlong, padded } from "./convert.js";

/** Attention on whose scores a mass, a mask, a bias or a cap depends. */
export function lowerPairAttention(cx: Lowering, value: Value<"attention"> | Value<"pair_attention">): Placed {
  const [q, k, v] = exactly(
    3,
    pairInputs(value).rows.map((x) => rowsOf(cx, cx.get(x))),
  );
  const out = cx.emit("pick", [attended(cx, value, q, k, headsOf(cx, v.node))], { result: 0 });
  const dim = value.type.shape.length - 2;
  const stored = [...typeOf(q.node).shape.slice(0, -1), value.type.shape[dim + 1]!];
  return fromPackedAlong(cx, cx.reshape(out, stored), value.type, dim);
}

/** A mass below any that a query with keys has: exp(−1e30 − x) is 0 for any x. */
const NO_MASS = -1e30;

function lowerMass(cx: Lowering, value: Value<"mass">): Placed {
  const [q, k] = exactly(
    2,
    pairInputs(value).rows.map((x) => rowsOf(cx, cx.get(x))),
  );
  const keys = headsOf(cx, k.node);
  const lse = cx.emit("pick", [attended(cx, value, q, k, valuesFor(cx, value, keys))], { result: 1 });
  const m = cx.algebra(lse);
  const out = m.where(m.lt(lse, NO_KEYS), lse, NO_MASS);
  return fromPackedAlong(
    cx,
    cx.reshape(out, typeOf(q.node).shape.slice(0, -1)),
    value.type,
    value.type.shape.length - 1,
  );
}

/** Below the largest f32, which stands for a query that sees no key, and above every mass. */
const NO_KEYS = 3e38;

/** The values of the attention with the operands of a mass; a column of the keys if there is none. */
function valuesFor(cx: Lowering, mass: Value<"mass">, keys: Node): Node {
  const attention = cx.attentionsOfMasses.get(mass);
  const values = attention && pairInputs(attention).rows[2];
  return values
    ? headsOf(cx, rowsOf(cx, cx.get(values)).node)
    : cx.emit("slice", [keys], { axis: 2, start: 0, stop: 1 });
}

function attended(cx: Lowering, value: Attending, q: Rows, k: Rows, values: Node): Node<"pair_attention"> {
  const { weight, mask, bias } = pairInputs(value);
  const { causal, window } = value.attrs;
  const cap = "cap" in value.attrs ? value.attrs.cap : null;
  const builder = new PairBuilder(cx, q.axis, k.axis);
  const weights = weight && builder.operand("key", packedAlong(cx, cx.get(weight), 1).node);
  const [maskStep, biasStep] = [mask, bias].map((x) => x && builder.step(pairPart(x, { query: q.axis, key: k.axis })));
  const pair = builder.pair({ weight: weights ?? null, mask: maskStep ?? null, bias: biasStep ?? null, cap });
  const attrs: OpAttrs["pair_attention"] = { causal, window, scale: attentionScale(value), pair };
  const rows = [headsOf(cx, q.node), headsOf(cx, k.node), values, ...rowsOfBoth(cx, q, k), ...builder.operands];
  return cx.emit("pair_attention", inputsFor("pair_attention", rows), attrs);
}

/** Collects the operands and the steps of a pair; equal ones are one. */
class PairBuilder {
  readonly #cx: Lowering;
  readonly #axisQ: string;
  readonly #axisK: string;
  readonly operands: Node[] = [];
  readonly #sides: PairSide[] = [];
  readonly #steps: PairStep[] = [];
  readonly #byText = new Map<string, number>();
  readonly #byPart = new Map<PairPart, number>();

  constructor(cx: Lowering, axisQ: string, axisK: string) {
    this.#cx = cx;
    this.#axisQ = axisQ;
    this.#axisK = axisK;
  }

  pair(rest: Omit<Pair, "operands" | "steps">): Pair {
    return { operands: this.#sides, steps: this.#steps, ...rest };
  }

  operand(side: PairSide, node: Node): number {
    const found = this.operands.findIndex((n, i) => n === node && this.#sides[i] === side);
    if (found >= 0) return found;
    this.#sides.push(side);
    return this.operands.push(node) - 1;
  }

  /** The number of the step that computes a part. */
  step(part: PairPart): number {
    let number = this.#byPart.get(part);
    if (number === undefined) this.#byPart.set(part, (number = this.#made(part)));
    return number;
  }

  #made(part: PairPart): number {
    switch (part.kind) {
      case "computed":
        return this.#computed(
          part.value,
          part.parts.map((p) => this.step(p)),
        );
      case "lookup":
        return this.#lookup(part.table, part.perHead, this.step(part.index));
      case "number":
        return this.#number(part.value.attrs.value, part.value.type.dtype);
      case "position":
        return this.#add({ op: part.of === "query" ? "position_q" : "position_k", args: [], dtype: "u32" });
      case "rows":
        return this.#read(part.of, this.#along(part, part.of));
      case "shared":
        return this.#read("query", this.#alongQueries(part));
      case "stored":
        return this.#read("pair", this.#stored(part));
      default:
        return part satisfies never;
    }
  }

  #computed(value: Value, args: readonly number[]): number {
    const { dtype } = value.type;
    if (isOp(value, "pointwise")) return this.#add({ op: value.attrs.fn, args, dtype });
    if (isOp(value, "powi")) return this.#add({ op: "powi", args, dtype, attrs: { exponent: value.attrs.exponent } });
    if (isOp(value, "cast")) return this.#cast(args[0]!, dtype);
    return this.#add({ op: "stop_gradient", args, dtype });
  }

  #cast(step: number, dtype: DType): number {
    return this.#steps[step]!.dtype === dtype ? step : this.#add({ op: "cast", args: [step], dtype, attrs: { dtype } });
  }
  #number(value: number, dtype: DType): number {
    return this.#add({ op: "number", args: [], dtype, value });
  }

  /** table[index], by the rules of indices of tables: a negative one counts from the end, one outside reads the nearest. */
  #lookup(table: Value, perHead: boolean, index: number): number {
    const rows = table.type.shape[0];
    invariant(typeof rows === "number", "a table that pairs look up has a known number of rows");
    const node = padded(this.#cx, this.#cx.get(table));
    const plain = this.#cx.reshape(
      node,
      perHead ? [rows, node.types[0]!.shape.filter((s) => s !== 1).at(-1)!] : [rows],
    );
    const row = this.#steps[index]!.dtype === "i32" ? this.#fromEnd(index, rows) : this.#cast(index, "u32");
    const of = this.operand("table", plain);
    return this.#add({ op: "lookup", args: [row], dtype: table.type.dtype, of });
  }

  #fromEnd(index: number, rows: number): number {
    const [zero, count] = [this.#number(0, "i32"), this.#number(rows, "i32")];
    const i32 = (op: string, ...args: number[]): number => this.#add({ op, args, dtype: "i32" });
    const negative = this.#add({ op: "lt", args: [index, zero], dtype: "bool" });
    const row = i32("where", negative, i32("max", i32("add", index, count), zero), index);
    return this.#cast(row, "u32");
  }

  #read(side: PairSide, node: Node): number {
    return this.#add({ op: "operand", args: [], dtype: typeOf(node).dtype, of: this.operand(side, node) });
  }

  #add(step: PairStep): number {
    const text = JSON.stringify([
      step.op,
      step.args,
      step.dtype,
      step.of,
      step.value === undefined ? null : `${step.value}`,
      step.attrs,
    ]);
    let number = this.#byText.get(text);
    if (number === undefined) {
      number = this.#steps.push(step) - 1;
      this.#byText.set(text, number);
    }
    return number;
  }

  /** A value on the axis of queries or of keys, as [N] or [heads, N]. */
  #along({ value, roles }: RoledValue, side: "query" | "key"): Node {
    const dim = roles.indexOf(side);
    const { node, row, axis } = packedAlong(this.#cx, this.#cx.get(value), dim);
    const stored = roles.slice(1).map((role, d): PairRole => (d === row ? side : role));
    return this.#ordered(node, stored, ["head", side], [rowsSize(axis)]);
  }

  /** A value on neither axis, repeated for each query. */
  #alongQueries({ value, roles }: RoledValue): Node {
    const placed = this.#cx.get(value);
    const batched = roles[0] === "batch" && value.type.shape.length > 0;
    const [head] = value.type.shape.filter((_, d) => roles[d] === "head");
    const shape: readonly Size[] = [...(batched ? [value.type.shape[0]!] : []), ...(head === undefined ? [] : [head])];
    const node = this.#cx.reshape(padded(this.#cx, placed), [...shape, 1]);
    const rows = rowsSize(this.#axisQ);
    const type: LogicalType = { dtype: value.type.dtype, shape: [...shape, 1] };
    const packing = { axis: this.#axisQ, batchDim: 0, tokenDim: head === undefined ? 1 : 2 };
    const aligned = batched
      ? alignedOperand(this.#cx, { node, type, packing: null }, packing.tokenDim + 1, packing)
      : node;
    return this.#cx.broadcast(aligned, head === undefined ? [rows] : [head, rows]);
  }

  /** A value in memory with both axes, as [N, S] or [heads, N, S]: rows of queries are packed. */
  #stored({ value, roles }: RoledValue): Node {
    const { node, row } = packedAlong(this.#cx, this.#cx.get(value), roles.indexOf("query"));
    const stored = roles.slice(1).map((role, d): PairRole => (d === row ? "query" : role));
    return this.#ordered(node, stored, ["head", "query", "key"], [rowsSize(this.#axisQ), axisSize(this.#axisK)]);
  }

  /** The dimensions with these roles in this order, without those of extent 1. */
  #ordered(node: Node, roles: readonly PairRole[], order: readonly PairRole[], rows: readonly Size[]): Node {
    const kept = order.filter((role) => roles.includes(role)).map((role) => roles.indexOf(role));
    const rest = roles.flatMap((_, d) => (kept.includes(d) ? [] : [d]));
    const { shape } = typeOf(node);
    const heads = roles.includes("head") ? [shape[roles.indexOf("head")]!] : [];
    return this.#cx.reshape(this.#cx.permute(node, [...rest, ...kept]), [...heads, ...rows]);
  }
}

export const pairLowerings = { pair_attention: lowerPairAttention, mass: lowerMass };
