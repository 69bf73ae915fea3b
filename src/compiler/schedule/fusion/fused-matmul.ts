// Builds the kernel of a fused product: its operands, its numbered results, and the declarations of prologue and
// epilogues.
import { invariant } from "../../../ground/base/invariant.js";
import { isOp, type Node } from "../../ir/graph.js";
import { attrsKey } from "../../ir/key.js";
import { printType, equalShapes } from "../../ir/typing.js";
import { expressionKey, valuesOf, type Expression, type Leaf } from "../addressing/expression.js";
import { splitsInFours, declareFinish, type BoundColumns } from "./finish.js";
import { declareRows } from "../kernels/declare-rows.js";
import { splitsByRow, type Inputs } from "../kernels/expression-text.js";
import { groupedMatmul } from "../kernels/groups.js";
import { matmul } from "../kernels/products.js";
import type { MatmulContext } from "../kernels/product-kernels.js";
import type { LoadKind } from "../kernels/product-texts.js";
import { input, result, type KernelBuilder, type Operand, type Stored, type Work } from "../kernels/spec.js";
import { isRowMajor, type Value } from "../addressing/layout.js";
import type { Layouts } from "../addressing/layouts.js";
import type { Step } from "../plan/plan.js";
import { heldB, isUnpacked, productWeights } from "../analysis/side-by-side.js";
import { contextOf, indexIn, updatedState, type FusedKernel } from "../kernels/fused-kernel.js";
import type { FusionOptions } from "./partition.js";
import type { FusedColumns, Fusion } from "./fusion.js";
import { Results } from "./results.js";
import type { Affine } from "../addressing/access.js";
import type { Extents } from "../analysis/extents.js";
import { allCases, weightTunings } from "../tunings/product-cases.js";
import type { Tunings } from "../tunings/index.js";
import { summedShape } from "./row-groups.js";

interface Worked {
  readonly columns: FusedColumns;
  readonly expression: Expression;
}

/** The kernel of a product with its prologue and epilogues. */
export function fusedMatmul(fusion: Fusion, layouts: Layouts, options: FusionOptions): FusedKernel {
  const { extents, packedAtLoad, partition } = options;
  const { product, nodes, pairs } = fusion;
  const [a, b] = product.inputs;
  const shape = product.types[0]!.shape;
  const columns = shape.at(-1) as number; // a fused product has a known number of columns
  const loaded = layouts.expression([a], a.types[0]!.shape, nodes);
  invariant(splitsByRow(loaded), "no index runs along the columns of what a product loads");
  const results = new Results(
    product,
    columns,
    Math.ceil(columns / (partition.sumsOver.get(product) ?? columns)),
    layouts,
    extents,
  );
  const epilogues = fusion.columns.flatMap((c) => c.epilogues);
  // The first results are scatters, which take over the memory of the values they update: rows, then sums over them.
  const rows = epilogues.flatMap((e) => e.rows);
  const sets = epilogues.flatMap((e) => e.sums.flatMap(({ set }) => set ?? []));
  for (const node of rows) results.replace(node, results.inRows(node));
  for (const node of sets) results.replace(node, results.partial(node));
  const worked = fusion.columns.map((half): Worked => {
    const { slice, accumulators } = half;
    const expression = layouts.expression(
      half.epilogues.map((e) => e.value),
      [...shape.slice(0, -1), slice.stop - slice.start],
      nodes,
      accumulators,
    );
    invariant(splitsByRow(expression), "columns are numbered, so no index runs along them");
    return { columns: half, expression };
  });
  const matrix = heldB(product);
  const weight = packedAtLoad.has(matrix) ? layouts.result(matrix, 0) : layouts.valueOf(b);
  const starts = isOp(product, "grouped_matmul") ? layouts.valueOf(product.inputs[2]) : null;
  const partialOf = (node: Node): Value => {
    const layout = layouts.of(node);
    invariant(layout?.parts === results.panels, "sums are set in others that lie in as many parts");
    return layout.value;
  };
  const bases = [
    ...rows.map((node) => layouts.valueOf(node.inputs[0])),
    ...sets.map((set) => partialOf(set.inputs[0])),
  ];
  const indices = rows.map((node) => layouts.valueOf(node.inputs[1]));
  const angles = epilogues.flatMap((e) => e.reads.map((n) => layouts.valueOf(n)));
  const finished = [...valuesOf(worked.map((w) => w.expression)), ...bases, ...indices, ...angles];
  const reads = [...new Set([...valuesOf([loaded]), weight, ...(starts ? [starts] : []), ...finished])];
  const inputOf = indexIn(reads);
  results.numberInputs((node) => inputOf(layouts.valueOf(node)));
  const bound = worked.map(({ columns: own, expression }): BoundColumns => {
    return {
      columns: own,
      expression: layouts.same(expression),
      epilogues: own.epilogues.map((e) => e.bind(results, own.slice)),
    };
  });
  for (const [node, layout] of results.resultLayouts) layouts.set(node, layout);

  const inputB = inputOf(weight);
  const takesOver = (bases.length > 0 ? bases : updatedBy(worked, [loaded], weight, options)).map(
    (value) => value && inputOf(value),
  );
  // A value that a scatter updates is read from the memory that it shares with the result.
  const shareMemory = (kernel: KernelBuilder, inPlace: readonly boolean[]): void =>
    takesOver.forEach((taken, i) => {
      if (taken !== null && (inPlace[i] || bases.length > 0)) kernel.inputIs(taken, `y${i}`);
    });
  const apart = new Set([weight, ...(starts ? [starts] : []), ...indices, ...angles].map(inputOf));
  /** Whether values come in fours. */
  const loads = (
    kernel: KernelBuilder,
    inputs: Inputs,
    letter: string,
    wanted: LoadKind,
    expression = layouts.same(loaded),
  ): boolean => {
    const kind = wanted === "fours" && !splitsInFours(kernel, expression, inputs, apart) ? null : wanted;
    declareRows(kernel, expression, extents, inputs, {
      letter,
      parameters: "batch: u32, row: u32",
      prefix: "p",
      kind,
    });
    return kind === "fours";
  };
  const plain = isPlainStore(bound, columns);
  const sums = ownSumOf(fusion, loaded, finished, layouts, options);
  const fused = (inPlace: readonly boolean[], stored: Stored, ownRows: number): MatmulContext => {
    const inputs: Inputs = { of: inputOf, codecs: stored.reads };
    return {
      ownSum:
        sums && ownRows > 0
          ? {
              rows: ownRows,
              loads: (kernel, letter = "A", alsoFinishes = true, kind = null) => {
                if (alsoFinishes) shareMemory(kernel, inPlace);
                return loads(kernel, inputs, letter, kind, layouts.same(sums.loaded));
              },
              declare: (kernel) => {
                const names = { letter: "X", parameters: "row: u32", prefix: "s" };
                declareRows(kernel, layouts.same(sums.summed), extents, inputs, names);
                const indices = sums.through.map((index) => kernel.inputOnce(inputOf(index), "u32"));
                const row = indices.reduce((at, index) => `${index}[${at}]`, "row");
                kernel.function(`fn summedRow(row: u32) -> u32 { return ${row}; }`);
              },
            }
          : null,
      loads: (kernel, letter = "A", alsoFinishes = true, kind = null) => {
        if (alsoFinishes) shareMemory(kernel, inPlace);
        return loads(kernel, inputs, letter, kind);
      },
      finishes: plain
        ? null
        : (kernel, taking) => {
            shareMemory(kernel, inPlace);
            declareFinish(kernel, bound, { extents, pairs, inputs, codecs: stored.writes, apart, taking });
          },
      inputB,
      inputStarts: starts ? inputOf(starts) : -1,
      pairs,
      unpacked: isUnpacked(product),
    };
  };
  const weights = reads.map((_, i) => i === inputB && productWeights(product) !== null);
  const context = contextOf(product, options);
  const make = (inPlace: readonly boolean[], stored: Stored, ownRows = 0): Work => {
    const operands = { ...context, attrs: product.attrs, weights, views: [null, null], places: [-1, inputB], stored };
    const compute = isOp(product, "grouped_matmul") ? groupedMatmul : matmul;
    const { steps, scratch } = compute(operands, fused(inPlace, stored, ownRows));
    const copies = bases.flatMap((base, i): Step<Operand>[] =>
      inPlace[i] ? [] : [{ kind: "copy", from: input(inputOf(base)), to: result(i), bytes: results.writes[i]!.bytes }],
    );
    return { steps: [...copies, ...steps], scratch };
  };
  const key = [
    `${product.op}{${attrsKey(context.attrs)}}(${context.inputs.map(printType).join(" ")})` +
      `${weights.map(Number).join("")}${Number(isUnpacked(product))}`,
    `${context.results.map(printType).join(" ")} ${inputB} ${pairs} ${takesOver.join()}`,
    expressionKey(loaded, extents, inputOf),
    ...bound.map(
      ({ columns: own, epilogues: done, expression }) =>
        `${JSON.stringify(own.slice)} ${done.map((e) => e.key).join(";")} ` +
        expressionKey(expression, extents, inputOf),
    ),
  ].join("\n");
  const computedFrom = new Set(valuesOf([loaded, ...worked.map((w) => w.expression)]));
  const kernel: FusedKernel = {
    nodes: [product, ...[...nodes].filter((n) => n !== product)],
    reads,
    writes: results.writes,
    inWords: new Set(
      bound.flatMap((b) =>
        b.epilogues.flatMap(({ inputsInWords, resultInWords, result: to }) => [
          ...inputsInWords.map((index) => reads[index]!),
          ...(resultInWords ? [results.writes[to]!.value] : []),
        ]),
      ),
    ),
    decodes: weights[inputB] && !computedFrom.has(weight) ? weight : null,
    takesOver,
    key,
    make: (inPlace, stored) => make(inPlace, stored),
  };
  if (!sums) return kernel;
  const upTo = (most: number): FusedKernel => ({
    ...kernel,
    key:
      `${key}\nown sum up to ${most} rows: ${expressionKey(sums.summed, extents, inputOf)} ` +
      sums.through.map(inputOf).join(),
    make: (inPlace, stored) => make(inPlace, stored, most),
  });
  const count = extents.product(shape.slice(0, -1));
  return { ...kernel, ownSum: { sum: sums.sum, rows: sums.rows, count, upTo } };
}

/** The states that results of a fusion update element by element, if the kernel does not read them otherwise. */
function updatedBy(
  worked: readonly Worked[],
  loaded: readonly Expression[],
  weight: Value,
  options: FusionOptions,
): readonly (Value | null)[] {
  const [first, ...others] = worked;
  if (!first || first.columns.slice.second !== null) return [];
  const { epilogues } = first.columns;
  if (epilogues.some((e) => e.stores === "columns")) return [];
  const elsewhere = new Set([weight, ...valuesOf([...loaded, ...others.map((w) => w.expression)])]);
  return epilogues.flatMap(({ stores, value }) => {
    if (stores !== "own") return [];
    const state = updatedState(value, first.expression, options);
    return [state && !elsewhere.has(state) ? state : null];
  });
}

/** Whether the only result is the product itself, row-major in its own memory. */
function isPlainStore(slices: readonly BoundColumns[], columns: number): boolean {
  const [only, ...more] = slices;
  if (!only || more.length > 0 || only.expression.operations.length > 0) return false;
  const { slice, epilogues } = only.columns;
  const [first, ...others] = epilogues;
  return others.length === 0 && first?.stores === "own" && slice.start === 0 && slice.stop === columns;
}

interface Own {
  readonly sum: Value;
  /** The most rows for which the kernel can make the sum. */
  readonly rows: number;
  /** The summed expression, and the expression that the product loads, with the sum in place of the value. */
  readonly summed: Expression;
  readonly loaded: Expression;
  /** The indices, one after the other, by which a row of the product finds its row of what is summed. */
  readonly through: readonly Value[];
}

/** The sum that the product's kernel can compute; null if there is none. `elsewhere`: the reads of its epilogues. */
function ownSumOf(
  { product, prologue }: Fusion,
  loaded: Expression,
  elsewhere: readonly Value[],
  layouts: Layouts,
  { extents, partition, tunings }: FusionOptions,
): Own | null {
  // Only products by a weight have cases of one row each.
  if (!prologue || !isOp(product, "matmul") || productWeights(product) === null) return null;
  const rows = mostRows(product.inputs[0].types[0]!.shape.at(-1), product.types[0]!.shape.at(-1), tunings);
  const [sum, ...others] = [...prologue.reads].filter((n) => partition.rowGroups.has(n));
  const group = sum && partition.rowGroups.get(sum);
  if (rows === 0 || !sum || others.length > 0 || !group || group.sums.length > 1) return null;
  const [first] = group.sums;
  const shape = summedShape(first!);
  const value = layouts.valueOf(sum);
  if (elsewhere.includes(value)) return null;
  const through = pathOf(loaded, value, extents);
  const matches = through?.length === 0 ? equalShapes(shape, loaded.shape) : shape.at(-1) === loaded.shape.at(-1);
  if (!through || !matches) return null;
  const summed = layouts.expression([first!.inputs[0]], shape, group.nodes);
  // It reads nothing that the product would not read anyway.
  const reads = new Set(valuesOf([loaded]));
  if (!splitsByRow(summed) || valuesOf([summed]).some((v) => !reads.has(v))) return null;
  const leaves = loaded.leaves.map((leaf): Leaf =>
    leaf.kind === "memory" && leaf.value === value ? { kind: "row sum", dtype: leaf.dtype } : leaf,
  );
  return { sum: value, rows, summed, loaded: { ...loaded, leaves }, through };
}

/** The indices by which a row of the expression reads one row of the value; null if the expression does not read so. */
function pathOf({ leaves, shape }: Expression, value: Value, extents: Extents): readonly Value[] | null {
  const memory = leaves.filter((l) => l.kind === "memory");
  const [leaf, ...others] = memory.filter((l) => l.value === value);
  if (!leaf || others.length > 0 || memory.some(({ access }) => access.indexed?.indices.includes(value))) return null;
  const { affine, indexed } = leaf.access;
  const isRow = ({ strides, offset }: Affine): boolean =>
    strides.at(-1) === 0 && isRowMajor(extents, { value, strides: strides.slice(0, -1), offset, parts: 1 }, lead);
  const lead = shape.slice(0, -1);
  if (leaf.dtype !== "f32" || leaf.parts !== 1) return null;
  if (!indexed) return isRow(affine) ? [] : null;
  const isThere = affine.offset === 0 && affine.strides.every((s) => s === 0);
  return isThere && indexed.times === 1 && isRow(indexed.at) ? indexed.indices : null;
}

/** The most rows for which every kernel of a product by this weight computes one row at a time. */
function mostRows(depth: unknown, columns: unknown, { products, rowSums }: Tunings): number {
  if (typeof depth !== "number" || typeof columns !== "number" || rowSums.kind !== "wide") return 0;
  const firsts = allCases(weightTunings(products, depth, columns)).flatMap(({ byWeight, byWeightAnyRows }) =>
    [byWeight[0], byWeightAnyRows[0]].map((c) => (c?.tuning.kind === "row" && c.tuning.rows === 1 ? (c.most ?? 0) : 0)),
  );
  // The product takes one of the lists: the sums' own kernel runs for more rows than any of them.
  return firsts.every((most) => most === firsts[0]) ? firsts[0]! : 0;
}
