// Per-sequence state with one row for each sequence: counts, the last token, sampling settings. The rows are stored in
// the order of the run's sequences, or in slots. An input assigns a slot to each sequence of a run, so that a run may
// contain only some sequences.
import type { DType } from "../../ground/base/dtype.js";
import type { Emit } from "../ir/build.js";
import { typeOf, type GraphInput, type Node, type Origin, type State } from "../ir/graph.js";
import { SEQUENCES, SLOTS } from "../../runtime/program/axes-of-generation.js";
import type { Axis } from "../../ground/size/axes.js";
import { axisSize, rowsSize, type Size } from "../../ground/size/size.js";

export interface SequenceValues {
  /** Axes that these values add to a graph. */
  readonly axes: readonly Axis[];
  readonly inputs: readonly GraphInput[];
  /** The starts of SEQUENCES, where they were read. */
  readonly starts: ReadonlyMap<string, Node>;
  /** The starts of SEQUENCES: one node. */
  startsOfSequences(emit: Emit): Node;
  /** The values before the run, [rows(SEQUENCES), …each]. */
  rows(emit: Emit, name: string, dtype: DType, each: readonly Size[], origin?: Origin | null): Node;
  /** The state with these values after the run: `next` is [rows(SEQUENCES), …each]. */
  rowState(emit: Emit, name: string, next: Node): State;
  /** The state of values that only the host writes; `rows` are the run's rows. */
  keptState(emit: Emit, name: string, rows: Node): State;
  /** Like `rows`, for one number per sequence: u32[B]. */
  counts(emit: Emit, name: string): Node;
  /** Like `rowState`, for u32[B]. */
  countState(emit: Emit, name: string, next: Node): State;
}

const ZEROS = { kind: "zeros" } as const;

/** Values in the order of the run's sequences. */
export const inOrder = (batch: string): SequenceValues => ({
  axes: [],
  inputs: [],
  ...startsOnce(),
  rows: (emit, name, dtype, each, origin) =>
    emit.node("state", [], { name, dtype, shape: [rowsSize(SEQUENCES), ...each] }, origin),
  rowState: (_emit, name, next) => ({ name, type: typeOf(next), init: ZEROS, next }),
  keptState: (_emit, name, rows) => ({ name, type: typeOf(rows), init: ZEROS, next: rows }),
  counts: (emit, name) => emit.node("state", [], { name, dtype: "u32", shape: [axisSize(batch)] }),
  countState: (_emit, name, next) => ({ name, type: typeOf(next), init: ZEROS, next }),
});

/** Name of the input u32[B] with the slot of each sequence of a run. Slots are distinct. */
export const SLOTS_INPUT = "generate.slots";

/** Values stored in slots. */
export class InSlots implements SequenceValues {
  readonly axes: readonly Axis[] = [
    { role: "free", name: SLOTS, bound: null },
    { role: "sequence", name: SEQUENCES, bound: 1, count: { kind: "input" } },
  ];
  readonly inputs: readonly GraphInput[];
  readonly starts: ReadonlyMap<string, Node>;
  readonly startsOfSequences: SequenceValues["startsOfSequences"];
  readonly #slots: Node<"input">;

  constructor(emit: Emit, batch: string) {
    ({ starts: this.starts, startsOfSequences: this.startsOfSequences } = startsOnce());
    const shape = [axisSize(batch)];
    this.#slots = emit.node("input", [], { name: SLOTS_INPUT, dtype: "u32", shape });
    this.inputs = [{ name: SLOTS_INPUT, node: this.#slots, shape, packing: null, least: 0, below: null }];
  }

  rows(emit: Emit, name: string, dtype: DType, each: readonly Size[], origin?: Origin | null): Node {
    return emit.node("gather", [stateOf(emit, name, dtype, each), this.#rowSlots(emit)], {}, origin);
  }

  rowState(emit: Emit, name: string, next: Node): State {
    const { dtype, shape } = typeOf(next);
    const before = stateOf(emit, name, dtype, shape.slice(1));
    const after = emit.node("set", [before, this.#rowSlots(emit), next], { dim: 0 });
    return { name, type: typeOf(after), init: ZEROS, next: after };
  }

  keptState(emit: Emit, name: string, rows: Node): State {
    const { dtype, shape } = typeOf(rows);
    const next = stateOf(emit, name, dtype, shape.slice(1));
    return { name, type: typeOf(next), init: ZEROS, next };
  }

  counts(emit: Emit, name: string): Node {
    return emit.node("gather", [stateOf(emit, name, "u32", []), this.#slots], {});
  }

  countState(emit: Emit, name: string, next: Node): State {
    return this.rowState(emit, name, emit.node("gather", [next, this.#sequenceOfRows(emit)], {}));
  }

  #rowSlots(emit: Emit): Node {
    return emit.node("gather", [this.#slots, this.#sequenceOfRows(emit)], {});
  }
  /** u32[rows(SEQUENCES)]: the sequence of each row. */
  #sequenceOfRows(emit: Emit): Node {
    return emit.node("segments", [this.startsOfSequences(emit)], { axis: SEQUENCES });
  }
}

const stateOf = (emit: Emit, name: string, dtype: DType, each: readonly Size[]): Node =>
  emit.node("state", [], { name, dtype, shape: [axisSize(SLOTS), ...each] });

/** The starts of SEQUENCES, made when they are first read. */
function startsOnce(): Pick<SequenceValues, "starts" | "startsOfSequences"> {
  const starts = new Map<string, Node>();
  return {
    starts,
    startsOfSequences(emit) {
      const node = starts.get(SEQUENCES) ?? emit.node("starts", [], { axis: SEQUENCES });
      starts.set(SEQUENCES, node);
      return node;
    },
  };
}
