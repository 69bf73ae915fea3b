// The rewrite engine: typed patterns over nodes, and rules that are tried at each node, inputs first.
import { bug, invariant } from "../../ground/base/invariant.js";
import { createEmit } from "../ir/build.js";
import { nodesOf, type Graph, type Node, type InputsOf } from "../ir/graph.js";
import { replaceNodes } from "../ir/replace.js";
import { equalTypes } from "../ir/typing.js";
import type { OpAttrs, OpName } from "../ir/vocabulary.js";
import { ops } from "../ops/index.js";

/** The captures of a pattern match so far. */
type Bindings = Map<string, Node>;

/**
 * A pattern over nodes. `C` is the type of its captures: name → node. Two captures with one name must be the same node.
 */
export interface Pattern<C extends object> {
  test(node: Node, found: Bindings): boolean;
  /** Never present: a phantom field for the type. */
  readonly captures?: C;
}

type CapturesOf<P> = P extends readonly [Pattern<infer First>, ...infer Rest] ? First & CapturesOf<Rest> : object;

const bind = (bindings: Bindings, name: string | undefined, node: Node): boolean => {
  if (name === undefined) return true;
  const bound = bindings.get(name);
  if (!bound) bindings.set(name, node);
  return bound === undefined || bound === node;
};

/** Any node with a single result. */
export const any = <N extends string>(name: N): Pattern<Record<N, Node>> => ({
  test: (node, found) => node.types.length === 1 && bind(found, name, node),
});

/** A node of this operator with any inputs. */
export const of = <K extends OpName, N extends string>(op: K, name: N): Pattern<Record<N, Node<K>>> => ({
  test: (node, found) => node.op === op && bind(found, name, node),
});

/** A node of this operator whose inputs match in order; `name` captures the node itself. */
export const op = <K extends OpName, const P extends readonly Pattern<object>[], N extends string = never>(
  kind: K,
  inputs: P,
  name?: N,
): Pattern<CapturesOf<P> & Record<N, Node<K>>> & { readonly op: K } => ({
  op: kind,
  test: (node, found) =>
    node.op === kind &&
    node.inputs.length === inputs.length &&
    bind(found, name, node) &&
    inputs.every((p, i) => p.test(node.inputs[i]!, found)),
});

/** Like `op`, for a commutative operator of two inputs. */
export const commuted = <K extends OpName, A extends object, B extends object>(
  kind: K,
  a: Pattern<A>,
  b: Pattern<B>,
): Pattern<A & B> & { readonly op: K } => ({
  op: kind,
  test(node, found) {
    const [x, y] = node.inputs;
    if (node.op !== kind || !x || !y) return false;
    const trial = new Map(found);
    if (a.test(x, trial) && b.test(y, trial)) return copy(trial, found);
    return a.test(y, found) && b.test(x, found);
  },
});

const copy = (from: Bindings, to: Bindings): true => {
  for (const [name, node] of from) to.set(name, node);
  return true;
};

/** Creates a node with the origin of the rewritten node. */
export type Emit = <K extends OpName>(op: K, inputs: InputsOf<K>, attrs: OpAttrs[K]) => Node<K>;

export interface Rule {
  readonly name: string;
  /** The operators at which the rule is tried. */
  readonly at: readonly OpName[];
  /** Returns a node of the same type to replace `root`, or null. */
  rewrite(root: Node, emit: Emit): Node | null;
}

/**
 * Creates a rule from a pattern: replaces a node that matches `match` and satisfies `when` by the result of `build`.
 */
export function rule<K extends OpName, C extends object>(
  name: string,
  parts: {
    readonly match: Pattern<C> & { readonly op: K };
    when?(captures: C, root: Node<K>): boolean;
    build(captures: C, emit: Emit, root: Node<K>): Node;
  },
): Rule {
  return {
    name,
    at: [parts.match.op],
    rewrite(node, emit) {
      const bindings: Bindings = new Map();
      if (!parts.match.test(node, bindings)) return null;
      // Cast: the pattern's type lists its captures, and the pattern has just matched.
      const captures = Object.fromEntries(bindings) as C;
      const root = node as Node<K>;
      return parts.when && !parts.when(captures, root) ? null : parts.build(captures, emit, root);
    },
  };
}

/** Called for each rule that fires, with its name and the node before and after. */
export type Trace = (rule: string, before: Node, after: Node) => void;

/** The limit on successive rewrites of one node. */
const MAX_FIRINGS_PER_NODE = 64;
/** The limit on sweeps; nodes created by rules are visited by the next sweep. */
const MAX_SWEEPS = 4;

/** Applies the rules, inputs first, until none fires or MAX_SWEEPS sweeps are done. */
export function rewrite(graph: Graph, rules: readonly Rule[], trace: Trace | null): Graph {
  const byOp = new Map<OpName, Rule[]>();
  for (const r of rules) for (const at of r.at) byOp.set(at, [...(byOp.get(at) ?? []), r]);
  let current = graph;
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    const next = mapGraph(current, (node, emit) => rewriteToFixpoint(node, byOp, emit, trace));
    if (next === current) break;
    current = next;
  }
  return current;
}

function rewriteToFixpoint(
  node: Node,
  byOp: ReadonlyMap<OpName, readonly Rule[]>,
  emit: (from: Node) => Emit,
  trace: Trace | null,
): Node {
  let current = node;
  for (let fired = 0; ; fired++) {
    if (fired > MAX_FIRINGS_PER_NODE) bug(`rewrite rules do not settle at ${node.op}`);
    const next = fireOne(current, byOp.get(current.op) ?? [], emit(current), trace);
    if (!next) return current;
    current = next;
  }
}

function fireOne(node: Node, rules: readonly Rule[], emit: Emit, trace: Trace | null): Node | null {
  for (const r of rules) {
    const replacement = r.rewrite(node, emit);
    if (!replacement || replacement === node) continue;
    invariant(
      replacement.types.length === node.types.length &&
        replacement.types.every((t, i) => equalTypes(t, node.types[i]!)),
      `rule ${r.name} changes the type of ${node.op}`,
    );
    trace?.(r.name, node, replacement);
    return replacement;
  }
  return null;
}

/**
 * Maps each node by `replace`, which receives the node with mapped inputs, and the original node. Axes that are no
 * longer mentioned lose their starts. Returns the same graph if nothing changes.
 */
export function mapGraph(
  graph: Graph,
  replace: (node: Node, emit: (from: Pick<Node, "origin">) => Emit, before: Node) => Node,
): Graph {
  const emitter = createEmit(ops, graph.axes);
  const emit =
    (from: Pick<Node, "origin">): Emit =>
    (kind, inputs, attrs) =>
      emitter.node(kind, inputs, attrs, from.origin);
  const replaced = new Map<Node, Node>();
  let changed = false;
  const now = (node: Node): Node => replaced.get(node) ?? node;
  for (const node of nodesOf(graph)) {
    const moved = node.inputs.some((n) => now(n) !== n) ? { ...node, inputs: node.inputs.map(now) } : node;
    const next = replace(moved, emit, node);
    replaced.set(node, next);
    changed ||= next !== node;
  }
  return changed ? replaceNodes(graph, now) : graph;
}
