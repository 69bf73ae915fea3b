// The ledger of a model beside the same model with nothing skipped, at sizes one can choose.
import { ledger, type LedgerRow } from "../../../src/cost/ledger.js";
import type { Axis } from "../../../src/size/axes.js";
import type { Source } from "../source.js";
import { compiledOf } from "./memo.js";

/** An axis whose extent a caller decides. */
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

/** Null where the source has errors. Extents beyond what an axis allows are cut to it. */
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

/** Tokens where the model has no bound. */
const USUAL = 256;

function openAxis({ name, role, bound }: Axis, given: number | undefined): OpenAxis {
  const usual = role === "batch" ? 1 : (bound ?? USUAL);
  const wanted = given !== undefined && Number.isSafeInteger(given) && given >= 1 ? given : usual;
  return { name, role, bound, extent: Math.min(wanted, bound ?? wanted) };
}
