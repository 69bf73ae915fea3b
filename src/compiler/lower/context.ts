// The state of a lowering: creates nodes, and caches the nodes of each axis (starts, positions, segments).
import { invariant } from "../../ground/base/invariant.js";
import type { LogicalType, Value } from "../../language/check/model/model.js";
import type { Attending } from "../../language/check/model/pairs.js";
import { createEmit, type Emit } from "../ir/build.js";
import { typeOf, type Node, type Origin, type InputsOf } from "../ir/graph.js";
import { equalShapes } from "../ir/typing.js";
import type { OpAttrs, OpName } from "../ir/vocabulary.js";
import { algebra, type Algebra } from "../ops/algebra.js";
import { ops } from "../ops/index.js";
import { countingAxis, type Axis, type SequenceAxis } from "../../ground/size/axes.js";
import { chosenFrom, type Rule } from "../../ground/size/count-rules.js";
import type { DType } from "../../ground/base/dtype.js";
import { axisSize, type Size } from "../../ground/size/size.js";
import { ModelAxes, type RowPacking } from "./layout.js";

/** The node that holds a logical value, with its packing. */
export interface Placed {
  readonly node: Node;
  readonly type: LogicalType;
  readonly packing: RowPacking | null;
}

/** The nodes of a sequence axis: starts, and for a route also the index of its rows in the parent. */
interface AxisNodes {
  readonly starts: Node;
  readonly index: Node | null;
}

/** The results of `sort_entries` for a choice with k entries for each of N rows. */
export interface SortedEntries {
  /** u32[N, k]: the group of each entry; missing entries have a number beyond the groups. */
  readonly group: Node;
  readonly entries: Node;
  readonly rows: Node;
  /** u32[N, k] */
  readonly place: Node;
  readonly starts: Node;
  readonly groups: Node;
}

export class Lowering {
  readonly axes: ModelAxes;
  readonly #nodes = new Map<string, AxisNodes>();
  readonly #positions = new Map<string, Node>();
  readonly #sorted = new Map<string, SortedEntries>();
  readonly #values = new Map<Value, Placed>();
  readonly #emit: Emit;
  /** The number of experts computed in the call of each axis of sorted entries. */
  readonly computing: ReadonlyMap<string, number>;
  /** For each `mass` the attention with which it shares a node. */
  readonly attentionsOfMasses: ReadonlyMap<Value, Attending>;
  #origin: Origin | null = null;

  /**
   * `sorted`: the rows of each axis of sorted entries; `computing`: the number of experts computed in the axis's call.
   */
  constructor(
    axes: readonly Axis[],
    sorted: ReadonlyMap<string, Size> = new Map(),
    computing: ReadonlyMap<string, number> = new Map(),
    ofMasses: ReadonlyMap<Value, Attending> = new Map(),
  ) {
    this.attentionsOfMasses = ofMasses;
    this.computing = computing;
    this.axes = new ModelAxes(axes, sorted);
    this.#emit = createEmit(ops, this.axes.all);
  }

  // --- values
  /** Sets the value that is the origin of all nodes created from now on. */
  enter(value: Value): void {
    this.#origin = { path: value.path, span: value.span };
  }
  define(value: Value, placed: Placed): void {
    this.#values.set(value, placed);
  }
  get(value: Value | undefined): Placed {
    const placed = value && this.#values.get(value);
    invariant(placed, `value ${value?.id} is read before it is made`);
    return placed;
  }
  /** Pairs a node with the logical type that it holds and the packing of that type. */
  placed(node: Node, type: LogicalType): Placed {
    return { node, type, packing: this.axes.packingOf(type) };
  }

  // --- nodes
  /** Creates a node; returns the existing one for equal operator, inputs and attributes. */
  emit<K extends OpName>(op: K, inputs: InputsOf<K>, attrs: OpAttrs[K]): Node<K> {
    return this.#emit.node(op, inputs, attrs, this.#origin);
  }
  /** Arithmetic on nodes, in which numbers take the dtype of `like`. */
  algebra(like: Node): Algebra {
    return algebra((op, inputs, attrs) => this.emit(op, inputs, attrs), like);
  }
  constant(value: number, dtype: DType, shape: readonly Size[] = []): Node {
    return this.emit("constant", [], { value, dtype, shape });
  }
  size(size: Size, dtype: "f32" | "u32" | "i32"): Node {
    return typeof size === "number" ? this.constant(size, dtype) : this.emit("size", [], { size, dtype });
  }
  cast(node: Node, dtype: DType): Node {
    return typeOf(node).dtype === dtype ? node : this.emit("cast", [node], { dtype });
  }
  reshape(node: Node, shape: readonly Size[]): Node {
    return equalShapes(typeOf(node).shape, shape) ? node : this.emit("reshape", [node], { shape });
  }
  permute(node: Node, order: readonly number[]): Node {
    return order.every((d, i) => d === i) ? node : this.emit("permute", [node], { order });
  }
  broadcast(node: Node, shape: readonly Size[]): Node {
    return equalShapes(typeOf(node).shape, shape) ? node : this.emit("broadcast", [node], { shape });
  }

  // --- axes
  sequence(name: string): SequenceAxis {
    const axis = this.axes.get(name);
    invariant(axis.role === "sequence", `${name} is not a sequence axis`);
    return axis;
  }
  /** Registers the starts and the row index for a derived axis. */
  defineAxis(name: string, nodes: AxisNodes): void {
    invariant(!this.#nodes.has(name), `axis ${name} is made twice`);
    this.#nodes.set(name, nodes);
  }
  isDefined(name: string): boolean {
    return this.#nodes.has(name);
  }
  /** The sorted entries of an axis, created on first use. */
  sorted(axis: string, make: () => SortedEntries): SortedEntries {
    let sorted = this.#sorted.get(axis);
    if (!sorted) this.#sorted.set(axis, (sorted = make()));
    return sorted;
  }
  starts(name: string): Node {
    const axisNodes = this.#nodes.get(name);
    if (axisNodes) return axisNodes.starts;
    const { kind } = this.sequence(name).count;
    invariant(kind === "input" || kind === "fixed", `axis ${name} is used before it is made`);
    return this.emit("starts", [], { axis: name });
  }
  /** The counts of an axis, u32[B]. */
  counts(name: string): Node {
    return this.emit("counts", [this.starts(name)], {});
  }
  /** The index of a route, u32[M]: packed rows of the parent. */
  index(name: string): Node {
    const index = this.#nodes.get(name)?.index;
    invariant(index, `axis ${name} is no route`);
    return index;
  }
  /** u32[N]: the index of the sequence of each row. */
  segments(name: string): Node {
    return this.emit("segments", [this.starts(name)], { axis: name });
  }
  /** u32[N]: 0 … n − 1 within each sequence. */
  within(name: string): Node {
    return this.emit("positions", [this.starts(name)], { axis: name });
  }
  /**
   * u32[N]: positions in the model's input, traced through all parent routes. On an axis defined by concatenation or
   * slicing they begin at 0.
   */
  positions(name: string): Node {
    const chain: string[] = [];
    let root = name;
    for (
      let parent = chosenFrom(this.sequence(root).count);
      parent !== null && !this.#positions.has(root);
      parent = chosenFrom(this.sequence(root).count)
    ) {
      chain.push(root);
      root = parent;
    }
    let positions = this.#positions.get(root) ?? this.within(root);
    this.#positions.set(root, positions);
    for (const axis of chain.reverse()) {
      positions = this.emit("take", [positions, this.index(axis)], { dim: 0 });
      this.#positions.set(axis, positions);
    }
    return positions;
  }
  /** One more than the largest position that `positions` can contain. */
  positionExtent(name: string): Size {
    let root = name;
    for (
      let parent = chosenFrom(this.sequence(root).count);
      parent !== null;
      parent = chosenFrom(this.sequence(root).count)
    )
      root = parent;
    return axisSize(root);
  }
  /** The axis whose counts determine k. */
  countingAxis(rule: Rule<"top">): string {
    return countingAxis(this.axes.all, rule);
  }
}
