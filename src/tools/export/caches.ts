// Which exported modules continue from caches.
import { axesOfModel, reachable, rootsOf } from "../../language/check/model/model-values.js";
import type { Model, Value } from "../../language/check/model/model.js";
import { pairInputs, pairPart, type PairPart } from "../../language/check/model/pairs.js";
import { rootOf, sequenceDims, sequenceOf } from "../../language/check/model/types.js";
import { sequenceAt } from "./outline.js";
import type { InputSequence } from "./sequences.js";
import { is } from "./text.js";
import type { Variant } from "./variants.js";

export const hasCausal = (variants: readonly Variant[]): boolean => variants.some(({ phase }) => phase === "generate");

/** Whether a call has at most one input sequence that is not optional. */
export const alone = (sequences: readonly InputSequence[]): boolean =>
  sequences.filter((s) => !s.isOptional).length < 2;

/** The sequence of `forward` that grows in generation and has caches. Null if calls cannot continue from caches. */
export function cachedSequence(
  variants: readonly Variant[],
  sequences: readonly InputSequence[],
): InputSequence | null {
  const model = variants.find(({ phase }) => phase === "generate")?.model;
  if (!model || variants.some((variant) => rowsOfKeys(variant.model) === null)) return null;
  const grown = grownAxis(model);
  return sequences.find(({ name, isOptional }) => name === grown && !isOptional) ?? null;
}

export const hasCaches = (variants: readonly Variant[], sequences: readonly InputSequence[]): boolean =>
  cachedSequence(variants, sequences) !== null;

/** The axis of the inputs along which the result grows; null for a result without tokens. */
function grownAxis(model: Model): string | null {
  const axes = axesOfModel(model);
  const [along] = model.outputs.flatMap(({ value }) =>
    value.type.shape.flatMap((size) => sequenceOf(axes, size) ?? []),
  );
  return along ? rootOf(axes, along).name : null;
}

/** A value that masks or biases read of keys: its dimension along their axis. */
export interface RowsOfKeys {
  readonly axis: string;
  readonly dim: number;
}

const known = new WeakMap<Model, ReadonlyMap<Value, RowsOfKeys> | null>();

/**
 * The values that masks and biases read of keys, for which generation needs the rows of earlier calls as well. Null if
 * one of them is read in another way too, or is no operation: then there are no caches.
 */
export function rowsOfKeys(model: Model): ReadonlyMap<Value, RowsOfKeys> | null {
  let found = known.get(model);
  if (found === undefined) known.set(model, (found = findRows(model)));
  return found;
}

function findRows(model: Model): ReadonlyMap<Value, RowsOfKeys> | null {
  const values = reachable(rootsOf(model));
  const rows = new Map<Value, RowsOfKeys>();
  const ofQueries = new Set<Value>();
  for (const value of values) {
    if (!is(value, "pair_attention") && !is(value, "mass")) continue;
    const { rows: operands, mask, bias } = pairInputs(value);
    const [query, key] = operands.map((x) => sequenceAt(model, x.type.shape.at(-2)));
    if (!query || !key) return null;
    for (const pair of [mask, bias])
      for (const part of pair === null ? [] : sidesOf(pairPart(pair, { query, key }))) {
        const dim = part.value.type.shape.findIndex((size) => sequenceAt(model, size) === key);
        if (part.of === "query") ofQueries.add(part.value);
        else rows.set(part.value, { axis: key, dim });
      }
  }
  if (rows.size === 0) return rows;
  const lookup = axesOfModel(model);
  const isPair = (value: Value): boolean =>
    is(value, "pair_attention") || is(value, "mass") || sequenceDims(lookup, value.type.shape).length > 1;
  const isMade = ({ op }: Value): boolean => op !== "input" && op !== "weight" && op !== "state";
  const shown = new Set(rootsOf(model));
  if ([...rows.keys()].some((value) => ofQueries.has(value) || !isMade(value) || shown.has(value))) return null;
  if (values.some((value) => !isPair(value) && value.inputs.some((input) => rows.has(input)))) return null;
  return rows;
}

type Side = PairPart & { readonly kind: "rows" | "position" };

/** The parts that lie on the axis of queries or of keys. */
function sidesOf(part: PairPart): readonly Side[] {
  if (part.kind === "computed") return part.parts.flatMap(sidesOf);
  if (part.kind === "lookup") return sidesOf(part.index);
  return part.kind === "rows" || part.kind === "position" ? [part] : [];
}
