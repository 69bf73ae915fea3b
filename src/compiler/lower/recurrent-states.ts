// What generation keeps of recurrences: for each sequence the last rows that `shift` reads, the last row of a `scan`,
// and the matrices of linear attention. States of fixed size, in the order of the run's sequences or in slots, moved by
// the rows of a run on the recurrence's own axis: a routed one by the tokens that took the route. A sequence without
// such rows keeps its state.
import { isOp, typeOf, type Node, type State } from "../ir/graph.js";
import type { Emit } from "../ir/build.js";
import { inputsFor, packedAxis } from "../ir/typing.js";
import type { DType } from "../../ground/base/dtype.js";
import { multiplySizes, rowsSize, type Size } from "../../ground/size/size.js";
import { invariant } from "../../ground/base/invariant.js";
import { SEQUENCES } from "../../runtime/program/axes-of-generation.js";
import type { Axis } from "../../ground/size/axes.js";
import type { SequenceValues } from "./sequence-values.js";

export type RecurrenceNode = Node<"shift"> | Node<"scan"> | Node<"linear_attention">;

/** Whether generation has a rule for what a node keeps of earlier tokens. */
export const isRecurrence = (node: Node): node is RecurrenceNode =>
  (isOp(node, "shift") && node.attrs.by > 0) ||
  (isOp(node, "scan") && !node.attrs.reverse) ||
  isOp(node, "linear_attention");

/** A state, and its values for the sequences of a run: [rows(SEQUENCES), …each]. */
interface Kept {
  readonly name: string;
  readonly rows: Node;
}

export class RecurrentStates {
  readonly #taken = new Map<string, number>();
  readonly states = new Map<string, State>();

  /**
   * `emit`: for the graph that continues its sequences, which has the axis SEQUENCES. `values`: where states lie.
   * `looped`: names of states that several calls of a block share: each call continues what earlier runs left, and
   * what the last call leaves is kept.
   */
  constructor(
    private readonly emit: Emit,
    private readonly values: SequenceValues,
    private readonly looped: ReadonlyMap<Node, string>,
  ) {}

  /** The node for the rows of a run, behind those of earlier runs; `inputs` are the run's. */
  continued(node: RecurrenceNode, inputs: readonly Node[]): Node {
    if (isOp(node, "shift")) return this.#shifted(node, inputs);
    if (isOp(node, "scan")) return this.#scanned(node, inputs);
    return this.#attended(node, inputs);
  }

  /** Row i of a run, if i is below `by`, is row i of the last `by` rows before the run. */
  #shifted(node: Node<"shift">, [x, starts]: readonly Node[]): Node {
    const { dim, by } = node.attrs;
    const { dtype, shape } = typeOf(x!);
    const { rows, axis, order, each } = rowsFirst(shape, dim);
    const kept: readonly Size[] = Array.from({ length: by }, () => 0);
    const ahead = this.#permuted(x!, order);
    const before = kept.map((_, i) => this.#before(node, `${i}`, dtype, each));
    // The last rows so far: row `by − 1 − i` before the end, or an earlier one of what was kept.
    const counts = this.#counts(starts!);
    const last = this.emit.node("last", [starts!], { axis: SEQUENCES });
    before.forEach((state, i) => {
      // Kept row i is row `count − by + i` of the run, or kept row `i + count` of before.
      const isNew = this.#is("ge", this.#u32("add", counts, this.#number(i)), this.#number(by));
      const place = this.#u32("sub", this.#u32("add", last, this.#number(i + 1)), this.#number(by));
      const fresh = this.#gathered(ahead, this.#where(isNew, place, this.#number(0)));
      const old = before
        .slice(i + 1)
        .reduce<Node>(
          (sofar, other, n) => this.#choose(this.#is("eq", counts, this.#number(n + 1)), other.rows, sofar, each),
          state.rows,
        );
      this.#keep(state, this.#choose(isNew, fresh, old, each));
    });
    const position = this.emit.node("positions", [starts!], { axis });
    const sequence = this.emit.node("segments", [starts!], { axis });
    const within = this.emit.node("shift", [x!, starts!], node.attrs, node.origin);
    const all = before.reduce<Node>((sofar, state, i) => {
      const row = this.#permuted(this.#gathered(state.rows, sequence), inverse(order));
      const here = this.#is("eq", position, this.#number(i));
      const spread = shape.map((_, d) => (d === dim ? rows : 1));
      return this.emit.node("where", [this.#reshaped(here, spread), row, sofar], {}, node.origin);
    }, within);
    return all;
  }

  /** The last row of before, decayed, is added to the first row of the run. */
  #scanned(node: Node<"scan">, [x, starts, decay]: readonly Node[]): Node {
    const { dim } = node.attrs;
    const { shape } = typeOf(x!);
    const { rows, axis, order, each } = rowsFirst(shape, dim);
    const state = this.#before(node, "", "f32", each);
    const sequence = this.emit.node("segments", [starts!], { axis });
    const position = this.emit.node("positions", [starts!], { axis });
    const before = this.#permuted(this.#gathered(state.rows, sequence), inverse(order));
    const zero = this.emit.node("constant", [], { value: 0, dtype: "f32", shape: [] });
    let left = before;
    if (decay) {
      const factor = this.emit.node("exp", [decay], {});
      const decayed = this.emit.node("mul", [factor, before], {});
      left = this.emit.node("where", [this.emit.node("eq", [factor, zero], {}), zero, decayed], {});
    }
    const spread = shape.map((_, d) => (d === dim ? rows : 1));
    const isFirst = this.#reshaped(this.#is("eq", position, this.#number(0)), spread);
    const begun = this.emit.node("where", [isFirst, this.emit.node("add", [x!, left], {}), x!], {});
    const operands = inputsFor("scan", [begun, starts!, ...(decay ? [decay] : [])]);
    const y = this.emit.node("scan", operands, node.attrs, node.origin);
    const has = this.#is("gt", this.#counts(starts!), this.#number(0));
    const last = this.emit.node("last", [starts!], { axis: SEQUENCES });
    this.#keep(state, this.#choose(has, this.#gathered(this.#permuted(y, order), last), state.rows, each));
    return y;
  }

  #attended(node: Node<"linear_attention">, inputs: readonly Node[]): Node {
    const { forgets } = node.attrs;
    const [heads, , columns] = typeOf(inputs[2]!).shape;
    const width = typeOf(inputs[1]!).shape[2]!;
    const state = this.#before(node, "", "f32", [heads!, width, columns!]);
    const rest = forgets ? inputs.slice(0, -2) : inputs;
    const joined = forgets ? [this.#joined(inputs.slice(-2), Number(heads))] : [];
    const operands = inputsFor("linear_attention_from", [...rest, ...joined, state.rows]);
    const both = this.emit.node("linear_attention_from", operands, node.attrs, node.origin);
    this.#keep(state, this.emit.pick(both, 1));
    return this.emit.pick(both, 0);
  }

  /** forget and at side by side, for as many heads as either has. */
  #joined(operands: readonly Node[], heads: number): Node {
    const own = operands.map((x) => Number(typeOf(x).shape[0]));
    const most = own.every((n) => n === own[0]) ? own[0]! : heads;
    const spread = operands.map((x, i) => {
      if (own[i] === most) return x;
      const [, ...each] = typeOf(x).shape;
      const one = this.emit.node("reshape", [x], { shape: [own[i]!, 1, ...each] });
      const repeated = this.emit.node("broadcast", [one], { shape: [own[i]!, most / own[i]!, ...each] });
      return this.emit.node("reshape", [repeated], { shape: [most, ...each] });
    });
    return this.emit.node("concat", spread, { axis: 2 });
  }

  /** A state of a node as earlier runs have left it. */
  #before(node: Node, part: string, dtype: DType, each: readonly Size[]): Kept {
    const looped = this.looped.get(node);
    const stem = ["cache", looped ?? node.origin?.path ?? "", node.op, part].filter((s) => s !== "").join(".");
    if (looped !== undefined) return { name: stem, rows: this.values.rows(this.emit, stem, dtype, each, node.origin) };
    const number = this.#taken.get(stem) ?? 0;
    this.#taken.set(stem, number + 1);
    const name = number === 0 ? stem : `${stem}.${number}`;
    return { name, rows: this.values.rows(this.emit, name, dtype, each, node.origin) };
  }
  #keep({ name }: Kept, next: Node): void {
    this.states.set(name, this.values.rowState(this.emit, name, next));
  }

  #gathered(table: Node, index: Node): Node {
    return this.emit.node("gather", [table, index], {});
  }
  #permuted(x: Node, order: readonly number[]): Node {
    return order.every((d, i) => d === i) ? x : this.emit.node("permute", [x], { order });
  }
  #reshaped(x: Node, shape: readonly Size[]): Node {
    return this.emit.node("reshape", [x], { shape });
  }
  #number(value: number): Node {
    return this.emit.node("constant", [], { value, dtype: "u32", shape: [] });
  }
  #u32(op: "add" | "sub", a: Node, b: Node): Node {
    return this.emit.node(op, [a, b], {});
  }
  #is(op: "eq" | "ge" | "gt", a: Node, b: Node): Node {
    return this.emit.node(op, [a, b], {});
  }
  #where(condition: Node, a: Node, b: Node): Node {
    return this.emit.node("where", [condition, a, b], {});
  }
  /** a or b for each sequence, [rows(SEQUENCES), …each]. */
  #choose(condition: Node, a: Node, b: Node, each: readonly Size[]): Node {
    return this.#where(this.#reshaped(condition, [rowsSize(SEQUENCES), ...each.map(() => 1)]), a, b);
  }
  /** u32[rows(SEQUENCES)]: the number of rows of each sequence. */
  #counts(starts: Node): Node {
    const sequences = this.values.startsOfSequences(this.emit);
    const each = this.emit.node("segments", [sequences], { axis: SEQUENCES });
    return this.#gathered(this.emit.node("counts", [starts], {}), each);
  }
}

/** How many numbers generation keeps of a recurrence for each sequence. */
export function keptBy(node: RecurrenceNode): Size {
  const product = (shape: readonly Size[]): Size => shape.reduce((a, b) => multiplySizes(a, b), 1);
  const { shape } = typeOf(node);
  if (isOp(node, "linear_attention")) return product([shape[0]!, typeOf(node.inputs[1]).shape[2]!, shape[2]!]);
  const row = product(shape.filter((_, d) => d !== node.attrs.dim));
  return isOp(node, "shift") ? multiplySizes(node.attrs.by, row) : row;
}

/** The axis with a row for each sequence, which the states have. */
export const SEQUENCE_ROWS: Axis = { role: "sequence", name: SEQUENCES, bound: 1, count: { kind: "input" } };

/** The order that brings the rows to the front, their size and axis, and the other sizes. */
function rowsFirst(shape: readonly Size[], dim: number) {
  const rows = shape[dim]!;
  const axis = packedAxis(rows);
  invariant(axis !== null, "a recurrence goes along packed rows");
  const order = [dim, ...shape.flatMap((_, d) => (d === dim ? [] : [d]))];
  return { rows, axis, order, each: shape.filter((_, d) => d !== dim) };
}

const inverse = (order: readonly number[]): readonly number[] => order.map((_, d) => order.indexOf(d));
