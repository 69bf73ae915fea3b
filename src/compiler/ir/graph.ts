// The graph that a program computes. A node is a pure function of its inputs; it has one or several results (`types`),
// and `pick` selects one of several.
//
// A graph consists of the nodes reachable from its outputs, losses, observed values, states and the starts of its axes.
// Evaluation visits inputs before the nodes that read them, in any such order.
//
// An axis is an extent known only when the program runs. A sequence axis has a count for each sequence; a tensor along
// it is stored packed: its `rows(axis)` rows are the first sequence's, then the second's, and `starts` holds the row
// offsets. After `above` only the device knows the counts: `rows(axis)` is then the last entry of the node
// `starts(axis)`.
//
// A route is an axis derived from a parent axis by selecting tokens (`top`, `above`) or slicing (`span`). It comes with
// a node that gives, for each row of the route, its row of the parent: ascending and distinct.
//
// A state is a value that persists between runs: `state` nodes read the old value; `next` is computed from them and
// replaces it. `next` may reuse the memory of the old value once every reader of the old value has run.
import { bug } from "../../ground/base/invariant.js";
import type { Span } from "../../language/diagnostics/span.js";
import type { Axis } from "../../ground/size/axes.js";
import type { Rational } from "../../ground/numerics/rational.js";
import type { Size } from "../../ground/size/size.js";
import type { TensorType } from "./types.js";
import type { Arity } from "./schema.js";
import { schemas, type ArityOf, type KernelOp, type SourceOp, type OpAttrs, type OpName } from "./vocabulary.js";

/** Source location of a node: the call path, and the span of the expression. */
export interface Origin {
  readonly path: string;
  readonly span: Span;
}

export interface Node<K extends OpName = OpName> {
  readonly op: K;
  /** The inputs, in the number that the vocabulary states. */
  readonly inputs: InputsOf<K>;
  readonly attrs: OpAttrs[K];
  /** Types of the node's results. */
  readonly types: readonly TensorType[];
  readonly origin: Origin | null;
}

/** A list of N nodes. Not a tuple type, so that input lists of different operators share the methods of arrays. */
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
  8: Nodes<8, Record<0 | 1 | 2 | 3 | 4 | 5 | 6 | 7, 0>>;
  10: Nodes<10, Record<0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9, 0>>;
  11: Nodes<11, Record<0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10, 0>>;
  some: readonly Node[] & { readonly 0: Node };
  any: readonly Node[];
}
type NodesOf<N extends Arity> = N extends keyof NodesByCount
  ? NodesByCount[N]
  : N extends readonly [infer A extends keyof NodesByCount, infer B extends keyof NodesByCount]
    ? NodesByCount[A] | NodesByCount[B] | (N extends readonly [3, 5] ? NodesByCount[4] : never)
    : never;
type InputsByOp = { readonly [K in OpName]: NodesOf<ArityOf<K>> };

/** The inputs of an operator, in the number that the vocabulary states. */
export type InputsOf<K extends OpName> = InputsByOp[K];

/** Applies a function to each input of a node. */
export const mapInputs = <K extends OpName>(node: Node<K>, of: (input: Node) => Node): InputsOf<K> =>
  node.inputs.map(of) as readonly Node[] as InputsOf<K>; // the number of inputs is unchanged

/**
 * How a packed value is presented to the caller: dimension `dim` of the tensor is rows(axis); in the caller's shape the
 * batch is dimension `batchDim` and the tokens are `tokenDim`.
 */
export interface Packing {
  readonly axis: string;
  readonly batchDim: number;
  readonly tokenDim: number;
}

export interface GraphInput {
  readonly name: string;
  readonly node: Node<"input">;
  /** The shape of the caller's tensor: `[B, T, 3]`. */
  readonly shape: readonly Size[];
  readonly packing: Packing | null;
  /**
   * The minimum of the values if `below` is set: 0, −1 for labels that may be absent, or −below for indices that may
   * count from the end.
   */
  readonly least: number;
  /** Exclusive maximum of the values (rows of the smallest table they index, classes of a loss); null: no limit. */
  readonly below: number | null;
}

export interface GraphOutput {
  /**
   * `output`, `loss`, `loss.layers.1.predictor`; for observed routes `<path>.index`, `<path>.count`; for updates
   * `state.<path>`.
   */
  readonly name: string;
  /** `update`: the new value of a model's state after the step. */
  readonly role: "result" | "loss" | "observe" | "update";
  readonly node: Node;
  readonly shape: readonly Size[];
  readonly packing: Packing | null;
}

const UPDATE = "state.";
/** The name of the output that holds a state's value after the step. */
export const updateName = (path: string): string => `${UPDATE}${path}`;
/** For each state of the model that the graph updates, the node of its value after the step. */
export const updatesOf = ({ outputs }: Pick<Graph, "outputs">): ReadonlyMap<string, Node> =>
  new Map(outputs.flatMap((o) => (o.role === "update" ? [[o.name.slice(UPDATE.length), o.node]] : [])));

export interface State {
  readonly name: string;
  readonly type: TensorType;
  readonly init: StateInit;
  readonly next: Node;
}

/** The initial value of a state; `filled`: every element has this value. */
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
  /** For each sequence axis mentioned by a reachable node, the node that computes its `starts`. */
  readonly starts: ReadonlyMap<string, Node>;
}

/** The reachable nodes of a graph, inputs before readers, in a fixed order. Iterative: graphs are deep. */
export function nodesOf(graph: Pick<Graph, "outputs" | "states" | "starts">): readonly Node[] {
  let order = orders.get(graph);
  if (order === undefined) {
    order = nodesReaching([...resultNodes(graph), ...graph.starts.values()]);
    orders.set(graph, order);
  }
  return order;
}

/** The order of each graph's nodes, computed once: a graph never changes, and many passes need it. */
const orders = new WeakMap<object, readonly Node[]>();

/** The nodes of outputs and of new states. */
export const resultNodes = ({ outputs, states }: Pick<Graph, "outputs" | "states">): readonly Node[] => [
  ...outputs.map((o) => o.node),
  ...states.map((s) => s.next),
];

/** The roots and all nodes that they depend on, inputs before readers, in a fixed order. */
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

export function typeOf(node: Node): TensorType {
  const [type] = node.types;
  if (type === undefined || node.types.length !== 1) bug(`${node.op} has ${node.types.length} results; pick one`);
  return type;
}

export const isOp = <K extends OpName>(node: Node, op: K): node is Node<K> => node.op === op;

/** The node that computes a value: the input of a `pick`, else the node itself. */
export const producerOf = (node: Node): Node => (isOp(node, "pick") ? node.inputs[0] : node);

/** Whether the node adds or writes rows into its first input and keeps the bits of all other rows. */
export const isScatter = (node: Node): node is Node<"put"> | Node<"set"> => isOp(node, "put") || isOp(node, "set");

/** Whether the node gathers rows of its first input by the index in its second. */
export const isGather = (node: Node): node is Node<"take"> | Node<"entry_rows"> =>
  isOp(node, "take") || isOp(node, "entry_rows");

/** The axis that a node defines, and the index of the result with the axis's starts; null if it defines none. */
export function definedAxis(node: Node): { readonly axis: string; readonly starts: number } | null {
  const { makes } = schemas[node.op];
  if (makes === undefined || !("axis" in node.attrs) || typeof node.attrs.axis !== "string") return null;
  return { axis: node.attrs.axis, starts: makes };
}

export const isPointwise = ({ op }: Node): boolean => schemas[op].kind === "pointwise";

/** Whether the caller or the runtime fills the node's memory. */
export const isSource = (node: Node): node is Node<SourceOp> => schemas[node.op].kind === "source";

/** Whether the operator has its own kernels. */
export const hasKernel = (node: Node): node is Node<KernelOp> => schemas[node.op].kind === "kernel";

/** Whether the node is a view of the same elements in the same order. */
export const isSameView = ({ op }: Node): boolean => schemas[op].kind === "same";

/** Whether the node is a view: its elements are elements of its first input, so nothing need be computed or copied. */
export const isView = (node: Node): boolean => isSameView(node) || schemas[node.op].kind === "moved";

/** Whether the node's result is in the memory of its first input, or of one of that input's results. */
export const isAlias = (node: Node): boolean => isSameView(node) || isOp(node, "pick");
