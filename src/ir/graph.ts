// The graph: what a program computes.
//
// A node is a pure function of its inputs; it has one or several results (`types`), and `pick` reads one of several. A
// graph is its outputs, losses, observed values, states and the starts of its axes: what none of them reaches does not
// exist. Evaluation visits inputs before the nodes that read them, in any such order.
//
// An axis is an extent known only when the program runs. A sequence axis has a count for each sequence; a tensor along
// it is stored packed: its `rows(axis)` rows are those of the first sequence, then of the second, with `starts` beside
// them. After `above` the counts are known only on the device: `rows(axis)` is then the value of the last entry of the
// node `starts(axis)`.
//
// A route is an axis made from another by choosing tokens (`top`, `above`) or slicing (`span`), together with the node
// that gives, for each of its rows, the row of the parent: ascending and distinct.
//
// A state has a value that outlives the run: reads of `state` see the old value, `next` is computed from them and
// replaces it. Its memory may be taken over by `next` once every reader of the old value has run.
import { bug } from "../base/invariant.js";
import type { Span } from "../diagnostics/span.js";
import type { Axis } from "../size/axes.js";
import type { Rational } from "../size/rational.js";
import type { Size } from "../size/size.js";
import type { TensorType } from "./types.js";
import type { Arity } from "./schema.js";
import { schemas, type ArityOf, type KernelOp, type SourceOp, type OpAttrs, type OpName } from "./vocabulary.js";

/** Where in the source a node comes from: the call path, and the span of the expression. */
export interface Origin {
  readonly path: string;
  readonly span: Span;
}

export interface Node<K extends OpName = OpName> {
  readonly op: K;
  /** As many as the vocabulary says, where the operator is known. */
  readonly inputs: InputsOf<K>;
  readonly attrs: OpAttrs[K];
  /** Types of its results. */
  readonly types: readonly TensorType[];
  readonly origin: Origin | null;
}

/**
 * So many nodes. Not a tuple, so that nodes of any operator have inputs of which one can ask what one asks of arrays.
 */
type Nodes<N extends number, M> = readonly Node[] & { readonly length: N } & { readonly [I in keyof M]: Node };
interface NodesByCount {
  0: Nodes<0, object>;
  1: Nodes<1, Record<0, 0>>;
  2: Nodes<2, Record<0 | 1, 0>>;
  3: Nodes<3, Record<0 | 1 | 2, 0>>;
  4: Nodes<4, Record<0 | 1 | 2 | 3, 0>>;
  5: Nodes<5, Record<0 | 1 | 2 | 3 | 4, 0>>;
  6: Nodes<6, Record<0 | 1 | 2 | 3 | 4 | 5, 0>>;
  7: Nodes<7, Record<0 | 1 | 2 | 3 | 4 | 5 | 6, 0>>;
  10: Nodes<10, Record<0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9, 0>>;
  some: readonly Node[] & { readonly 0: Node };
  any: readonly Node[];
}
type NodesOf<N extends Arity> = N extends keyof NodesByCount
  ? NodesByCount[N]
  : N extends readonly [infer A extends keyof NodesByCount, infer B extends keyof NodesByCount]
    ? NodesByCount[A] | NodesByCount[B]
    : never;
type InputsByOp = { readonly [K in OpName]: NodesOf<ArityOf<K>> };

/** The inputs of an operator: as many as the vocabulary says. */
export type InputsOf<K extends OpName> = InputsByOp[K];

/** What a function gives for each input of a node. */
export const mapInputs = <K extends OpName>(node: Node<K>, of: (input: Node) => Node): InputsOf<K> =>
  node.inputs.map(of) as readonly Node[] as InputsOf<K>; // as many as there were

/**
 * How a packed value unfolds for the caller: dimension `dim` of the tensor is rows(axis); unfolded, the batch stands at
 * `batchDim` and the tokens at `tokenDim`.
 */
export interface Packing {
  readonly axis: string;
  readonly batchDim: number;
  readonly tokenDim: number;
}

export interface GraphInput {
  readonly name: string;
  readonly node: Node<"input">;
  /** As the caller gives it: `[B, T, 3]`. */
  readonly shape: readonly Size[];
  readonly packing: Packing | null;
  /**
   * Where there is a limit, values are at least this: 0, or −1 for labels that may be none, or −below for indices that
   * may count from the end.
   */
  readonly least: number;
  /** Values must be below this (rows of the smallest table they index, classes of a loss); null: no limit. */
  readonly below: number | null;
}

export interface GraphOutput {
  /** `output`, `loss`, `loss.layers.1.predictor`; for observed routes `<path>.index`, `<path>.count`. */
  readonly name: string;
  readonly role: "result" | "loss" | "observe";
  readonly node: Node;
  readonly shape: readonly Size[];
  readonly packing: Packing | null;
}

export interface State {
  readonly name: string;
  readonly type: TensorType;
  readonly init: StateInit;
  readonly next: Node;
}

/** How a state begins; `filled`: every element is this value. */
export type StateInit =
  | { readonly kind: "zeros" }
  | { readonly kind: "filled"; readonly value: number }
  | { readonly kind: "weight"; readonly path: string };

export interface Graph {
  readonly name: string;
  readonly axes: readonly Axis[];
  readonly live: readonly { readonly name: string; readonly kind: "ratio" | "float"; readonly default: Rational }[];
  readonly inputs: readonly GraphInput[];
  readonly outputs: readonly GraphOutput[];
  readonly states: readonly State[];
  /** The node that computes `starts` of each sequence axis that a reached node mentions. */
  readonly starts: ReadonlyMap<string, Node>;
}

/** Every node a graph reaches, inputs before readers, in a fixed order. Iterative: graphs are deep. */
export const nodesOf = (graph: Pick<Graph, "outputs" | "states" | "starts">): readonly Node[] =>
  nodesReaching([...graph.outputs.map((o) => o.node), ...graph.states.map((s) => s.next), ...graph.starts.values()]);

/** The roots and all that they are computed from, inputs before readers, in a fixed order. */
export function nodesReaching(roots: readonly Node[]): readonly Node[] {
  const order: Node[] = [];
  const seen = new Set<Node>();
  const visit = (root: Node): void => {
    const stack: { node: Node; next: number }[] = [];
    if (seen.has(root)) return;
    seen.add(root);
    stack.push({ node: root, next: 0 });
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      const input = top.node.inputs[top.next++];
      if (input === undefined) {
        order.push(top.node);
        stack.pop();
      } else if (!seen.has(input)) {
        seen.add(input);
        stack.push({ node: input, next: 0 });
      }
    }
  };
  for (const root of roots) visit(root);
  return order;
}

/** The type of a value with one result. */
export function typeOf(node: Node): TensorType {
  const [type] = node.types;
  if (type === undefined || node.types.length !== 1) bug(`${node.op} has ${node.types.length} results; pick one`);
  return type;
}

export const isOp = <K extends OpName>(node: Node, op: K): node is Node<K> => node.op === op;

/** The node that computes a value: what a pick picks from. */
export const producerOf = (node: Node): Node => (isOp(node, "pick") ? node.inputs[0] : node);

/** Whether it puts rows into others: all but the rows of its index stay bit for bit. */
export const isScatter = (node: Node): node is Node<"put"> | Node<"set"> => isOp(node, "put") || isOp(node, "set");

/** The axis that a node makes, and which result is its starts; null where it makes none. */
export function axisMade(node: Node): { readonly axis: string; readonly starts: number } | null {
  const { makes } = schemas[node.op];
  if (makes === undefined || !("axis" in node.attrs) || typeof node.attrs.axis !== "string") return null;
  return { axis: node.attrs.axis, starts: makes };
}

export const isPointwise = ({ op }: Node): boolean => schemas[op].kind === "pointwise";

/** Whether the caller or the runtime fills it. */
export const isSource = (node: Node): node is Node<SourceOp> => schemas[node.op].kind === "source";

/** Whether it is computed by kernels of its own. */
export const hasKernel = (node: Node): node is Node<KernelOp> => schemas[node.op].kind === "kernel";

/** A view of the same elements in the same order. */
export const isSameView = ({ op }: Node): boolean => schemas[op].kind === "same";

/** A view: its result is elements of its first input, which need be neither computed nor moved. */
export const isView = (node: Node): boolean => isSameView(node) || schemas[node.op].kind === "moved";

/** Whether its result is the memory that its first input has, or one of those that it has. */
export const isAlias = (node: Node): boolean => isSameView(node) || isOp(node, "pick");
