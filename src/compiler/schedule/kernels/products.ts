// The specs of matrix products: which kernel computes one on a device, and its tiles.
import { invariant } from "../../../ground/base/invariant.js";
import type { TensorType } from "../../ir/types.js";
import type { Size } from "../../../ground/size/size.js";
import { broadcastStrides } from "../addressing/index-map.js";
import type { Step } from "../plan/plan.js";
import type { ProductCase, ProductTuning, ProductTunings } from "../tunings/index.js";
import {
  withoutPacking,
  casesOfKinds,
  exactTuning,
  filled,
  isSubgroup,
  narrowed,
  valueTuning,
  type CasesByRows,
  type OperandKind,
} from "../tunings/product-cases.js";
import {
  kindsOf,
  ownTunings,
  stepOf,
  takesHalves,
  type MatmulContext,
  type Product,
  type ProductContext,
} from "./product-kernels.js";
import { inParts, partsOf, sumParts } from "./product-parts.js";
import { mayPack, packedBytes, stepsOf } from "./product-packing.js";
import { evenTiles } from "./product-tiles.js";
import { standingIn, whereRows } from "./cases.js";
import { typeAt, work, type KernelContext, type Operand, type Work } from "./spec.js";

/** A product without prologue and epilogue. */
export const PLAIN: MatmulContext = {
  loads: null,
  finishes: null,
  ownSum: null,
  inputB: 1,
  inputStarts: 2,
  unpacked: false,
  pairs: 0,
};

export const matmul = (node: KernelContext<"matmul">, fused: MatmulContext = PLAIN): Work => {
  const context = { ...node, ...fused };
  return productWork(context, productOf(context));
};

/** The kernels of a product. If rows are in groups, the mean number of rows per group decides. */
export function productWork(context: ProductContext, product: Product): Work {
  const cases = casesOf(context, product);
  const [only] = cases;
  const parts = only && cases.length === 1 ? partsOf(context, product, only.tuning) : 1;
  const packs = cases.some(({ tuning }) => tuning.kind === "packed");
  if (parts === 1) return work(casesSteps(context, product, cases), packs ? [packedBytes(context, product)] : []);
  const divided = inParts(context, product, parts);
  const steps = casesSteps(divided.context, divided.product, cases);
  return work([...steps, sumParts(context, product, parts)], [divided.bytes]);
}

function casesSteps(
  context: ProductContext,
  product: Product,
  cases: readonly ProductCase[],
): readonly Step<Operand>[] {
  const each = product.groups ?? 1;
  const steps = cases.map(({ most, tuning }, i) =>
    stepsOf(withOwnSum(context, product, most), product, tuning).map((step) =>
      whereRows(
        context.extents,
        step,
        product.rows,
        each * (cases[i - 1]?.most ?? 0),
        most === null ? null : each * most,
      ),
    ),
  );
  return withStandIns(context, product, cases, steps);
}

/** The context of a case. Only a case of few rows computes sums over its rows. */
function withOwnSum(context: ProductContext, { rows }: Product, most: number | null): ProductContext {
  const known = typeof rows === "number" ? rows : (most ?? Infinity);
  return context.ownSum && known > context.ownSum.rows ? { ...context, ownSum: null } : context;
}

/**
 * Kernels that compute few rows at once are compiled in a third of the time of the fast ones, which pay only where
 * there is much to compute. One row at once is what steps of generation need anyway. Measured on Mesa 25.0.7: one row
 * by two vectors 3 GFLOP/s a core, eight by one 12, sixteen by two 24.
 */
const ONE_ROW = { kind: "spared", each: 8e6, total: 5e8 } as const;
/**
 * Eight rows at once take twice as long for one row as its own kernel, which is not worth its compilation before it
 * would have run for that long: at 3 GFLOP/s, 0.1 s more.
 */
const ONE_OF_EIGHT = { kind: "shared", each: Number.MAX_SAFE_INTEGER, total: 3e8 } as const;
const FEW_VECTORS = { kind: "spared", each: Number.MAX_SAFE_INTEGER, total: 2e9 } as const;
const FIRST = { kind: "subgroup", rows: 8, vectors: 1 } as const;

/** The steps of the cases, with those that stand in for kernels of many sums before them. */
function withStandIns(
  context: ProductContext,
  product: Product,
  cases: readonly ProductCase[],
  steps: readonly (readonly Step<Operand>[])[],
): readonly Step<Operand>[] {
  const few = cases.findIndex(({ tuning }) => tuning.kind !== "subgroup" || tuning.rows > 1);
  if (few < 0 || cases.slice(few).some(({ tuning }) => !isSubgroup(tuning))) return steps.flat();
  // Kernels of as few sums as a stand-in need none.
  const many = cases.findIndex(({ tuning }) => isSubgroup(tuning) && tuning.rows * tuning.vectors > FIRST.rows);
  if (many < few) return steps.flat();
  const stepsAfter = (at: number): number => steps.slice(at).flat().length;
  const first = standingIn(stepOf(context, product, FIRST), stepsAfter(many), FEW_VECTORS);
  const one = cases.slice(0, few).map(({ tuning }, i) => {
    const lastStep = stepsOf(context, product, tuning).at(-1)!;
    const step = steps[i]!.at(-1)!;
    return step.kind === "dispatch" ? standingIn(lastStep, stepsAfter(i), ONE_ROW, step.workgroups) : step;
  });
  const rows = few === 0 ? [] : [standingIn(stepOf(context, product, FIRST), few, ONE_OF_EIGHT)];
  return [...rows, ...one, ...steps.slice(few, many).flat(), first, ...steps.slice(many).flat()];
}

function productOf({ inputs, results, extents }: ProductContext): Product {
  const [a, b, y] = [typeAt(inputs, 0), typeAt(inputs, 1), typeAt(results, 0)];
  const [depth, columns] = [a.shape.at(-1)!, y.shape.at(-1)!];
  // One b for all of a: its batches are more rows.
  const single = b.shape.slice(0, -2).every((s) => s === 1) && a.shape.length === y.shape.length;
  if (single)
    return {
      batches: 1,
      rows: extents.product(y.shape.slice(0, -1)),
      columns,
      depth,
      lead: [],
      stepsA: [],
      stepsB: [],
      tiles: evenTiles(1, extents.product(y.shape.slice(0, -1))),
      groups: null,
    };
  const lead = y.shape.slice(0, -2);
  const steps = ({ shape }: TensorType): readonly Size[] => broadcastStrides(extents, shape.slice(0, -2), lead);
  return {
    batches: extents.product(lead),
    rows: y.shape.at(-2)!,
    columns,
    depth,
    lead,
    stepsA: steps(a),
    stepsB: steps(b),
    tiles: evenTiles(extents.product(lead), y.shape.at(-2)!),
    groups: null,
  };
}

/** The tunings of a product: one tuning, or several; at run time, the number of rows picks one. */
function casesOf(context: ProductContext, product: Product): readonly ProductCase[] {
  const { attrs, weights, inputB } = context;
  const { rows, columns } = product;
  const tunings = context.tunings.products;
  const always = (tuning: ProductTuning): readonly ProductCase[] => [{ most: null, tuning }];
  if (typeof columns !== "number") return always({ kind: "plain" });
  const rounds = takesHalves(context);
  const packs = mayPack(product);
  const allowed = (tuning: ProductTuning, panel: number | null): ProductTuning => {
    const exact = rounds ? tuning : exactTuning(tuning, panel, tunings.subgroupSize);
    return exact.kind === "packed" && !packs ? withoutPacking(exact) : exact;
  };
  if (!weights[inputB]) {
    if (attrs.transposed || columns % 4 !== 0) return always({ kind: "plain" });
    const each = typeof rows === "number" ? rows / (product.groups ?? 1) : rows;
    if (columns < tunings.leastColumns) return always(narrowByValue(tunings, each, columns));
    const usual = valueTuning(tunings, typeof each === "number" ? each * columns : 0, rounds);
    const tuning = narrowed(tunings, { most: null, tuning: byValue(tunings, usual, each) }, columns);
    return always(allowed(tuning, null));
  }
  const ownCases = ownTunings(context, product);
  const kindCases = casesOfKinds(ownCases, kindsOf(context, product));
  const all = (cases: readonly ProductCase[]): readonly ProductCase[] =>
    cases.map((c) => ({ ...c, tuning: allowed(c.tuning, ownCases.panel) }));
  const both = { byWeight: all(kindCases.byWeight), byWeightAnyRows: all(kindCases.byWeightAnyRows) };
  const mine = groupTunings(product, both, ownCases.panel);
  if (typeof rows !== "number") return mine.byWeightAnyRows;
  const productCase = mine.byWeight.find(({ most }) => most === null || rows <= most * (product.groups ?? 1));
  invariant(productCase, "no tuning fits so many rows");
  return always(productCase.tuning);
}

/**
 * Groups whose columns are no whole panels share some, which a kernel that reads vectors can; a stack whose columns are
 * no whole vectors has neither.
 */
function groupTunings({ groups, columns }: Product, own: CasesByRows, panel: number): CasesByRows {
  if (groups === null || typeof columns !== "number" || columns % panel === 0) return own;
  const cut = (cases: readonly ProductCase[]): readonly ProductCase[] =>
    columns % 4 !== 0
      ? [{ most: null, tuning: { kind: "plain" } }]
      : cases.map((c) => (c.tuning.kind === "tiled" ? { ...c, tuning: { kind: "vectors", rows: 4, vectors: 1 } } : c));
  return { byWeight: cut(own.byWeight), byWeightAnyRows: cut(own.byWeightAnyRows) };
}

/** The tuning for a computed b: few rows use the tile for products by a weight, if that tile reads an unpacked b. */
function byValue(tunings: ProductTunings, usual: ProductTuning, rows: Size): ProductTuning {
  const productCase =
    typeof rows === "number"
      ? casesOfKinds(tunings, IN_BUFFER).byWeight.find(
          ({ most, columns, tuning }) =>
            most !== null && rows <= most && (most < LEAST_ROWS || tuning.kind === "row") && columns === undefined,
        )
      : undefined;
  const few =
    productCase && [tunings.byValue.kind, "row"].includes(productCase.tuning.kind) ? productCase.tuning : null;
  return few ?? usual;
}

/** The tuning for a computed b of few columns: the narrow case for this number of rows. */
function narrowByValue({ narrow }: ProductTunings, rows: Size, columns: number): ProductTuning {
  const productCase = narrow?.byWeight.find(({ most }) => most === null || (typeof rows === "number" && rows <= most));
  return productCase ? filled(productCase.tuning, columns) : { kind: "plain" };
}

const IN_BUFFER: ReadonlySet<OperandKind> = new Set(["buffered"]);

/** Rows of a tile of products by a computed (unpacked) b, but for the kernel of few rows. */
const LEAST_ROWS = 16;

export const productSpecs = { matmul };
