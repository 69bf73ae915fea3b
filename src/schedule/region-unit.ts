// The units of products with their regions, and of sums over rows.
import { invariant } from "../base/invariant.js";
import { isOp, type Node } from "../ir/graph.js";
import { attrsKey } from "../ir/key.js";
import { printType } from "../ir/typing.js";
import { printSize, type Size } from "../size/size.js";
import { expressionKey, valuesOf, type Expression } from "./expression.js";
import { declareRows, splitsByRow, type Inputs } from "./expression-text.js";
import { declareFinish, type FrameText, type Output } from "./finish-text.js";
import { rowSums } from "./kernels/rows.js";
import { input, result, work, type KernelBuilder, type Operand, type Stored, type Work } from "./kernels/spec.js";
import { columnsOf, inParts, rowMajor, type Layout, type Value } from "./layout.js";
import type { Layouts } from "./layouts.js";
import type { Step } from "./plan.js";
import type { FrameWork, Region } from "./region.js";
import type { RowGroup } from "./row-groups.js";
import { liesAsGiven, productWeights } from "./side-by-side.js";
import { indexIn, runSpec, typesOf, UNFUSED, updatedState, type Unit, type UnitOptions } from "./unit.js";

/** Results of a region as they are numbered, with the layouts that their readers will find. */
class Results {
  readonly writes: { readonly value: Value; readonly bytes: Size }[] = [];
  readonly lies: [Node, Layout][] = [];
  #shared: number | null = null;

  constructor(
    readonly region: Region,
    readonly columns: number,
    readonly layouts: Layouts,
    readonly options: UnitOptions,
  ) {}

  add(value: Value, bytes: Size): number {
    return this.writes.push({ value, bytes }) - 1;
  }
  #bytes(node: Node): Size {
    const { extents } = this.options;
    return extents.bytes(extents.equal.type(node.types[0]!));
  }
  own(node: Node): number {
    const value = this.layouts.result(node, 0);
    this.lies.push([node, rowMajor(this.options.extents, value, node.types[0]!.shape)]);
    return this.add(value, this.#bytes(node));
  }
  /** The memory of the product, rows of all its columns. */
  shared(): number {
    this.#shared ??= this.add(this.layouts.result(this.region.product, 0), this.#bytes(this.region.product));
    return this.#shared;
  }
  /** Columns of it. */
  place(node: Node, start: number): void {
    const value = this.layouts.result(this.region.product, 0);
    this.lies.push([node, columnsOf(this.options.extents, value, node.types[0]!.shape, this.columns, start)]);
  }
  rotated(node: Node): void {
    this.lies.push([node, { value: this.layouts.result(this.region.product, 0), ...this.region.rotated.get(node)! }]);
  }
  panels(node: Node, panels: number): number {
    const { extents } = this.options;
    const value = this.layouts.result(node, 0);
    this.lies.push([node, inParts(extents, rowMajor(extents, value, node.types[0]!.shape), panels)]);
    return this.add(value, extents.times(panels, this.#bytes(node)));
  }
}

/** A product with what it loads and finishes. */
export function regionUnit(region: Region, layouts: Layouts, options: UnitOptions): Unit {
  const { extents, madeWhenPacked, partition } = options;
  const { product, frames, nodes, pairs } = region;
  const [a, b] = product.inputs;
  const shape = product.types[0]!.shape;
  const columns = shape.at(-1) as number; // regions have a known number of columns
  const loaded = layouts.expression([a], a.types[0]!.shape, nodes);
  invariant(splitsByRow(loaded), "no index runs along the columns of what a product loads");
  const results = new Results(region, columns, layouts, options);
  // The first results take over the memory of what is added to or replaced: rows, then sums over them.
  const scatters = frames.flatMap(({ scatter }) => (scatter ? [scatter.node] : []));
  const scattered = new Map(scatters.map((node) => [node, results.own(node)]));
  const panels = Math.ceil(columns / (partition.sumsOver.get(product) ?? columns));
  const sets = frames.flatMap((f) => f.sums.flatMap(({ set }) => set ?? []));
  const replaced = new Map(sets.map((set) => [set, results.panels(set, panels)]));
  const worked: { readonly part: FrameWork; readonly expression: Expression }[] = [];
  for (const part of frames) {
    const { frame, stores, sums, registers } = part;
    const wanted = [...stores.map((s) => s.node), ...(part.scatter ? [part.scatter.of] : []), ...sums.map((s) => s.node.inputs[0])];
    const expression = layouts.expression(wanted, [...shape.slice(0, -1), frame.stop - frame.start], nodes, registers);
    invariant(splitsByRow(expression), "columns are numbered, so no index runs along them");
    worked.push({ part, expression });
  }
  const weight = madeWhenPacked.has(b) ? layouts.result(b, 0) : layouts.valueOf(b);
  const known = new Set([...valuesOf([loaded]), weight, ...valuesOf(worked.map((w) => w.expression))]);
  const valueFor = (node: Node): Value => {
    const value = layouts.valueOf(node);
    known.add(value);
    return value;
  };
  const partsFor = (node: Node): Value => {
    const layout = layouts.of(node);
    invariant(layout?.parts === panels, "sums are set in others that lie in as many parts");
    known.add(layout.value);
    return layout.value;
  };
  const bases = [...scatters.map((node) => valueFor(node.inputs[0])), ...sets.map((set) => partsFor(set.inputs[0]))];
  for (const node of scatters) valueFor(node.inputs[1]);
  for (const { part } of worked) for (const n of part.rotation?.node.inputs.slice(1) ?? []) valueFor(n);
  const reads = [...known];
  const inputOf = indexIn(reads);

  const texts = worked.map(({ part, expression }): FrameText => {
    const { frame, stores, rotation, sums } = part;
    const outputs = stores.map(({ node, shared }): Output => {
      if (!shared) return { kind: "store", result: results.own(node), stride: frame.stop - frame.start, offset: 0 };
      if (rotation && node === stores.at(-1)!.node) results.rotated(rotation.node);
      else results.place(node, frame.start);
      return { kind: "store", result: results.shared(), stride: columns, offset: frame.start };
    });
    if (part.scatter) {
      const { node } = part.scatter;
      const index = inputOf(layouts.valueOf(node.inputs[1]));
      outputs.push({ kind: "scatter", result: scattered.get(node)!, index, stride: frame.stop - frame.start, replaces: isOp(node, "set") });
    }
    return {
      frame,
      expression: layouts.same(expression),
      outputs,
      rotation: rotation && {
        positions: inputOf(layouts.valueOf(rotation.node.inputs[1])),
        angles: inputOf(layouts.valueOf(rotation.node.inputs[2])),
        width: rotation.width,
      },
      sums: sums.map(({ node, set }) =>
        set
          ? { result: replaced.get(set)!, panels, index: inputOf(layouts.valueOf(set.inputs[1])) }
          : { result: results.panels(node, panels), panels, index: null },
      ),
    };
  });
  for (const [node, layout] of results.lies) layouts.set(node, layout);

  const context = typesOf(product, options);
  const inputB = inputOf(weight);
  const takesOver = (bases.length > 0 ? bases : updatedBy(worked, [loaded], weight, options)).map((value) => value && inputOf(value));
  const weights = reads.map((_, i) => i === inputB && productWeights(product) !== null);
  const loads = (kernel: KernelBuilder, inPlace: readonly boolean[], inputs: Inputs): void => {
    // What is added to, or replaced, is read from the memory that it shares with a result.
    takesOver.forEach((place, i) => {
      if (place !== null && (inPlace[i] || bases.length > 0)) kernel.inputIs(place, `y${i}`);
    });
    declareRows(kernel, layouts.same(loaded), extents, inputs, { letter: "A", parameters: "batch: u32, row: u32", prefix: "p" });
  };
  const key = [
    `matmul{${attrsKey(context.attrs)}}(${context.inputs.map(printType).join(" ")})${weights.map(Number).join("")}${Number(liesAsGiven(product))} ${context.results.map(printType).join(" ")} ${inputB} ${pairs} ${takesOver.join()}`,
    expressionKey(loaded, extents, inputOf),
    ...texts.map(
      (t) => `${JSON.stringify([t.frame, t.rotation, t.sums])} ${t.outputs.map(outputKey).join(";")} ${expressionKey(t.expression, extents, inputOf)}`,
    ),
  ].join("\n");
  const make = (inPlace: readonly boolean[], stored: Stored): Work => {
    const inputs: Inputs = { of: inputOf, halves: stored.reads };
    const { steps, scratch } = runSpec("matmul", {
      ...UNFUSED,
      ...context,
      attrs: product.attrs,
      weights,
      views: product.inputs.map(() => null),
      places: [-1, inputB],
      stored,
      loads: (kernel) => loads(kernel, inPlace, inputs),
      finishes: isPlainStore(texts, columns) ? null : (kernel) => declareFinish(kernel, texts, pairs, extents, { inputs, halves: stored.writes }),
      inputB,
      pairs,
      liesAsGiven: liesAsGiven(product),
    });
    const copies = bases.flatMap((base, i): Step<Operand>[] =>
      inPlace[i] ? [] : [{ kind: "copy", from: input(inputOf(base)), to: result(i), bytes: results.writes[i]!.bytes }],
    );
    return { steps: [...copies, ...steps], scratch };
  };
  // Rows are added to in f32, and rotary tables and sums are f32 too.
  const angles = new Set(texts.flatMap((t) => (t.rotation ? [t.rotation.angles] : [])));
  const sums = new Set(texts.flatMap((t) => [...t.sums, ...t.outputs.filter((o) => o.kind === "scatter")].map((o) => o.result)));
  const halves = { reads: reads.map((_, i) => !takesOver.includes(i) && !angles.has(i)), writes: results.writes.map((_, i) => !sums.has(i)) };
  return {
    nodes: [product, ...[...nodes].filter((n) => n !== product)],
    reads,
    writes: results.writes,
    halves,
    packs: weights[inputB] ? [inputB] : [],
    takesOver,
    key,
    make,
  };
}

/** The states that results of a region replace element by element, if nothing else that the kernel reads is of them. */
function updatedBy(
  worked: readonly { readonly part: FrameWork; readonly expression: Expression }[],
  loaded: readonly Expression[],
  weight: Value,
  options: UnitOptions,
): readonly (Value | null)[] {
  const [first, ...others] = worked;
  if (!first || first.part.rotation || first.part.frame.second !== null || first.part.stores.some((s) => s.shared)) return [];
  const elsewhere = new Set([weight, ...valuesOf([...loaded, ...others.map((w) => w.expression)])]);
  return first.part.stores.map(({ node }) => {
    const state = updatedState(node, first.expression, options);
    return state && !elsewhere.has(state) ? state : null;
  });
}

const outputKey = (o: Output): string =>
  o.kind === "store"
    ? `${o.result} ${printSize(o.stride)}+${printSize(o.offset)}`
    : `${o.result} ${printSize(o.stride)}*[${o.index}]${o.replaces ? "=" : "+="}`;

/** The product as it is, row-major in memory of its own. */
function isPlainStore(frames: readonly FrameText[], columns: number): boolean {
  const [only, ...more] = frames;
  if (!only || more.length > 0 || only.rotation || only.sums.length > 0 || only.expression.operations.length > 0) return false;
  const [output, ...others] = only.outputs;
  return others.length === 0 && output?.kind === "store" && output.offset === 0 && output.stride === columns && only.frame.stop - only.frame.start === columns;
}

/** Sums over the same rows, in one pass. */
export function rowGroupUnit({ sums, nodes }: RowGroup, layouts: Layouts, options: UnitOptions): Unit {
  const { extents, tunings, partition } = options;
  const parts = partition.sumParts.get(sums[0]!) ?? 1;
  const shape = sums[0]!.inputs[0].types[0]!.shape;
  const expression = layouts.expression(
    sums.map((s) => s.inputs[0]),
    shape,
    nodes,
  );
  invariant(splitsByRow(expression), "columns are numbered, so no index runs along them");
  const reads = valuesOf([expression]);
  const inputOf = indexIn(reads);
  const same = layouts.same(expression);
  const make = (_inPlace: readonly boolean[], stored: Stored): Work =>
    work([
      rowSums(
        {
          rows: extents.product(same.shape.slice(0, -1)),
          depth: same.shape.at(-1)!,
          results: sums.map((s, i) => ({ operand: result(i), dtype: s.types[0]!.dtype, parts })),
          declare: (kernel) => declareRows(kernel, same, extents, { of: inputOf, halves: stored.reads }, { letter: "X", parameters: "row: u32", prefix: "p" }),
        },
        extents,
        tunings.rowSums,
      ),
    ]);
  for (const s of sums) layouts.set(s, inParts(extents, rowMajor(extents, layouts.result(s, 0), s.types[0]!.shape), parts));
  return {
    nodes: [...sums, ...[...nodes].filter((n) => !sums.some((s) => s === n))],
    reads,
    writes: sums.map((s) => ({ value: layouts.result(s, 0), bytes: extents.times(parts, extents.bytes(extents.equal.type(s.types[0]!))) })),
    halves: { reads: reads.map(() => true), writes: sums.map(() => false) },
    packs: [],
    takesOver: [],
    key: `row sums ${parts} ${expressionKey(expression, extents, inputOf)}`,
    make,
  };
}
