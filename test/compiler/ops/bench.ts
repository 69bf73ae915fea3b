// Builds the small graph a sample needs: inputs with random values, starts, positions and routes, and the operator on
// top.
import { countOf } from "../../../src/ground/base/collections.js";
import { createEmit, type Emit } from "../../../src/compiler/ir/build.js";
import {
  isOp,
  nodesOf,
  type Graph,
  type GraphInput,
  type GraphOutput,
  type Node,
  type Packing,
  type State,
} from "../../../src/compiler/ir/graph.js";
import { inputsFor, packedAxis } from "../../../src/compiler/ir/typing.js";
import type { OpAttrs, OpName } from "../../../src/compiler/ir/vocabulary.js";
import type { EvaluateOptions } from "../../../src/compiler/reference/evaluate.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { roundStored, tensor } from "../../../src/compiler/ops/tensors.js";
import { countingAxis, type Axis } from "../../../src/ground/size/axes.js";
import type { CountRule, Rule, RuleKind } from "../../../src/ground/size/count-rules.js";
import type { DType } from "../../../src/ground/base/dtype.js";
import { normalOf, philox, uniformOf } from "../../../src/ground/numerics/philox.js";
import type { Rational } from "../../../src/ground/numerics/rational.js";
import { axisSize, rowsSize, type Size } from "../../../src/ground/size/size.js";

/** The sequences of a sample and the axes it makes from T. */
export interface Setting {
  /** Number of sequences; default 1. */
  readonly batch?: number;
  /** T, the longest sequence; default 1. */
  readonly tokens?: number;
  /** Default: all full. */
  readonly lengths?: readonly number[];
  /** Count rules of further axes by name, each after those it is made from. */
  readonly axes?: Readonly<Record<string, CountRule>>;
  readonly live?: Readonly<Record<string, Rational>>;
}

/** A graph with one operator under test and what to run it with. */
export interface Case {
  readonly graph: Graph;
  /** Results are the outputs `y0`, `y1`, …; the inputs it made are `x0`, `x1`, …. */
  readonly options: Omit<EvaluateOptions, "inputs"> & {
    readonly inputs: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float64Array }>;
  };
}

type Values = readonly number[] | ((random: Random) => number);

/** A stream of random numbers for one sample. */
export interface Random {
  normal(): number;
  uniform(low: number, high: number): number;
  below(n: number): number;
}

export class Bench {
  readonly emit: Emit;
  readonly axes: readonly Axis[];
  readonly random: Random;
  readonly #inputs: GraphInput[] = [];
  readonly #values = new Map<string, { shape: number[]; data: Float64Array }>();
  readonly #weights = new Map<string, { shape: number[]; data: Float64Array }>();
  readonly #indices = new Map<string, Node>();
  readonly #starts = new Map<string, Node>();
  readonly #lengths: readonly number[];

  constructor(
    readonly setting: Setting,
    seed: number,
  ) {
    const { batch = 1, tokens = 1 } = setting;
    this.axes = [
      { role: "batch", name: "B", bound: null },
      { role: "sequence", name: "T", bound: 4096, count: { kind: "input" } },
      ...Object.entries(setting.axes ?? {}).map(([name, count]): Axis => ({
        role: "sequence",
        name,
        bound: null,
        count,
      })),
    ];
    this.emit = createEmit(ops, this.axes);
    this.random = randomFrom(seed);
    this.#lengths = setting.lengths ?? new Array<number>(batch).fill(tokens);
    // Every sample has sequences, whether or not its operator looks at them.
    this.rows([], [], "f32");
    this.starts("T");
  }

  node<K extends OpName>(op: K, inputs: readonly Node[], attrs: OpAttrs[K]): Node<K> {
    return this.emit.node(op, inputsFor(op, inputs), attrs);
  }

  /** An input of this shape. Values: as given, or random; normal unless it says otherwise. */
  data(dtype: DType, shape: readonly number[], values: Values = plain(dtype)): Node {
    return this.#input(dtype, shape, shape, null, shape, values);
  }

  /**
   * An input [B, before…, T, behind…], stored [before…, rows(T), behind…]. Given values are those of the existing rows
   * of every sequence in turn, for empty `before`.
   */
  rows(
    before: readonly number[],
    behind: readonly number[],
    dtype: DType = "f32",
    values: Values = plain(dtype),
  ): Node {
    const { batch = 1, tokens = 1 } = this.setting;
    const packing = { axis: "T", batchDim: 0, tokenDim: before.length + 1 };
    const logical = [batch, ...before, tokens, ...behind];
    const padded = typeof values === "function" ? values : this.#padded(values, countOf(behind), dtype);
    return this.#input(
      dtype,
      logical,
      [axisSize("B"), ...before, axisSize("T"), ...behind],
      packing,
      [...before, rowsSize("T"), ...behind],
      padded,
    );
  }

  /** An input [B, T, behind…] stored as it reads, sequences side by side. */
  padded(behind: readonly number[], dtype: DType = "f32", values: Values = plain(dtype)): Node {
    const { batch = 1, tokens = 1 } = this.setting;
    const shape = [axisSize("B"), axisSize("T"), ...behind];
    return this.#input(dtype, [batch, tokens, ...behind], shape, null, shape, values);
  }

  /** An input [B, behind…], stored unpacked. */
  each(behind: readonly number[], dtype: DType = "f32", values: Values = plain(dtype)): Node {
    const { batch = 1 } = this.setting;
    const shape = [axisSize("B"), ...behind];
    return this.#input(dtype, [batch, ...behind], shape, null, shape, values);
  }

  /** Existing rows with noise in the padding, which nobody may read. */
  #padded(values: readonly number[], width: number, dtype: DType): number[] {
    const { tokens = 1 } = this.setting;
    let next = 0;
    return this.#lengths.flatMap((n) =>
      Array.from({ length: tokens * width }, (_, i) => (i < n * width ? values[next++]! : plain(dtype)(this.random))),
    );
  }

  #input(
    dtype: DType,
    logical: readonly number[],
    shape: readonly Size[],
    packing: Packing | null,
    stored: readonly Size[],
    values: Values,
  ): Node {
    const name = `x${this.#inputs.length}`;
    const node = this.node("input", [], { name, dtype, shape: stored });
    const data =
      typeof values === "function"
        ? Float64Array.from({ length: countOf(logical) }, () => values(this.random))
        : Float64Array.from(values);
    this.#inputs.push({ name, node, shape, packing, least: 0, below: null });
    // 32-bit values, so that a device starts from the same ones.
    const kept = roundStored(tensor(dtype, logical, dtype === "f32" ? data.map(Math.fround) : data));
    this.#values.set(name, { shape: [...logical], data: kept.data });
    return node;
  }

  weight(path: string, dtype: DType, shape: readonly number[]): Node {
    this.#weights.set(path, {
      shape: [...shape],
      data: Float64Array.from({ length: countOf(shape) }, () => Math.fround(plain(dtype)(this.random))),
    });
    return this.node("weight", [], { path, dtype, shape });
  }

  /** Starts of an axis; a routed one must have been made. */
  starts(axis: string): Node {
    const made = this.#starts.get(axis) ?? this.node("starts", [], { axis });
    this.#starts.set(axis, made);
    return made;
  }

  /** Positions in the model's input of the rows of T, or of an axis chosen from it. */
  positions(axis: string): Node {
    const own = this.node("positions", [this.starts("T")], { axis: "T" });
    const index = this.#indices.get(axis);
    return index ? this.node("take", [own, index], { dim: 0 }) : own;
  }

  /** The packed rows of its parent that an axis selects, once the axis is made. */
  index(axis: string): Node {
    return this.#indices.get(axis)!;
  }

  /** Makes an axis by `top`; scores are random where none are given. */
  top(axis: string, score: Node = this.rows([], [])): Node<"top"> {
    const rule = this.#rule(axis, "top");
    return this.#made(
      axis,
      this.node("top", [score, this.starts(rule.parent), this.starts(countingAxis(this.axes, rule))], { axis }),
    );
  }

  /** Makes an axis by `top_rows`, with as many rows as each column of the score has chosen. */
  topRows(axis: string, score: Node): Node<"top_rows"> {
    const rule = this.#rule(axis, "top");
    const starts = [this.starts(rule.parent), this.starts(countingAxis(this.axes, rule))] as const;
    const node = this.node("top_rows", [score, ...starts], { axis });
    this.#starts.set(axis, this.emit.pick(node, 1));
    return node;
  }

  above(axis: string, score: Node, threshold: Node): Node<"above"> {
    return this.#made(
      axis,
      this.node("above", [score, threshold, this.starts(this.#rule(axis, "above").parent)], { axis }),
    );
  }

  span(axis: string): Node<"span"> {
    return this.#made(axis, this.node("span", [this.starts(this.#rule(axis, "span").parent)], { axis }));
  }

  join(axis: string): Node<"join"> {
    const node = this.node(
      "join",
      this.#rule(axis, "join").parts.map((p) => this.starts(p)),
      { axis },
    );
    this.#starts.set(axis, this.emit.pick(node, 0));
    return node;
  }

  #rule<K extends RuleKind>(name: string, kind: K): Rule<K> {
    const axis = this.axes.find((a) => a.name === name);
    if (axis?.role !== "sequence" || axis.count.kind !== kind) throw new Error(`${name} is not made by ${kind}`);
    return axis.count as Rule<K>; // its kind has just been compared
  }

  #made<K extends "top" | "above" | "span">(axis: string, node: Node<K>): Node<K> {
    this.#indices.set(axis, this.emit.pick(node, 0));
    this.#starts.set(axis, this.emit.pick(node, 1));
    return node;
  }

  /** The graph whose outputs are all results of the node. */
  finish(node: Node, name: string): Case {
    const outputs: GraphOutput[] = node.types.map((type, i) => {
      const value = this.emit.pick(node, i);
      const dim = type.shape.findIndex((s) => packedAxis(s) !== null);
      if (dim < 0) return { name: `y${i}`, role: "result", node: value, shape: type.shape, packing: null };
      const axis = packedAxis(type.shape[dim]!)!;
      const shape = [axisSize("B"), ...type.shape.map((s, d) => (d === dim ? axisSize(axis) : s))];
      return { name: `y${i}`, role: "result", node: value, shape, packing: { axis, batchDim: 0, tokenDim: dim + 1 } };
    });
    const live = Object.entries(this.setting.live ?? {}).map(([n, value]) => ({
      name: n,
      kind: "ratio" as const,
      default: value,
    }));
    // A state that is read keeps its value.
    const kept = nodesOf({ outputs, states: [], starts: this.#starts }).flatMap((n): State[] =>
      isOp(n, "state") ? [{ name: n.attrs.name, type: n.types[0]!, init: { kind: "zeros" }, next: n }] : [],
    );
    const all = { name, axes: this.axes, live, inputs: this.#inputs, outputs, states: kept, starts: this.#starts };
    // Inputs that the sample does not read still tell the extents.
    const read = new Set<Node>(nodesOf(all));
    const inputs = this.#inputs.filter((input, i) => i === 0 || read.has(input.node));
    return {
      graph: { ...all, inputs },
      options: {
        inputs: new Map(inputs.map((i) => [i.name, this.#values.get(i.name)!])),
        weights: this.#weights,
        seed: 20240402,
        ...(this.setting.lengths === undefined ? {} : { lengths: this.setting.lengths }),
      },
    };
  }
}

/** The same node, known to be of the operator. */
export function expectOp<K extends OpName>(op: K, node: Node): Node<K> {
  if (!isOp(node, op)) throw new Error(`expected ${op}, found ${node.op}`);
  return node;
}

/** Random values that suit a dtype. */
const plain =
  (dtype: DType) =>
  (random: Random): number =>
    dtype === "f32" || dtype === "f16"
      ? random.normal()
      : dtype === "bool"
        ? random.below(2)
        : dtype === "u32"
          ? random.below(1000)
          : random.below(2000) - 1000;

export function randomFrom(seed: number): Random {
  let next = 0;
  const words = () => philox([next++, 0, 0, 0], [seed, 1]);
  return {
    normal: () => normalOf(words()),
    uniform: (low, high) => low + uniformOf(words()) * (high - low),
    below: (n) => Math.floor(uniformOf(words()) * n),
  };
}
