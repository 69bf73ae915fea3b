// The cost ledger of a model at chosen sizes, next to the costs of the same model with nothing skipped.
import { ledger, type LedgerRow } from "../../../src/compiler/cost/ledger.js";
import type { Axis } from "../../../src/ground/size/axes.js";
import type { Source } from "../source.js";
import { compiledOf } from "./memo.js";

/** An axis whose extent the caller chooses. */
export interface OpenAxis {
  readonly name: string;
  readonly role: "batch" | "sequence" | "free";
  readonly extent: number;
  readonly bound: number | null;
}

export interface LedgerTable {
  readonly axes: readonly OpenAxis[];
  readonly tokens: number;
  readonly rows: readonly LedgerRow[];
  readonly total: Omit<LedgerRow, "name">;
}

/** The ledger; null if the source has errors. Extents are clamped to the axes' bounds. */
export function ledgerOf(source: Source, given: Readonly<Record<string, number>> = {}): LedgerTable | null {
  const { checked, graph } = compiledOf(source);
  const optimized = graph();
  if (!checked.model || !optimized) return null;
  const axes = checked.model.axes.flatMap((axis) =>
    axis.role === "sequence" && axis.count.kind !== "input" ? [] : [openAxis(axis, given[axis.name])],
  );
  const { tokens, rows, total } = ledger(optimized, checked.model, {
    extents: new Map(axes.map((a) => [a.name, a.extent])),
  });
  return { axes, tokens, rows, total };
}

/** Default number of tokens for a model without a bound. */
const USUAL = 256;

function openAxis({ name, role, bound }: Axis, given: number | undefined): OpenAxis {
  const usual = role === "batch" ? 1 : (bound ?? USUAL);
  const wanted = given !== undefined && Number.isSafeInteger(given) && given >= 1 ? given : usual;
  return { name, role, bound, extent: Math.min(wanted, bound ?? wanted) };
}
