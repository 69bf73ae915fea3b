// Prints expressions as WGSL: loads, then one `let` for each operation. Over rows and columns, terms that depend only
// on the row are computed once for each row.
import { invariant } from "../../../ground/base/invariant.js";
import type { OpTable } from "../../ops/define.js";
import { ops, wgslType } from "../../ops/index.js";
import type { Node } from "../../ir/graph.js";
import type { TensorType } from "../../ir/types.js";
import type { OpName } from "../../ir/vocabulary.js";
import type { DType } from "../../../ground/base/dtype.js";
import type { Size } from "../../../ground/size/size.js";
import type { Affine } from "../addressing/access.js";
import type { Expression, Leaf, MemoryLeaf, Operation } from "../addressing/expression.js";
import type { Extents } from "../analysis/extents.js";
import { collapse } from "../addressing/index-map.js";
import type { ElementCodec } from "../codecs/codec.js";
import { inBuffer } from "../codecs/elements.js";
import { words } from "../codecs/words.js";
import type { KernelBuilder } from "./spec.js";
import type { Value } from "../addressing/layout.js";
import { printCoordinates } from "../addressing/text.js";

/** The kernel's input index of a value. */
export type InputOf = (value: Value) => number;

/** The kernel's inputs: the index of a value among them, and the codec of each. */
export interface Inputs {
  readonly of: InputOf;
  readonly codecs: readonly ElementCodec[];
}

/** `fn value(i: u32) -> …`: element i of the expression's only result, row-major, in its storage type. */
export function declareValue(
  kernel: KernelBuilder,
  expression: Expression,
  extents: Extents,
  inputs: Inputs,
  to: ElementCodec = words,
): void {
  const texts = new Texts(kernel, inputs, "");
  const walks = expression.leaves.flatMap((leaf) => (leaf.kind === "memory" ? affinesOf(leaf) : []));
  const walk = collapse(extents, { sizes: expression.shape, strides: walks.map((a) => a.strides) });
  const usedDims = walk.sizes.map((_, d) => walk.strides.some((s) => s[d] !== 0));
  const { statements, coordinates } = printCoordinates(
    walk.sizes.map((size, d) => (d === 0 ? ({ kind: "one" } as const) : kernel.countOf(size, `size${d}`))),
    usedDims,
  );
  const collapsed = new Map(walks.map((a, n) => [a, { strides: walk.strides[n]!, offset: a.offset }]));
  const lines = [...statements];
  const names = expression.leaves.map((leaf, n) => {
    const text =
      leaf.kind === "memory"
        ? texts.load(
            leaf,
            texts.address(leaf, (a) => texts.sum(collapsed.get(a)!, coordinates)),
          )
        : texts.fixed(leaf);
    lines.push(`let a${n} = ${text};`);
    return `a${n}`;
  });
  const name = (index: number): string => (index < 0 ? names[-1 - index]! : `v${index}`);
  expression.operations.forEach((o, n) => lines.push(`let v${n} = ${printOperation(o, o.operands.map(name))};`));
  const index = soleResult(expression);
  const dtype = dtypeAt(expression, index);
  const value = name(index);
  kernel.function(
    `fn value(i: u32) -> ${to.element(dtype)} {\n${lines.map((l) => `  ${l}\n`).join("")}  ` +
      `return ${stored(value, dtype, to)};\n}`,
  );
}

const affinesOf = ({ access: { affine, indexed } }: MemoryLeaf): readonly Affine[] =>
  indexed ? [affine, indexed.at] : [affine];

export function soleResult({ results }: Expression): number {
  const [index] = results;
  invariant(index !== undefined && results.length === 1, "an expression of one result");
  return index;
}

export const dtypeAt = ({ leaves, operations }: Expression, place: number): DType =>
  place < 0 ? leaves[-1 - place]!.dtype : operations[place]!.node.types[0]!.dtype;

/** Converts a value of its type to the stored element. */
export const stored = (value: string, dtype: DType, to: ElementCodec): string =>
  to.store(dtype === "bool" ? `u32(${value})` : value, "f32");

/** Prints the parts common to all expressions: sizes, addresses, loads. */
export class Texts {
  readonly #kernel: KernelBuilder;
  readonly #inputs: Inputs;
  readonly #prefix: string;
  readonly #totals = new Set<string>();
  #constants = 0;

  constructor(kernel: KernelBuilder, inputs: Inputs, prefix: string) {
    this.#kernel = kernel;
    this.#inputs = inputs;
    this.#prefix = prefix;
  }
  size(size: Size): string {
    return this.#kernel.size(size);
  }
  /** Σ coordinate · stride + offset. */
  sum({ strides, offset }: Affine, coordinates: readonly string[]): string {
    const terms = strides.flatMap((stride, d) =>
      stride === 0 ? [] : [stride === 1 ? coordinates[d]! : `${coordinates[d]!} * ${this.size(stride)}`],
    );
    if (offset !== 0) terms.push(this.size(offset));
    return terms.join(" + ") || "0u";
  }
  /** The address of an element; `sum` prints its affine functions. */
  address({ access: { affine, indexed } }: MemoryLeaf, sum: (affine: Affine) => string): string {
    const offset = sum(affine);
    if (!indexed) return offset;
    const row = indexed.indices.reduce(
      (at, index) => `${this.#kernel.inputOnce(this.#inputs.of(index), "u32")}[${at}]`,
      sum(indexed.at),
    );
    const through = indexed.times === 1 ? row : `${row} * ${this.size(indexed.times)}`;
    return offset === "0u" ? through : `${through} + ${offset}`;
  }
  load({ value, dtype, parts }: MemoryLeaf, address: string): string {
    const input = this.#inputs.of(value);
    const codec = this.#inputs.codecs[input]!;
    const bound = this.#kernel.elementOf(input);
    if (bound === codec.four && bound !== codec.element(dtype)) {
      const four = this.#four(input);
      if (parts === 1) return `${four}((${address}) / 4u)[(${address}) % 4u]`;
    }
    const buffer = this.#kernel.inputOnce(input, codec.element(dtype));
    const word = parts === 1 ? codec.load(`${buffer}[${address}]`) : `${this.#total(buffer, parts)}(${address})`;
    return dtype === "bool" ? `(${word} != 0u)` : word;
  }
  /** Four elements of an f32, from a multiple of 4 on; `address`: in fours. */
  loadFour({ value }: MemoryLeaf, address: string): string {
    return `${this.#four(this.#inputs.of(value))}(${address})`;
  }
  /** The function that reads four elements of an input, which is bound so. */
  #four(input: number): string {
    const codec = this.#inputs.codecs[input]!;
    const isNew = !this.#kernel.isNamed(input);
    const buffer = this.#kernel.inputOnce(input, codec.four);
    const name = `four_${buffer}`;
    if (isNew) this.#kernel.function(codec.readFour(name, inBuffer(buffer), 1));
    return name;
  }
  fixed(leaf: Exclude<Leaf, MemoryLeaf>): string {
    if (leaf.kind === "row sum") return "ownSum";
    if (leaf.kind === "register")
      return leaf.dtype === "f16" ? `modc_f16(register${leaf.which})` : `register${leaf.which}`;
    const word = `sizes.${this.#kernel.word(leaf.value, leaf.dtype, `${this.#prefix}c${this.#constants++}`)}`;
    return leaf.dtype === "bool" ? `(${word} != 0u)` : word;
  }
  #total(buffer: string, parts: number): string {
    const name = `${this.#prefix}total_${buffer}`;
    if (!this.#totals.has(name)) {
      this.#totals.add(name);
      this.#kernel.function(
        `fn ${name}(at: u32) -> f32 {\n  var sum = 0.0;\n  for (var p = 0u; p < ${this.size(parts)}; p++) { sum ` +
          `+= ${buffer}[at + p]; }\n  return sum;\n}`,
      );
    }
    return name;
  }
}

export const printOperation = ({ node, inputs }: Operation, operands: readonly string[]): string =>
  printNode(ops, node, inputs, operands);

function printNode<K extends OpName>(
  table: OpTable,
  node: Node<K>,
  inputs: readonly TensorType[],
  operands: readonly string[],
): string {
  const { lower } = table[node.op];
  if (lower.kind === "constant") return lower.wgsl(node.attrs);
  invariant(lower.kind === "pointwise", `${node.op} is no expression`);
  return lower.wgsl(operands, node.attrs, inputs);
}

/** The coordinates a value depends on: the row (all dimensions but the last), the column (the last), both, or none. */
type Reach = "row" | "column" | "both" | "none";

const joined = (a: Reach, b: Reach): Reach => (a === b || b === "none" ? a : a === "none" ? b : "both");

/**
 * Prints an expression over rows (all dimensions but the last, as one) and columns in three parts: statements that
 * depend on the row alone, on the column alone, and on both.
 */
export class RowText {
  readonly rowFields: { readonly name: string; readonly type: string }[] = [];
  readonly rowLines: string[];
  readonly columnFields: { readonly name: string; readonly type: string }[] = [];
  readonly columnLines: string[] = [];
  readonly lines: string[] = [];
  /** If loads are separate from the computation: loads that depend on row and column, and fields for their values. */
  readonly takenLines: string[] = [];
  readonly takenFields: { readonly name: string; readonly type: string }[] = [];
  readonly #expression: Expression;
  readonly #prefix: string;
  readonly #texts: Texts;
  readonly #reach: readonly Reach[];
  readonly #leafReach: readonly Reach[];
  /** Names that another part reads, which therefore are struct fields. */
  readonly #fields = new Set<string>();
  readonly #fixed = new Map<number, string>();

  readonly #fours: boolean;
  readonly #apart: boolean;

  /**
   * `row` and `k` are in scope of the lines; `r` and `c` are the structs with the fields of row and column. `fours`:
   * what depends on the column is a vector of four from k on, a multiple of 4 (see `expression-fours.ts`). "apart":
   * loads stand apart, and `t` is the struct with their values.
   */
  constructor(
    kernel: KernelBuilder,
    expression: Expression,
    extents: Extents,
    inputs: Inputs,
    prefix: string,
    kind: "fours" | "apart" | null = null,
  ) {
    this.#expression = expression;
    this.#prefix = prefix;
    this.#fours = kind === "fours";
    this.#apart = kind === "apart";
    this.#texts = new Texts(kernel, inputs, prefix);
    this.#leafReach = expression.leaves.map(reachOf);
    const reach: Reach[] = [];
    for (const o of expression.operations) {
      const joint = o.operands.map((p) => (p < 0 ? this.#leafReach[-1 - p]! : reach[p]!)).reduce(joined, "none");
      // Values that depend on neither are computed with the row.
      reach.push(joint === "none" ? "row" : joint);
    }
    this.#reach = reach;
    const memory = expression.leaves.filter((l) => l.kind === "memory");
    const walks = memory.flatMap(affinesOf);
    const lead = collapse(extents, {
      sizes: expression.shape.slice(0, -1),
      strides: walks.map((a) => a.strides.slice(0, -1)),
    });
    const { statements, coordinates } = printCoordinates(
      lead.sizes.map((size, d) => (d === 0 ? ({ kind: "one" } as const) : kernel.countOf(size, `${prefix}lead${d}`))),
      lead.sizes.map((_, d) => lead.strides.some((s) => s[d] !== 0)),
      "row",
    );
    this.rowLines = [...statements];
    const leads = new Map(walks.map((a, n) => [a, { strides: lead.strides[n]!, offset: a.offset }]));
    this.#leaves((affine) => this.#texts.sum(leads.get(affine)!, coordinates));
    this.#operations();
  }
  #leaves(leadSum: (affine: Affine) => string): void {
    this.#expression.leaves.forEach((leaf, n) => {
      const name = `${this.#prefix}a${n}`;
      if (leaf.kind !== "memory") {
        this.#fixed.set(-1 - n, this.#texts.fixed(leaf));
        return;
      }
      const step = leaf.access.affine.strides.at(-1) ?? 0;
      const base = this.#texts.address(leaf, leadSum);
      const across = step === 1 ? "k" : `k * ${this.#texts.size(step)}`;
      switch (this.#leafReach[n]!) {
        case "none":
        case "row":
          this.rowLines.push(`let ${name} = ${this.#texts.load(leaf, base)};`);
          break;
        case "column": {
          const load = this.#fours
            ? this.#texts.loadFour(leaf, base === "0u" ? "k / 4u" : `(${base}) / 4u + k / 4u`)
            : this.#texts.load(leaf, base === "0u" ? across : `${base} + ${across}`);
          this.columnLines.push(`let ${name} = ${load};`);
          break;
        }
        case "both": {
          this.rowLines.push(`let ${name}_at = ${this.#fours ? `(${base}) / 4u` : base};`);
          this.rowFields.push({ name: `${name}_at`, type: "u32" });
          const load = this.#fours
            ? this.#texts.loadFour(leaf, `r.${name}_at + k / 4u`)
            : this.#texts.load(leaf, `r.${name}_at + ${across}`);
          if (this.#apart) this.takenFields.push({ name, type: wgslType(leaf.dtype) });
          (this.#apart ? this.takenLines : this.lines).push(`let ${name} = ${load};`);
          break;
        }
      }
    });
  }
  #operations(): void {
    this.#expression.operations.forEach((operation, n) => {
      const reach = this.#reach[n]!;
      const operands = operation.operands.map((p) => this.#nameIn(p, reach));
      const wide = this.#fours && (reach === "both" || reach === "column");
      const text = wide
        ? `vec4f(${LANES.map((lane) =>
            printOperation(
              operation,
              operands.map((name, i) => (this.isWide(operation.operands[i]!) ? `${name}.${lane}` : name)),
            ),
          ).join(", ")})`
        : printOperation(operation, operands);
      const line = `let ${this.#prefix}v${n} = ${text};`;
      (reach === "both" ? this.lines : reach === "column" ? this.columnLines : this.rowLines).push(line);
    });
  }
  /** Whether a place is a vector of four columns. */
  isWide(place: number): boolean {
    const reach = place < 0 ? this.#leafReach[-1 - place]! : this.#reach[place]!;
    return this.#fours && (reach === "both" || reach === "column");
  }
  /** The name of a result, in the scope of `lines`. */
  name(place: number): string {
    return this.#nameIn(place, "both");
  }
  #nameIn(place: number, reach: Reach): string {
    const fixed = this.#fixed.get(place);
    if (fixed !== undefined) return fixed;
    const name = place < 0 ? `${this.#prefix}a${-1 - place}` : `${this.#prefix}v${place}`;
    const nameReach = place < 0 ? this.#leafReach[-1 - place]! : this.#reach[place]!;
    if (nameReach === "both" && place < 0 && this.#apart) return `t.${name}`;
    if (reach !== "both" || nameReach === "both") return name;
    const dtype = dtypeAt(this.#expression, place);
    const [fields, of] = nameReach === "column" ? [this.columnFields, "c"] : [this.rowFields, "r"];
    if (!this.#fields.has(name)) {
      this.#fields.add(name);
      fields.push({ name, type: this.isWide(place) ? "vec4f" : wgslType(dtype) });
    }
    return `${of}.${name}`;
  }
}

const LANES = ["x", "y", "z", "w"] as const;

/** Registers depend on row and column; an indexed access depends on the row. */
export function reachOf(leaf: Leaf): Reach {
  // A row's sum comes after what else a row needs.
  if (leaf.kind === "register" || leaf.kind === "row sum") return "both";
  if (leaf.kind === "constant") return "none";
  const { affine, indexed } = leaf.access;
  const row = affine.strides.slice(0, -1).some((s) => s !== 0) || indexed !== null;
  const column = (affine.strides.at(-1) ?? 0) !== 0;
  return column ? (row ? "both" : "column") : "row";
}

/** Whether the expression can be split into rows and columns: no index depends on the column. */
export const splitsByRow = ({ leaves }: Expression): boolean =>
  leaves.every((leaf) => leaf.kind !== "memory" || (leaf.access.indexed?.at.strides.at(-1) ?? 0) === 0);

const structText = (name: string, fields: readonly { readonly name: string; readonly type: string }[]): string =>
  `struct ${name} { ${fields.map((f) => `${f.name}: ${f.type}`).join(", ") || "unused: u32"} }`;

/** `struct name` and `fn from(parameters) -> name` that computes its fields. */
export const structFunction = (
  name: string,
  signature: string,
  fields: readonly { readonly name: string; readonly type: string }[],
  lines: readonly string[],
): string =>
  `${structText(name, fields)}\nfn ${signature} -> ${name} {\n${lines.map((l) => `  ${l}\n`).join("")}  return ` +
  `${name}(${fields.map((f) => f.name).join(", ") || "0u"});\n}`;
