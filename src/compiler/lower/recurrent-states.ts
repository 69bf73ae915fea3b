// What generation keeps of recurrences: for each sequence the last rows that `shift` reads, the last row of a `scan`,
// and the matrices of linear attention. States of fixed size, in the order of the run's sequences or in slots, moved by
// the rows of a run on the recurrence's own axis: a routed one by the tokens that took the route. A sequence without
// such rows keeps its state.
import { isOp, typeOf, type Node, type State } from "../ir/graph.js";
import type { Emit } from "../ir/build.js";
import { inputsFor, packedAxis } from "../ir/typing.js";
import type { DType } from "../../ground/base/dtype.js";
import { multiplySizes, rowsSize, type Size } from "../../ground/size/size.js";
import { addTo } from "../../ground/base/collections.js";
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
  /**
   * The rows before the run: for the first of the shifts that share a state, and then for the value that they shift.
   * Calls of a loop share a state, and shift different values.
   */
  readonly #kept = new Map<Node, ReadonlyMap<Node, Node>>();
  readonly states = new Map<string, State>();

  /**
   * `emit`: for the graph that continues its sequences, which has the axis SEQUENCES. `values`: where states lie.
   * `looped`: names of states that several calls of a block share: each call continues what earlier runs left, and
   * what the last call leaves is kept. `shifts`: as of `keptShifts`. `isSingle`: whether a sequence has at most one row
   * on an axis.
   */
  constructor(
    private readonly emit: Emit,
    private readonly values: SequenceValues,
    private readonly looped: ReadonlyMap<RecurrenceNode, string>,
    private readonly shifts: ReadonlyMap<Node, KeptShifts>,
    private readonly isSingle: (axis: string) => boolean,
  ) {}

  /** The node for the rows of a run, behind those of earlier runs; `inputs` are the run's. */
  continued(node: RecurrenceNode, inputs: readonly Node[]): Node {
    if (isOp(node, "shift")) return this.#shifted(node, inputs);
    if (isOp(node, "scan")) return this.#scanned(node, inputs);
    return this.#attended(node, inputs);
  }

  /** Row i of a run, if i is below `by`, is the row `by − i` behind the end of the rows before the run. */
  #shifted(node: Node<"shift">, [x, starts]: readonly Node[]): Node {
    const { dim, by } = node.attrs;
    const { shape } = typeOf(x!);
    const { rows, axis, order, each } = rowsFirst(shape, dim);
    const { most, before } = this.#rowsBefore(node, x!, starts!);
    const sequence = this.emit.node("segments", [starts!], { axis });
    const inPlace = (row: Node): Node => this.#permuted(row, inverse(order));
    const first = this.#reshaped(this.#slice(before, most - by, most - by + 1), [rowsSize(SEQUENCES), ...each]);
    const ofFirst = inPlace(this.emit.node("take", [first, sequence], { dim: 0 }, node.origin));
    if (this.isSingle(axis)) return ofFirst;
    const position = this.emit.node("positions", [starts!], { axis });
    const within = this.emit.node("shift", [x!, starts!], node.attrs, node.origin);
    const spread = shape.map((_, d) => (d === dim ? rows : 1));
    const isBefore = this.#reshaped(this.emit.node("lt", [position, this.#number(by)], {}), spread);
    if (by === 1) return this.emit.node("where", [isBefore, ofFirst, within], {}, node.origin);
    const place = this.#u32("add", this.#u32("min", position, this.#number(by - 1)), this.#number(most - by));
    const row = this.#u32("add", this.#u32("mul", sequence, this.#number(most)), place);
    const old = inPlace(this.#gathered(this.#flat(before, each), row));
    return this.emit.node("where", [isBefore, old, within], {}, node.origin);
  }

  /** The `most` rows before the run that the shifts of x read, [rows(SEQUENCES), most, …each], the last one last. */
  #rowsBefore(node: Node<"shift">, x: Node, starts: Node): { readonly most: number; readonly before: Node } {
    const { first, most } = this.shifts.get(node)!;
    const known = this.#kept.get(first)?.get(x);
    if (known) return { most, before: known };
    const { dtype, shape } = typeOf(x);
    const { axis, order, each } = rowsFirst(shape, node.attrs.dim);
    const state = this.#before(first, dtype, [most, ...each]);
    this.#kept.set(first, new Map([...(this.#kept.get(first) ?? []), [x, state.rows]]));
    const ahead = this.#permuted(x, order);
    const counts = this.#counts(starts);
    const last = this.emit.node("last", [starts], { axis: SEQUENCES });
    const next = this.isSingle(axis)
      ? this.#movedByOne(state.rows, this.emit.node("take", [ahead, last], { dim: 0 }), counts, most)
      : this.#movedBy(state.rows, ahead, { counts, last }, most);
    this.#keep(state, next);
    return { most, before: state.rows };
  }

  /** The last rows so far, if a sequence has at most one more. */
  #movedByOne(before: Node, row: Node, counts: Node, most: number): Node {
    const [sequences, , ...each] = typeOf(before).shape;
    const newest = this.#reshaped(row, [sequences!, 1, ...each]);
    const older = most === 1 ? [] : [this.#slice(before, 1, most)];
    const moved = older.length === 0 ? newest : this.emit.node("concat", [...older, newest], { axis: 1 });
    return this.#choose(this.#is("gt", counts, this.#number(0)), moved, before, [most, ...each]);
  }

  /** The last rows so far: row i of them is row `count − most + i` of the run, or row `i + count` of before. */
  #movedBy(before: Node, ahead: Node, run: { readonly counts: Node; readonly last: Node }, most: number): Node {
    const [sequences, , ...each] = typeOf(before).shape;
    const column = (x: Node): Node => this.#reshaped(x, [sequences!, 1]);
    const values = Array.from({ length: most }, (_, i) => i);
    const index = this.emit.node("cast", [this.emit.node("literal", [], { values, shape: [1, most] })], {
      dtype: "u32",
    });
    const at = this.#u32("add", column(run.counts), index);
    const isNew = this.#is("ge", at, this.#number(most));
    const behind = this.#u32("add", this.#u32("add", column(run.last), index), this.#number(1));
    const place = this.#where(isNew, this.#u32("sub", behind, this.#number(most)), this.#number(0));
    const sequence = this.emit.node("segments", [this.values.startsOfSequences(this.emit)], { axis: SEQUENCES });
    const kept = this.#u32("min", at, this.#number(most - 1));
    const old = this.#u32("add", this.#u32("mul", column(sequence), this.#number(most)), kept);
    const isNewRow = this.#reshaped(isNew, [sequences!, most, ...each.map(() => 1)]);
    return this.#where(isNewRow, this.#gathered(ahead, place), this.#gathered(this.#flat(before, each), old));
  }

  /** The last row of before, decayed, is added to the first row of the run. */
  #scanned(node: Node<"scan">, [x, starts, decay]: readonly Node[]): Node {
    const { dim } = node.attrs;
    const { shape } = typeOf(x!);
    const { axis, order, each } = rowsFirst(shape, dim);
    const state = this.#before(node, "f32", each);
    const sequence = this.emit.node("segments", [starts!], { axis });
    const before = this.#permuted(this.#gathered(state.rows, sequence), inverse(order));
    const zero = this.emit.node("constant", [], { value: 0, dtype: "f32", shape: [] });
    let left = before;
    if (decay) {
      const factor = this.emit.node("exp", [decay], {});
      const decayed = this.emit.node("mul", [factor, before], {});
      left = this.emit.node("where", [this.emit.node("eq", [factor, zero], {}), zero, decayed], {});
    }
    const firstRows = this.emit.node("add", [x!, left], {}, node.origin);
    const y = this.isSingle(axis)
      ? firstRows
      : this.#scannedFrom(firstRows, node, [x!, starts!, ...(decay ? [decay] : [])]);
    const has = this.#is("gt", this.#counts(starts!), this.#number(0));
    const last = this.emit.node("last", [starts!], { axis: SEQUENCES });
    this.#keep(state, this.#choose(has, this.#gathered(this.#permuted(y, order), last), state.rows, each));
    return y;
  }

  /** The scan of x, but the first row of each sequence comes from `firstRows`. */
  #scannedFrom(firstRows: Node, node: Node<"scan">, [x, starts, ...decay]: readonly Node[]): Node {
    const { shape } = typeOf(x!);
    const { rows, axis } = rowsFirst(shape, node.attrs.dim);
    const position = this.emit.node("positions", [starts!], { axis });
    const spread = shape.map((_, d) => (d === node.attrs.dim ? rows : 1));
    const isFirst = this.#reshaped(this.#is("eq", position, this.#number(0)), spread);
    const begun = this.emit.node("where", [isFirst, firstRows, x!], {});
    return this.emit.node("scan", inputsFor("scan", [begun, starts!, ...decay]), node.attrs, node.origin);
  }

  #attended(node: Node<"linear_attention">, inputs: readonly Node[]): Node {
    const { forgets } = node.attrs;
    const [heads, , columns] = typeOf(inputs[2]!).shape;
    const width = typeOf(inputs[1]!).shape[2]!;
    const state = this.#before(node, "f32", [heads!, width, columns!]);
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
  #before(node: RecurrenceNode, dtype: DType, each: readonly Size[]): Kept {
    const looped = this.looped.get(node);
    const stem = ["cache", looped ?? node.origin?.path ?? "", node.op].filter((s) => s !== "").join(".");
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
  /** Rows start … stop − 1 of those kept for each sequence. */
  #slice(x: Node, start: number, stop: number): Node {
    return this.emit.node("slice", [x], { axis: 1, start, stop });
  }
  /** The rows kept for all sequences, one after the other. */
  #flat(before: Node, each: readonly Size[]): Node {
    const [sequences, most] = typeOf(before).shape;
    return this.#reshaped(before, [multiplySizes(sequences!, most!), ...each]);
  }
  #u32(op: "add" | "sub" | "mul" | "min", a: Node, b: Node): Node {
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

/**
 * The shifts of one value, of which generation keeps one state: `most` rows, which is the longest shift. `first` names
 * the state.
 */
export interface KeptShifts {
  readonly first: Node<"shift">;
  readonly most: number;
}

/**
 * The rows that each shift to later rows shares with others of the same value. `looped`: as of `loopedRecurrences`;
 * shifts of a block that is called several times share rows if they do so in every call.
 */
export function keptShifts(
  nodes: readonly Node[],
  looped: ReadonlyMap<RecurrenceNode, string> = new Map(),
): ReadonlyMap<Node, KeptShifts> {
  const shifts = nodes.filter((node) => isRecurrence(node)).filter((node) => isOp(node, "shift"));
  const order = new Map(nodes.map((node, i) => [node, i]));
  const placeOf = ({ inputs: [x], attrs }: Node<"shift">): string => `${order.get(x)}.${attrs.dim}`;
  const places = new Map<string, string>();
  for (const node of shifts) {
    const name = looped.get(node);
    if (name !== undefined) places.set(name, `${places.get(name) ?? "loops"} ${placeOf(node)}`);
  }
  const groups = new Map<string, Node<"shift">[]>();
  for (const node of shifts) {
    const name = looped.get(node);
    addTo(groups, name === undefined ? placeOf(node) : places.get(name)!, node);
  }
  return new Map(
    [...groups.values()].flatMap((group) => {
      const kept = { first: group[0]!, most: Math.max(...group.map(({ attrs }) => attrs.by)) };
      return group.map((node) => [node, kept] as const);
    }),
  );
}

/** How many numbers generation keeps of a recurrence for each sequence, or of a shift for each row that it keeps. */
export function keptBy(node: RecurrenceNode): Size {
  const product = (shape: readonly Size[]): Size => shape.reduce((a, b) => multiplySizes(a, b), 1);
  const { shape } = typeOf(node);
  if (isOp(node, "linear_attention")) return product([shape[0]!, typeOf(node.inputs[1]).shape[2]!, shape[2]!]);
  return product(shape.filter((_, d) => d !== node.attrs.dim));
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
