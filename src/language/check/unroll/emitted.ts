// The operations of a model during unrolling, in order, each with the call that emitted it.
import type { CallNode } from "./call-tree.js";
import type { Size } from "../../../ground/size/size.js";
import type { EntryChoice, LogicalAttrs, LogicalOp, LogicalType, Value } from "../model/model.js";
import type { Trace } from "../model/checker.js";

/** A value during unrolling: paths, streams and the extents of entry axes are set at the end. */
interface Draft {
  path: string;
  attrs: LogicalAttrs[LogicalOp];
  type: LogicalType;
}

export class Emitted {
  readonly #values: (Value & Draft)[] = [];
  readonly #nodes: CallNode[] = [];
  readonly #traces: (Trace | null)[] = [];
  readonly #streams: CallNode[] = [];

  get count(): number {
    return this.#values.length;
  }

  /** Adds an operation emitted by the call `node`, reached through the calls of `trace`. */
  add<K extends LogicalOp>(
    node: CallNode,
    trace: Trace | null,
    { op, inputs, attrs, type, span }: Pick<Value<K>, "op" | "inputs" | "attrs" | "type" | "span">,
  ): Value<K> {
    const value = { id: this.#values.length, op, inputs, attrs, type, span, path: "" };
    this.#values.push(value);
    this.#nodes.push(node);
    this.#traces.push(trace);
    return value;
  }

  /** The call that emitted a value, and the calls that led to it. */
  madeBy({ id }: Value): { readonly node: CallNode | null; readonly trace: Trace | null } {
    return { node: this.#nodes[id] ?? null, trace: this.#traces[id] ?? null };
  }

  /** A placeholder for a stream of random values of the call `node`, named once paths are known. */
  stream(node: CallNode): string {
    this.#streams.push(node);
    return `${this.#streams.length - 1}`;
  }

  nameChoice({ id, attrs }: EntryChoice, choice: string): void {
    const draft = this.#values[id];
    if (draft) draft.attrs = { ...attrs, choice };
  }

  /**
   * Sets the path of every value and the names of the random streams, and converts all sizes; called once all calls are
   * known.
   */
  finish(plain: (size: Size) => Size): void {
    const numbers = new Map<CallNode, number>();
    const streams = this.#streams.map((node) => {
      const n = numbers.get(node) ?? 0;
      numbers.set(node, n + 1);
      return `${node.path}:${n}`;
    });
    for (const value of this.#values) {
      value.path = this.#nodes[value.id]?.path ?? "";
      if (value.type.shape.some((size) => plain(size) !== size))
        value.type = { dtype: value.type.dtype, shape: value.type.shape.map(plain) };
      if ("size" in value.attrs) value.attrs = { size: plain(value.attrs.size) };
      if ("stream" in value.attrs) value.attrs = { ...value.attrs, stream: streams[Number(value.attrs.stream)] ?? "" };
    }
  }
}
