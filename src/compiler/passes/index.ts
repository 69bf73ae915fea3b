// The list of passes, and `optimize`, which runs them.
import type { Graph } from "../ir/graph.js";
import { assertSound } from "../ir/verify.js";
import { ops } from "../ops/index.js";
import { cse } from "./cse.js";
import { fuseRouting } from "./fuse-routing.js";
import { mergeProducts } from "./merge-products.js";
import { mergeStacks } from "./merge-stacks.js";
import type { Trace } from "./rewrite.js";
import { simplify } from "./simplify.js";
import { skipBranch } from "./skip-branch.js";

/** A pure function of the graph that preserves its results. */
export interface Pass {
  readonly name: string;
  /** One sentence that describes the pass. */
  readonly doc: string;
  run(graph: Graph, trace: Trace | null): Graph;
}

/** The passes, in order. Each is a pure function of the graph; `modc ir --after <name>` shows its result. */
export const passes: readonly Pass[] = [
  { name: "simplify", doc: "algebra on constants and no-ops, so that later rules see one form", run: simplify },
  { name: "cse", doc: "equal nodes become one, so that what is read twice is seen to be", run: cse },
  {
    name: "skip-branch",
    doc: "rows that a route skips are neither computed, nor read, nor written: the stream is updated in place",
    run: skipBranch,
  },
  {
    name: "fuse-routing",
    doc:
      "scores and the statistics of norms in one reading of all rows, before any is chosen; positions and starts " +
      "with the choice",
    run: fuseRouting,
  },
  {
    name: "merge-products",
    doc:
      "products of the same rows by several weights become one, the weights packed side by side when they are " +
      "loaded",
    run: (graph, trace) => mergeStacks(mergeProducts(graph, trace), trace),
  },
  {
    name: "tidy",
    doc: "simplify and cse again, for what the others left",
    run: (graph, trace) => cse(simplify(graph, trace), trace),
  },
];

export interface OptimizeOptions {
  /** Replaces the default passes; used by tests with faulty passes. */
  readonly passes?: readonly Pass[];
  /** The last pass to run; `lower` runs none. */
  readonly after?: string;
  /** Verify the graph before the first pass and after each pass; throws if a graph is malformed. */
  readonly verify?: boolean;
  /** Called for each rule that fires. */
  readonly trace?: (pass: string, ...fired: Parameters<Trace>) => void;
}

/** The valid values of `after`. */
export const stages: readonly string[] = ["lower", ...passes.map((p) => p.name)];

/** Runs all passes, or the passes up to `after`. Throws a RangeError if there is no such pass. */
export function optimize(graph: Graph, options: OptimizeOptions = {}): Graph {
  const { after, trace } = options;
  if (after !== undefined && !stages.includes(after))
    throw new RangeError(`there is no pass ${JSON.stringify(after)}: ${stages.join(", ")}`);
  let current = graph;
  if (options.verify) assertSound(current, ops, "lower");
  if (after === "lower") return current;
  for (const pass of options.passes ?? passes) {
    current = pass.run(current, trace ? (...fired) => trace(pass.name, ...fired) : null);
    if (options.verify) assertSound(current, ops, pass.name);
    if (pass.name === after) break;
  }
  return current;
}

export type { Trace } from "./rewrite.js";
