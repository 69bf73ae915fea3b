// The cost of each call in a model, by source position, compared with the same model with no token skipped.
import type { Model } from "../../language/check/model.js";
import { ledger, type Work } from "../../compiler/cost/ledger.js";
import type { Span } from "../../language/diagnostics/span.js";
import { forwardGraph } from "../../compiler/forward.js";
import type { Axis } from "../../ground/size/axes.js";
import type { Calls } from "../../language/editor/calls.js";

/** The sizes for which costs are computed. */
export interface CostSizes {
  readonly batch: number;
  /** Null: the model's greatest length. */
  readonly length: number | null;
}

export interface CallCost {
  /** The span of the call or matmul. */
  readonly span: Span;
  /** The number of times that the model executes the call. */
  readonly times: number;
  /** Summed over all executions. */
  readonly executed: Cost;
  readonly dense: Cost;
}

export type Cost = Pick<Work, "flops" | "bytes" | "cache">;

export interface Costs {
  /** For example `B=1 T=256`. */
  readonly at: string;
  /** For the whole model. */
  readonly total: { readonly executed: Cost; readonly dense: Cost };
  readonly calls: readonly CallCost[];
  /** The cost of everything executed within a call, by the call's path. */
  readonly paths: ReadonlyMap<string, Pair>;
}

/** Later passes merge matmuls on the same rows into one kernel, whose cost belongs to several calls. */
const LAST_PASS = "fuse-routing";

/** The costs of a model in phase infer, and of its calls in these files. */
export function costsOf(model: Model, calls: Calls, sizes: CostSizes, files: readonly string[]): Costs {
  const graph = forwardGraph(model, { after: LAST_PASS });
  const extents = new Map(openAxes(model, sizes).map((a) => [a.name, a.extent]));
  const rows: Row[] = [];
  const named = new Map<string, number>();
  const { rows: found, total } = ledger(graph, model, {
    extents,
    row: (path, span) => {
      const key = span ? `${path} ${span.file} ${span.start} ${span.end}` : path;
      let index = named.get(key);
      if (index === undefined) named.set(key, (index = rows.push({ path, span, executed: NONE, dense: NONE }) - 1));
      return String(index);
    },
  });
  for (const { name, executed, dense } of found) Object.assign(rows[Number(name)]!, { executed, dense });
  const paths = belowPaths(rows);
  return {
    at: [...extents].map(([name, n]) => `${name}=${n}`).join(" "),
    total,
    calls: [...ofCalls(paths, calls, files), ...ofProducts(rows, files)],
    paths,
  };
}

interface Row {
  readonly path: string;
  readonly span: Span | null;
  readonly executed: Work | Cost;
  readonly dense: Work | Cost;
}

/** For each path, the cost of everything at this path or below. */
function belowPaths(rows: readonly Row[]): ReadonlyMap<string, Pair> {
  const below = new Map<string, Pair>();
  for (const { path, executed, dense } of rows)
    for (let end = path.length; end > 0; end = path.lastIndexOf(".", end - 1)) {
      const outer = path.slice(0, end);
      below.set(outer, added(below.get(outer), executed, dense));
    }
  return below;
}

function ofCalls(below: ReadonlyMap<string, Pair>, made: Calls, files: readonly string[]): readonly CallCost[] {
  return files
    .flatMap((file) => made.in(file))
    .flatMap(({ span, calls }): readonly CallCost[] => {
      // Several checks may report the same calls.
      const paths = new Set(calls.map(({ path }) => path).filter((path) => below.has(path)));
      if (paths.size === 0) return [];
      let sum: Pair | undefined;
      for (const path of paths) sum = added(sum, below.get(path)!.executed, below.get(path)!.dense);
      return [{ span, times: paths.size, ...sum! }];
    });
}

/** Matrix products and attention that are written directly in the source. */
function ofProducts(rows: readonly Row[], files: readonly string[]): readonly CallCost[] {
  const places = new Map<string, { readonly span: Span; readonly paths: Set<string>; pair: Pair }>();
  for (const { path, span, executed, dense } of rows) {
    if (!span || !files.includes(span.file) || !isProduct(dense)) continue;
    const key = `${span.file} ${span.start} ${span.end}`;
    const known = places.get(key);
    const pair = added(known?.pair, executed, dense);
    if (known) known.pair = pair;
    else places.set(key, { span, paths: new Set(), pair });
    places.get(key)!.paths.add(path);
  }
  return [...places.values()].map(({ span, paths, pair }) => ({ span, times: paths.size, ...pair }));
}

const isProduct = (work: Work | Cost): boolean => "products" in work && work.products + work.attention > 0;

export interface Pair {
  readonly executed: Cost;
  readonly dense: Cost;
}

const NONE: Cost = { flops: 0, bytes: 0, cache: 0 };

const sum = (a: Cost, b: Cost): Cost => ({
  flops: a.flops + b.flops,
  bytes: a.bytes + b.bytes,
  cache: a.cache + b.cache,
});

const added = (to: Pair | undefined, executed: Cost, dense: Cost): Pair => ({
  executed: sum(to?.executed ?? NONE, executed),
  dense: sum(to?.dense ?? NONE, dense),
});

/** An axis whose extent the user chooses. */
export interface OpenAxis {
  readonly name: string;
  readonly role: Axis["role"];
  readonly extent: number;
  readonly bound: number | null;
}

/** The number of tokens for a model without a bound. */
const USUAL = 256;

/** The axes of a model's inputs with their extents, clamped to the axis's bound. */
export function openAxes({ axes }: Pick<Model, "axes">, { batch, length }: CostSizes): readonly OpenAxis[] {
  return axes.flatMap(({ role, name, bound, ...rest }) => {
    if ("count" in rest && rest.count.kind !== "input") return [];
    const wanted = role === "batch" ? batch : (length ?? bound ?? USUAL);
    return [{ name, role, bound, extent: Math.min(wanted, bound ?? wanted) }];
  });
}
