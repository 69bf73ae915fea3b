// Moves gathers up through row-wise operators: if only some rows of a value are read, only these rows are computed.
import { invariant } from "../../ground/base/invariant.js";
import { createEmit } from "../ir/build.js";
import { isOp, nodesOf, typeOf, type Graph, type Node, isScatter } from "../ir/graph.js";
import { replaceNodes } from "../ir/replace.js";
import { packedAxis } from "../ir/typing.js";
import type { RowInputs } from "../ops/define.js";
import { attrsWith } from "../ops/rows.js";
import { rowInputs } from "../ops/traits.js";
import { ops } from "../ops/index.js";
import { rowsSize, type Size } from "../../ground/size/size.js";
import { callerReads } from "./readers.js";
import type { Emit, Trace } from "./rewrite.js";
import { rowSumOf } from "./row-sums.js";

/** The rows that all readers of a value require. */
interface RowRequirement {
  readonly index: Node;
  readonly dim: number;
}

/**
 * take(f(x, …), r) → f(take(x, r), …) for row-wise f, as far up as no other reader needs all rows. Remaining rows are
 * computed as before. A route's scores are required for all rows, so no choice depends on itself. If a selection may
 * contain all rows, the gather moves only as long as that adds no memory traffic. Linear in the number of nodes.
 */
export function chosenRows(graph: Graph, trace: Trace | null): Graph {
  const nodes = nodesOf(graph);
  const most = rowRequirements(graph, nodes, new Set(), new Set());
  if (most.size === 0) return graph;
  const requirements = rowRequirements(graph, nodes, sharedSums(nodes, most), queriesBesideKeys(nodes, most));
  return requirements.size === 0 ? graph : new Rebuilding(graph, requirements, trace).graph();
}

/**
 * Values with a reader that sums all rows: summing further statistics in the same pass is cheaper than a second pass
 * over the chosen rows.
 */
function sharedSums(nodes: readonly Node[], chosen: ReadonlyMap<Node, RowRequirement>): ReadonlySet<Node> {
  return new Set(
    nodes.flatMap((node) => {
      const read = chosen.has(node) ? null : rowSumOf(node);
      return read ? [read] : [];
    }),
  );
}

/**
 * Queries of the last row of each sequence whose product has the same input as the products of keys and values, which
 * need all rows. One product over all rows is computed, as in every other layer. Separate products would need their own
 * kernels, each with its own copy of the preceding norm; in a model of n dense layers they would save 1 of about 12 n −
 * 10 parts of the work.
 */
function queriesBesideKeys(nodes: readonly Node[], chosen: ReadonlyMap<Node, RowRequirement>): ReadonlySet<Node> {
  const ofAll = new Set(
    nodes.flatMap((node) => (isProductOfWeight(node) && !chosen.has(node) ? [node.inputs[0]] : [])),
  );
  return new Set(
    nodes.flatMap((node) => {
      const [queries] = isOp(node, "attention") ? node.inputs : [];
      // The gather may already have moved above some of these operators.
      const whole = queries && isOp(queries, "take") ? queries.inputs[0] : queries;
      if (!whole || chosen.get(whole)?.index.op !== "last") return [];
      let at = whole;
      while (chosen.has(at) && !isProductOfWeight(at) && at.inputs.length > 0) at = at.inputs[0]!;
      return isProductOfWeight(at) && ofAll.has(at.inputs[0]) ? [whole] : [];
    }),
  );
}

const isProductOfWeight = (node: Node): boolean => isOp(node, "matmul") && isOp(node.inputs[1], "weight");

/**
 * The row requirement of each value that is computed for chosen rows only. Excludes sums of `shared` values, and the
 * values in `whole`.
 */
function rowRequirements(
  graph: Graph,
  nodes: readonly Node[],
  shared: ReadonlySet<Node>,
  whole: ReadonlySet<Node>,
): ReadonlyMap<Node, RowRequirement> {
  const requirements = new Map<Node, RowRequirement | "all">();
  const addRequirement = (node: Node, rows: RowRequirement | "all"): void => {
    const known = requirements.get(node);
    const same =
      known === undefined ||
      (known !== "all" && rows !== "all" && known.index === rows.index && known.dim === rows.dim);
    requirements.set(node, same ? rows : "all");
  };
  for (const node of callerReads(graph)) addRequirement(node, "all");
  const found = new Map<Node, RowRequirement>();
  const often = readSeveralTimes(nodes);
  for (const node of nodes.toReversed()) {
    const requirement = requirements.get(node);
    if (requirement === undefined) continue;
    const computesAllRows =
      requirement === "all" ||
      whole.has(node) ||
      isShared(node, shared) ||
      (!isFewer(graph, requirement.index) && (often.has(node) || isOp(node, "sum")));
    const inputs = computesAllRows ? null : inputsFor(graph, node, requirement);
    if (inputs && requirement !== "all") {
      found.set(node, requirement);
      inputs.forEach((dim, i) => {
        if (dim !== "none") addRequirement(node.inputs[i]!, dim === null ? "all" : { index: requirement.index, dim });
      });
    } else if (isOp(node, "take")) {
      addRequirement(node.inputs[0], { index: node.inputs[1], dim: node.attrs.dim });
      addRequirement(node.inputs[1], "all");
    } else for (const input of node.inputs) addRequirement(input, "all");
  }
  return found;
}

/** Whether an index may select fewer rows than all: not `last` on an axis with at most one token per sequence. */
function isFewer({ axes, starts }: Graph, index: Node): boolean {
  if (!isOp(index, "last")) return true;
  const [from] = index.inputs;
  const parent = isOp(from, "starts") ? from.attrs.axis : [...starts].find(([, node]) => node === from)?.[0];
  return axes.find((a) => a.name === parent)?.bound !== 1;
}

function readSeveralTimes(nodes: readonly Node[]): ReadonlySet<Node> {
  const [once, often] = [new Set<Node>(), new Set<Node>()];
  for (const node of nodes) for (const input of new Set(node.inputs)) (once.has(input) ? often : once).add(input);
  return often;
}

function isShared(node: Node, shared: ReadonlySet<Node>): boolean {
  const read = shared.size > 0 ? rowSumOf(node) : null;
  return read !== null && shared.has(read);
}

/** `RowInputs`, with "none" for an input that the chosen rows do not need. */
type ChosenInputs = readonly (RowInputs[number] | "none")[];

function inputsFor(graph: Graph, node: Node, { index, dim }: RowRequirement): ChosenInputs | null {
  if (isOp(node, "constant")) return [];
  if (isOp(node, "route_mask")) return node.inputs[0] === index ? ["none", "none"] : null;
  if (isScatter(node)) {
    const same = node.inputs[1] === index && node.attrs.dim === dim;
    return same ? [isOp(node, "put") ? dim : "none", "none", null] : null;
  }
  if (isOp(node, "attention") && !graph.starts.has(indexAxis(index))) return null;
  return rowInputs(node, dim);
}

function indexAxis(index: Node): string {
  const axis = packedAxis(typeOf(index).shape[0]!);
  invariant(axis !== null, "an index lies along an axis");
  return axis;
}

/** A rewriting task: a value with all rows, or with the chosen rows only. */
interface Task {
  readonly node: Node;
  readonly rows: RowRequirement | null;
  readonly needs: readonly Task[];
  next: number;
}

class Rebuilding {
  readonly #graph: Graph;
  readonly #requirements: ReadonlyMap<Node, RowRequirement>;
  readonly #trace: Trace | null;
  readonly #make: Emit;
  readonly #whole = new Map<Node, Node>();
  readonly #chosen = new Map<Node, Node>();

  constructor(graph: Graph, wanted: ReadonlyMap<Node, RowRequirement>, trace: Trace | null) {
    this.#graph = graph;
    this.#requirements = wanted;
    this.#trace = trace;
    const emit = createEmit(ops, graph.axes);
    this.#make = (op, inputs, attrs) => emit.node(op, inputs, attrs, this.#origin);
  }
  #origin: Node["origin"] = null;

  graph(): Graph {
    const { outputs, states, starts } = this.#graph;
    for (const root of [...outputs.map((o) => o.node), ...states.map((s) => s.next), ...starts.values()])
      this.#finish(this.#task(root, null));
    return replaceNodes(this.#graph, (node) => this.#whole.get(node) ?? node);
  }

  /** Iterative: graphs are deep. */
  #finish(root: Task): void {
    const stack = [root];
    for (let task = stack.at(-1); task; task = stack.at(-1)) {
      const need = task.next < task.needs.length ? task.needs[task.next++]! : null;
      const rewritten = task.rows ? this.#chosen : this.#whole;
      if (rewritten.has(task.node)) stack.pop();
      else if (need) stack.push(this.#task(need.node, need.rows));
      else {
        this.#origin = task.node.origin;
        rewritten.set(task.node, task.rows ? this.#rowsOf(task.node, task.rows) : this.#wholeOf(task.node));
        stack.pop();
      }
    }
  }
  #task(node: Node, rows: RowRequirement | null): Task {
    const rewritten = rows ? this.#chosen : this.#whole;
    return { node, rows, needs: rewritten.has(node) ? [] : this.#needs(node, rows), next: 0 };
  }
  #needs(node: Node, rows: RowRequirement | null): readonly Task[] {
    const whole = (n: Node): Task => ({ node: n, rows: null, needs: [], next: 0 });
    const part = (n: Node): Task => ({ node: n, rows: this.#requirements.get(n) ?? null, needs: [], next: 0 });
    if (!rows)
      return isOp(node, "take") && this.#requirements.has(node.inputs[0])
        ? [part(node.inputs[0])]
        : node.inputs.map(whole);
    const inputs = inputsFor(this.#graph, node, rows)!;
    const starts = isOp(node, "attention") ? [whole(this.#graph.starts.get(indexAxis(rows.index))!)] : [];
    return [
      whole(rows.index),
      ...starts,
      ...inputs.flatMap((dim, i) =>
        dim === "none" ? [] : [dim === null ? whole(node.inputs[i]!) : part(node.inputs[i]!)],
      ),
    ];
  }

  #wholeOf(node: Node): Node {
    const [x] = node.inputs;
    if (isOp(node, "take") && this.#requirements.has(x)) return this.#chosen.get(x)!;
    const inputs = node.inputs.map((n) => this.#whole.get(n)!);
    return inputs.every((n, i) => n === node.inputs[i]) ? node : { ...node, inputs };
  }
  #rowsOf(node: Node, { index, dim }: RowRequirement): Node {
    const emit = this.#make;
    const rows = rowsSize(indexAxis(index));
    const rewrittenIndex = this.#whole.get(index)!;
    const { shape } = typeOf(node);
    const inputs = inputsFor(this.#graph, node, { index, dim })!.map((at, i): Node | null => {
      const input = node.inputs[i]!;
      if (at === "none") return null;
      if (at === null) return this.#whole.get(input)!;
      return this.#chosen.get(input) ?? emit("take", [this.#whole.get(input)!, rewrittenIndex], { dim: at });
    });
    const result = ((): Node => {
      if (isOp(node, "constant")) return emit("constant", [], attrsWith(node, dim, rows));
      if (isOp(node, "route_mask"))
        return emit("constant", [], { value: 1, dtype: "bool", shape: [rows] satisfies readonly Size[] });
      if (isOp(node, "set")) return inputs[2]!;
      if (isOp(node, "put")) return emit("add", [inputs[0]!, inputs[2]!], {});
      const all = inputs as Node[]; // only the operators handled above have "none"
      const operands = isOp(node, "attention")
        ? all.with(3, this.#whole.get(this.#graph.starts.get(indexAxis(index))!)!)
        : all;
      return emit(node.op, operands, attrsWith(node, dim, rows));
    })();
    invariant(
      result.types.length === 1 && typeOf(result).shape.length === shape.length,
      `the chosen rows of ${node.op} have another shape`,
    );
    this.#trace?.("chosen-rows-only", node, result);
    return result;
  }
}
