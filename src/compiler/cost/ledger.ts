// The cost ledger: operations, bytes, parameters and cache of a model, layer by layer, as executed and with nothing
// skipped.
import { countOf } from "../../ground/base/collections.js";
import type { Model } from "../../language/check/model/model.js";
import type { Span } from "../../language/diagnostics/span.js";
import { nodesOf, type Graph, type Node } from "../ir/graph.js";
import type { Cost } from "../ops/define.js";
import { ops } from "../ops/index.js";
import { costOf } from "../ops/traits.js";
import { callerReads } from "../passes/readers.js";
import { packedAtLoad } from "../schedule/analysis/side-by-side.js";
import { resolveSizes, type Axis, type RunSizes } from "../../ground/size/axes.js";
import * as q from "../../ground/numerics/rational.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { multiplySizes, printSize, type Size } from "../../ground/size/size.js";
import { cachedValues, cacheParts, type CacheParts } from "./caches.js";
import { morConvention } from "./convention.js";
import { mixturesOf, type Mixture } from "./experts.js";
import { MODEL_GROUP, groupOf } from "./group.js";
import { memberShares } from "../ops/members.js";
import { parametersOf, type Parameters } from "./parameters.js";
import { resolveShares, type SizeValues } from "./shares.js";
import { tokenAxisOf } from "./token-axis.js";

/**
 * `executed`: counts every operator of the optimized graph, with capacities rounded as in a run, and `above` and kinds
 * of experts at their expected shares. `mor`: counts as the Mixture-of-Recursions paper does (`convention.ts`), with
 * exact shares.
 */
export type Convention = "executed" | "mor";

export interface LedgerOptions {
  /** Extents of the batch, free and input sequence axes; every sequence is full. */
  readonly extents: ReadonlyMap<string, number>;
  /** Values of live parameters; the default of each parameter that is not listed. */
  readonly live?: ReadonlyMap<string, Rational>;
  readonly convention?: Convention;
  /** Bytes that every value takes: 4 (f32), or 2 for what f16 would cost. Default 4. */
  readonly bytesPerValue?: 2 | 4;
  /** The row for operations at a source place of a call; by default one row for each instance: `groupOf`. */
  readonly row?: (path: string, span: Span | null) => string;
}

/** Work and memory for a part of a model. */
export interface Work {
  /** Floating-point operations: matrix products, attention, and everything else. */
  readonly products: number;
  readonly attention: number;
  readonly other: number;
  /** The sum of the three. */
  readonly flops: number;
  /** Bytes that operators read and write, each input and result once. */
  readonly bytes: number;
  /**
   * Bytes of the keys and values that causal attention reads, and of the states of recurrences: what a cache holds at
   * this length.
   */
  readonly cache: number;
}

export interface LedgerRow {
  /** `layers.3`: the sum over all calls of this instance; `(model)` for operators outside any block. */
  readonly name: string;
  readonly executed: Work;
  /** The work if no token skipped a block. */
  readonly dense: Work;
  /** Number of values in the weights that the block declares. */
  readonly parameters: number;
}

export interface Ledger {
  readonly convention: Convention;
  readonly extents: Readonly<Record<string, number>>;
  /** Tokens of the run: batch × length of the axis of `tokenAxisOf`; the batch if no input has a sequence. */
  readonly tokens: number;
  readonly bytesPerValue: 2 | 4;
  /** In order of first appearance. */
  readonly rows: readonly LedgerRow[];
  readonly total: Omit<LedgerRow, "name">;
  /** Number of values in lookup tables (embeddings). The parameters include them. */
  readonly embeddingParameters: number;
  /** Number of values in the weights of the language-model head, unless they are also a lookup table. */
  readonly headParameters: number;
  /** What the total's cache holds. */
  readonly caches: CacheParts;
  /** Number of values in states, which do not count as parameters. */
  readonly stateValues: number;
  /** The parameters active for a token: each weight times the share of tokens that read this weight. */
  readonly active: Parameters;
  /** Lists of blocks called by a choice: the weights and the cost for each kind of expert. */
  readonly mixtures: readonly Mixture[];
}

/** The cost of a model at the extents in `options`. `graph` is the optimized graph of this model. */
export function ledger(
  graph: Graph,
  model: Pick<Model, "axes" | "mixtures" | "weights">,
  options: LedgerOptions,
): Ledger {
  const convention = options.convention ?? "executed";
  const bytesPerValue = options.bytesPerValue ?? 4;
  const live = new Map(graph.live.map((l) => [l.name, options.live?.get(l.name) ?? l.default]));
  const run: RunSizes = { extents: options.extents, lengths: new Map(), live };
  const nodes = nodesOf(graph);
  const count = counterOf(graph, convention);
  const packedConcats = packedAtLoad(nodes, callerReads(graph));
  const groups = new Map<string, Group>();
  const rowNamed = options.row ?? groupOf;
  const evaluators = [measure(graph.axes, run, convention, false), measure(graph.axes, run, convention, true)] as const;
  for (const node of nodes) {
    if (packedConcats.has(node)) continue;
    const group = getOrCreate(groups, rowNamed(node.origin?.path ?? "", node.origin?.span ?? null), newGroup);
    const { existing, members, computing } = memberShares(node);
    const counted = count(node);
    evaluators.forEach((sizes, way) => {
      const share = q.multiply(sizes.rational(existing), way === 0 ? members : computing);
      addWork(group.work[way]!, node, { ...counted, factor: q.multiply(counted.factor, share) }, sizes);
    });
  }
  const kept = cachedValues(graph, nodes);
  for (const { path, span, values } of kept) {
    const group = getOrCreate(groups, rowNamed(path, span), newGroup);
    evaluators.forEach(
      (sizes, way) => (group.work[way]!.cache = q.add(group.work[way]!.cache, sizes.rational(values))),
    );
  }
  const learned = model.weights.filter((w) => w.kind === "weight");
  for (const weight of learned) {
    getOrCreate(groups, rowNamed(weight.path, null), newGroup).parameters += countOf(weight.shape);
  }
  const operations = (node: Node): Rational => {
    const { flops, factor } = count(node);
    return packedConcats.has(node) ? q.ZERO : q.multiply(factor, evaluators[0].rational(flops));
  };
  const rows = [...groups].map(([name, group]) => rowOf(name, group, bytesPerValue)).filter(isNonZero);
  const { all, active } = parametersOf(graph, model, run);
  return {
    convention,
    extents: Object.fromEntries(options.extents),
    tokens: tokensOf(graph, run),
    bytesPerValue,
    rows: rows.sort((a, b) => Number(a.name === MODEL_GROUP) - Number(b.name === MODEL_GROUP)),
    total: totalOf(rows),
    embeddingParameters: all.tables,
    headParameters: all.heads,
    caches: cacheParts(kept, (size) => q.toNumber(evaluators[0].rational(size)) * bytesPerValue),
    stateValues: model.weights.reduce((sum, w) => sum + (w.kind === "state" ? countOf(w.shape) : 0), 0),
    active,
    mixtures: mixturesOf(nodes, model, measure(model.axes, run, convention, false), operations, bytesPerValue),
  };
}

/**
 * The operations of an optimized graph as `executed` counts them, as a function of extents and live values. The graph
 * is walked once, not at each call.
 */
export function flopsOf(
  graph: Graph,
): (run: Pick<RunSizes, "extents"> & { readonly live?: ReadonlyMap<string, Rational> }) => number {
  const nodes = nodesOf(graph);
  const packedConcats = packedAtLoad(nodes, callerReads(graph));
  const times = new Map<string, { readonly size: Size; count: number }>();
  for (const node of nodes) {
    if (packedConcats.has(node)) continue;
    const { flops } = costOf(node);
    if (flops === 0) continue;
    const { existing, members } = memberShares(node);
    const all = multiplySizes(existing, flops);
    getOrCreate(times, printSize(all), () => ({ size: all, count: 0 })).count += q.toNumber(members);
  }
  return ({ extents, live: given }) => {
    const live = new Map(graph.live.map((l) => [l.name, given?.get(l.name) ?? l.default]));
    const sizes = resolveSizes(graph.axes, { extents, lengths: new Map(), live }, "expected");
    return [...times.values()].reduce((sum, { size, count }) => sum + count * q.toNumber(sizes.rational(size)), 0);
  };
}

/** Exact running sums of a group's work. */
interface Sums {
  products: Rational;
  attention: Rational;
  other: Rational;
  /** Bytes with 4 bytes per value, as the operators' records count them. */
  bytes: Rational;
  /** Number of values, not bytes. */
  cache: Rational;
}
interface Group {
  readonly work: readonly [Sums, Sums];
  parameters: number;
}
const newSums = (): Sums => ({ products: q.ZERO, attention: q.ZERO, other: q.ZERO, bytes: q.ZERO, cache: q.ZERO });
const newGroup = (): Group => ({ work: [newSums(), newSums()], parameters: 0 });

function getOrCreate<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}

const measure = (axes: readonly Axis[], run: RunSizes, convention: Convention, dense: boolean): SizeValues =>
  convention === "mor" ? resolveShares(axes, run, dense) : resolveSizes(axes, run, dense ? "dense" : "expected");

interface Counted extends Cost {
  readonly factor: Rational;
}

function counterOf(graph: Graph, convention: Convention): (node: Node) => Counted {
  const mor = convention === "mor" ? morConvention(graph) : null;
  return (node) => {
    const { flops, bytes } = costOf(node);
    if (!mor) return { flops, bytes, factor: q.ONE };
    const counted = mor(node);
    return counted ? { ...counted, bytes } : { flops: 0, bytes, factor: q.ONE };
  };
}

function addWork(sums: Sums, node: Node, { flops, bytes, factor }: Counted, sizes: SizeValues): void {
  const kind = ops[node.op].work ?? "other";
  if (flops !== 0) sums[kind] = q.add(sums[kind], q.multiply(factor, sizes.rational(flops)));
  if (bytes !== 0) sums.bytes = q.add(sums.bytes, sizes.rational(bytes));
}

function tokensOf(graph: Graph, run: RunSizes): number {
  const extentOf = (name: string | null | undefined): number => run.extents.get(name ?? "") ?? 1;
  return extentOf(graph.axes.find(({ role }) => role === "batch")?.name) * extentOf(tokenAxisOf(graph));
}

function rowOf(name: string, group: Group, bytesPerValue: 2 | 4): LedgerRow {
  const work = (sums: Sums): Work => {
    const products = q.toNumber(sums.products);
    const attention = q.toNumber(sums.attention);
    const other = q.toNumber(sums.other);
    const flops = q.toNumber(q.add(q.add(sums.products, sums.attention), sums.other));
    return {
      products,
      attention,
      other,
      flops,
      bytes: (q.toNumber(sums.bytes) / 4) * bytesPerValue,
      cache: q.toNumber(sums.cache) * bytesPerValue,
    };
  };
  return { name, executed: work(group.work[0]), dense: work(group.work[1]), parameters: group.parameters };
}

const isNonZero = (row: LedgerRow): boolean => row.parameters > 0 || row.dense.flops > 0 || row.dense.bytes > 0;

function totalOf(rows: readonly LedgerRow[]): Omit<LedgerRow, "name"> {
  const sum = (of: (row: LedgerRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const work = (of: (row: LedgerRow) => Work): Work => ({
    products: sum((row) => of(row).products),
    attention: sum((row) => of(row).attention),
    other: sum((row) => of(row).other),
    flops: sum((row) => of(row).flops),
    bytes: sum((row) => of(row).bytes),
    cache: sum((row) => of(row).cache),
  });
  return {
    executed: work((row) => row.executed),
    dense: work((row) => row.dense),
    parameters: sum((row) => row.parameters),
  };
}

/**
 * The number of training steps, with `stepTokens` tokens each, that a budget of operations pays for. Not rounded:
 * budget / (operations per token · tokens per step).
 */
export const stepsWithin = (budget: number, ledgerOf: Pick<Ledger, "total" | "tokens">, stepTokens: number): number =>
  budget / ((ledgerOf.total.executed.flops / ledgerOf.tokens) * stepTokens);
