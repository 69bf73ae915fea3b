// The cost of each call in a model, by source position, compared with the same model with no token skipped, and inlay
// hints with it.
import type { Model } from "../../language/check/model/model.js";
import { ledger, type Work } from "../../compiler/cost/ledger.js";
import type { Span } from "../../language/diagnostics/span.js";
import { forwardGraph } from "../../compiler/forward.js";
import type { Axis } from "../../ground/size/axes.js";
import type { Calls } from "../../language/editor/facts.js";
import { withPrefix } from "../../ground/base/shown.js";
import type { Hint } from "../../language/editor/hints.js";
import type { Project } from "../../language/editor/project.js";
import { differenceOf, movedBy } from "../../language/editor/text.js";

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
  const bySpan = new Map<string, { readonly span: Span; readonly paths: Set<string>; pair: Pair }>();
  for (const { path, span, executed, dense } of rows) {
    if (!span || !files.includes(span.file) || !isProduct(dense)) continue;
    const key = `${span.file} ${span.start} ${span.end}`;
    const known = bySpan.get(key);
    const pair = added(known?.pair, executed, dense);
    if (known) known.pair = pair;
    else bySpan.set(key, { span, paths: new Set(), pair });
    bySpan.get(key)!.paths.add(path);
  }
  return [...bySpan.values()].map(({ span, paths, pair }) => ({ span, times: paths.size, ...pair }));
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

interface Known {
  readonly texts: ReadonlyMap<string, string>;
  /** The sizes and parameters used. */
  readonly settings: string;
  /** Null if the model cannot be lowered. */
  readonly costs: Costs | null;
}

/** Calls below this share of the model's operations get no hint. */
const LEAST = 0.001;

export class CostHints {
  /** By root source. */
  readonly #known = new Map<string, Known>();

  constructor(readonly project: Project) {}

  /** Whether the stored costs were computed from the current text and parameters. */
  isCurrent(root: string, sizes: CostSizes): boolean {
    const known = this.#known.get(root);
    if (known?.settings !== this.#settings(sizes)) return false;
    return [...known.texts].every(([file, text]) => this.project.textOf(file) === text);
  }

  /** Computes the costs of a source's current text. If the text has errors, the earlier costs stay. */
  compute(root: string, sizes: CostSizes): void {
    const found = this.project.modelOf(root);
    if (!found) return;
    const { model, calls, texts } = found;
    const known = { texts: new Map(texts), settings: this.#settings(sizes) };
    // If `costsOf` throws, the null entry prevents further attempts on the same text.
    this.#known.set(root, { ...known, costs: null });
    this.#known.set(root, { ...known, costs: costsOf(model, calls, sizes, [...texts.keys()]) });
  }

  #settings(sizes: CostSizes): string {
    return JSON.stringify([sizes, this.project.settings.set ?? {}]);
  }

  forget(root: string): void {
    this.#known.delete(root);
  }

  /** Hints within a range of offsets. */
  in(file: string, from: number, to: number): readonly Hint[] {
    const now = this.project.textOf(file);
    if (now === null) return [];
    return this.project.rootsOf(file).flatMap((root) => {
      const known = this.#known.get(root);
      const then = known?.texts.get(file);
      if (!known?.costs || then === undefined) return [];
      const { calls, total, at } = known.costs;
      const difference = differenceOf(then, now);
      return calls.flatMap(({ span, times, executed, dense }): readonly Hint[] => {
        if (span.file !== file || dense.flops < LEAST * total.dense.flops) return [];
        const [start, end] = [movedBy(difference, span.start), movedBy(difference, span.end)];
        if (start === null || end === null || end < from || end > to) return [];
        if (end - start !== span.end - span.start) return []; // an edited call may cost something else
        return [
          { at: end, kind: "cost", label: labelOf(executed, dense), more: detail(executed, dense, times, at, total) },
        ];
      });
    });
  }
}

/** For example `4.19 MFLOP of 33.5, 1.05 MB, cache 65.5 kB`. */
function labelOf(executed: Cost, dense: Cost): string {
  const of = dense.flops === executed.flops ? "" : ` of ${withPrefix(dense.flops, 3)}`;
  const cache = dense.cache === 0 ? "" : `, cache ${bytes(executed.cache)}`;
  return `${united(executed.flops, "FLOP")}${of}, ${bytes(executed.bytes)}${cache}`;
}

const bytes = (n: number): string => united(n, "B");

/** For example `4.19 MFLOP` or `12 FLOP`. */
function united(n: number, unit: string): string {
  const text = withPrefix(n, 3);
  return `${text}${text.includes(" ") ? "" : " "}${unit}`;
}

function detail(executed: Cost, dense: Cost, times: number, at: string, total: Costs["total"]): string {
  const line = (what: string, ran: string, all: string): string =>
    `${what}: ${ran}${ran === all ? "" : `, ${all} with nothing skipped`}`;
  const share = total.executed.flops === 0 ? 0 : (100 * executed.flops) / total.executed.flops;
  return [
    `${times === 1 ? "one call" : `${times} calls`} at ${at}: ${share.toPrecision(3)}% of the model's operations`,
    line("operations", withPrefix(executed.flops), withPrefix(dense.flops)),
    line("bytes", bytes(executed.bytes), bytes(dense.bytes)),
    ...(dense.cache === 0 ? [] : [line("cache", bytes(executed.cache), bytes(dense.cache))]),
  ].join("\n");
}
