// Mixtures of experts in the ledger: for each kind of expert the weights, the cost of an entry, and the expected number
// of entries.
import { countOf } from "../../ground/base/collections.js";
import type { Model, ModelMixture } from "../../language/check/model/model.js";
import type { Node } from "../ir/graph.js";
import * as q from "../../ground/numerics/rational.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { withoutCalls } from "./group.js";
import type { SizeValues } from "./shares.js";

/** Experts that differ only in the values of their weights. */
export interface ExpertKind {
  /** The block: `SwiGLU`. */
  readonly block: string;
  /** The number of experts of this kind. */
  readonly experts: number;
  /** Number of weight values in each expert, and their bytes. */
  readonly parameters: number;
  readonly bytes: number;
  /** Operations per entry: one expert applied to one token. */
  readonly operations: number;
  /** The expected number of entries for each expert in the run. */
  readonly entries: number;
}

/** Calls of experts with equal kinds. */
export interface Mixture {
  /** The path of each call: `layers.3.inner.mlp`. */
  readonly paths: readonly string[];
  /** In list order. */
  readonly kinds: readonly ExpertKind[];
}

/** The operations that the ledger counts for all rows of a node together. */
type Operations = (node: Node) => Rational;

/** All mixtures of a model, in order; mixtures with equal kinds are merged. */
export function mixturesOf(
  nodes: readonly Node[],
  { mixtures, weights }: Pick<Model, "mixtures" | "weights">,
  sizes: SizeValues,
  operations: Operations,
  bytesPerValue: number,
): readonly Mixture[] {
  if (mixtures.length === 0) return [];
  const byExpert = weightsOf(mixtures, weights);
  const kindsOfEach = mixtures.map(({ experts }) => kindsOf(experts, byExpert));
  const cost = operationsOf(nodes, mixtures, kindsOfEach, sizes, operations);
  const alike = new Map<string, { readonly paths: string[]; readonly kinds: readonly ExpertKind[] }>();
  for (const [i, mixture] of mixtures.entries()) {
    const entries = q.toNumber(sizes.rational(mixture.entries));
    const kinds = kindsOfEach[i]!.map(({ first, experts, parameters }): ExpertKind => ({
      block: first.block,
      experts,
      parameters,
      bytes: parameters * bytesPerValue,
      operations: cost.get(first.path) ?? 0,
      entries,
    }));
    const key = JSON.stringify(kinds);
    const known = alike.get(key);
    if (known) known.paths.push(mixture.path);
    else alike.set(key, { paths: [mixture.path], kinds });
  }
  return [...alike.values()];
}

/** Experts of one kind in a list, represented by the first expert. */
interface Kind {
  readonly first: ModelMixture["experts"][number];
  experts: number;
  readonly parameters: number;
}

type Weights = ReadonlyMap<string, readonly { readonly name: string; readonly shape: readonly number[] }[]>;

/** The weights of each expert, by the expert's path. */
function weightsOf(mixtures: readonly ModelMixture[], weights: Model["weights"]): Weights {
  const found = new Map<string, { readonly name: string; readonly shape: readonly number[] }[]>(
    mixtures.flatMap(({ experts }) => experts.map(({ path }) => [path, []])),
  );
  for (const { kind, path, shape } of weights) {
    const owner = kind === "weight" ? within(path, found) : null;
    if (owner !== null) found.get(owner)!.push({ name: path.slice(owner.length), shape });
  }
  return found;
}

function kindsOf(experts: ModelMixture["experts"], weights: Weights): readonly Kind[] {
  const kinds = new Map<string, Kind>();
  for (const first of experts) {
    const tensors = weights.get(first.path) ?? [];
    const key = JSON.stringify([first.block, tensors]);
    const known = kinds.get(key);
    if (known) known.experts++;
    else kinds.set(key, { first, experts: 1, parameters: tensors.reduce((sum, { shape }) => sum + countOf(shape), 0) });
  }
  return [...kinds.values()];
}

/**
 * Operations of one entry, keyed by the path of each kind's first expert: operations in all calls, divided by rows in
 * all calls.
 */
function operationsOf(
  nodes: readonly Node[],
  mixtures: readonly ModelMixture[],
  kinds: readonly (readonly Kind[])[],
  sizes: SizeValues,
  operations: Operations,
): ReadonlyMap<string, number> {
  const entries = new Map<string, Rational>();
  const flops = new Map<string, Rational>();
  const add = (map: Map<string, Rational>, path: string, n: Rational): void =>
    void map.set(path, q.add(map.get(path) ?? q.ZERO, n));
  for (const [i, mixture] of mixtures.entries()) {
    const rows = sizes.rational(mixture.rows);
    for (const { first } of kinds[i]!) add(entries, first.path, rows);
  }
  for (const node of nodes) {
    const path = within(withoutCalls(node.origin?.path ?? ""), entries);
    if (path !== null) add(flops, path, operations(node));
  }
  return new Map(
    [...flops].map(([path, n]) => {
      const rows = entries.get(path)!;
      return [path, q.compare(rows, q.ZERO) === 0 ? 0 : q.toNumber(q.divide(n, rows))];
    }),
  );
}

/** The longest prefix of the path among the known paths; null if there is no such prefix. */
function within(path: string, known: ReadonlyMap<string, unknown>): string | null {
  for (let prefix = path; prefix !== ""; prefix = prefix.slice(0, Math.max(0, prefix.lastIndexOf("."))))
    if (known.has(prefix)) return prefix;
  return null;
}
