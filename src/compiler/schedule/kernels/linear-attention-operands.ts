// The operands of linear attention in its kernels: functions that read rows of each head, however they lie.
import { invariant } from "../../../ground/base/invariant.js";
import { divideSizes, isWhole, type Size } from "../../../ground/size/size.js";
import { packedAxis } from "../../ir/typing.js";
import type { TensorType } from "../../ir/types.js";
import { named } from "../../ops/linear-attention.js";
import { stridesOf } from "../addressing/index-map.js";
import type { Extents } from "../analysis/extents.js";
import { input, KernelBuilder, typeAt, type KernelContext, type Operand, type View } from "./spec.js";

export type Forward = KernelContext<"linear_attention"> | KernelContext<"linear_attention_from">;
export type Linear = Forward | KernelContext<"linear_attention_grad">;

/** An operand [heads, rows, width]: where element (head, row, column) lies in its buffer. */
export interface Rows {
  readonly type: TensorType;
  readonly from: Operand;
  readonly strides: readonly Size[];
  readonly offset: Size;
  /** 1 without a dimension of columns. */
  readonly width: number;
  /** Whether four columns are a vector. */
  readonly wide: boolean;
}

const NAMES = ["q", "k", "v", "starts", "decay", "forget", "at", "last"] as const;
export type Name = (typeof NAMES)[number];

/** The operands of a node, by name. `joined`: forget and at are one. */
export function operandsOf({ attrs, inputs, extents, views }: Linear, joined = false): ReadonlyMap<Name, Rows> {
  const indices = named(
    inputs.map((_, i) => i),
    attrs,
    joined,
  );
  return new Map(
    NAMES.flatMap((name) => {
      const i = indices[name];
      return i === undefined || name === "starts"
        ? []
        : [[name, rowsOf(typeAt(inputs, i), i, views[i] ?? null, extents)]];
    }),
  );
}

export function rowsOf(type: TensorType, index: number, view: View | null, extents: Extents): Rows {
  const strides = view?.strides ?? stridesOf(extents, type.shape);
  const offset = view?.offset ?? 0;
  const width = type.shape.length === 2 ? 1 : type.shape.at(-1);
  invariant(typeof width === "number", "widths of linear attention are known");
  const inFours = (size: Size): boolean => {
    const quarter = divideSizes(size, 4);
    return quarter !== null && isWhole(quarter);
  };
  const wide =
    type.shape.length === 3 && width % 4 === 0 && strides[2] === 1 && [...strides.slice(0, 2), offset].every(inFours);
  return { type, from: input(index), strides, offset, width, wide };
}

/**
 * Declares the functions of one kernel of linear attention. Rows that only the device counts are counted by the bound
 * starts.
 */
export class Kernel {
  readonly builder: KernelBuilder;
  readonly #extents: Extents;
  readonly heads: number;
  readonly #axis: string | null;

  constructor(file: string, { inputs, extents }: Linear) {
    const [heads, rows] = typeAt(inputs, 2).shape;
    invariant(typeof heads === "number", "the heads are known");
    this.heads = heads;
    this.#axis = packedAxis(rows!);
    this.#extents = extents;
    this.builder = new KernelBuilder(file, extents)
      .count("heads", heads)
      .count("batch", extents.batch)
      .read("starts", "u32", input(3));
  }

  #extent(name: string, size: Size): string {
    const device = this.#extents.deviceSize(size);
    if (device === null || device.axis !== this.#axis || device.plus !== 0) {
      this.builder.count(name, size);
      return `${name}()`;
    }
    this.builder.count(`${name}Each`, device.factor);
    return `starts[batch()] * ${name}Each()`;
  }

  /** `fn namePlace(h, row)` and `fn nameFour(place, c)`; zeros beyond the last column. `change`: of the value read. */
  fours(name: string, buffer: string, rows: Rows | undefined, otherwise = "vec4f()", change = (x: string) => x): void {
    const { builder } = this;
    if (!rows) {
      builder.function(`fn ${name}Place(h: u32, row: u32) -> u32 { return 0u; }`);
      builder.function(`fn ${name}Four(place: u32, c: u32) -> vec4f { return ${otherwise}; }`);
      return;
    }
    const place = this.#place(name, rows, rows.wide ? 4 : 1);
    builder.read(buffer, rows.wide ? "vec4f" : "f32", rows.from);
    builder.function(`fn ${name}Place(h: u32, row: u32) -> u32 { return ${place}; }`);
    if (rows.wide) {
      builder.function(`fn ${name}Four(place: u32, c: u32) -> vec4f { return ${change(`${buffer}[place + c]`)}; }`);
      return;
    }
    if (rows.width === 1 && rows.type.shape.length === 2) {
      const all = change(`vec4f(${buffer}[place])`);
      builder.function(`fn ${name}Four(place: u32, c: u32) -> vec4f { return ${all}; }`);
      return;
    }
    const columns = this.#extent(`${name}Columns`, rows.strides[2]!);
    builder.count(`${name}Width`, rows.width);
    builder.function(
      `fn ${name}Four(place: u32, c: u32) -> vec4f {\n  var x = vec4f();\n` +
        `  for (var i = 4u * c; i < min(${name}Width(), 4u * c + 4u); i++) { x[i - 4u * c] = ` +
        `${buffer}[place + i * ${columns}]; }\n  return ${change("x")};\n}`,
    );
  }

  /** `fn nameOne(h, row, column)`. */
  ones(name: string, buffer: string, rows: Rows | undefined, otherwise = "0.0", change = (x: string) => x): void {
    const { builder } = this;
    const signature = `fn ${name}One(h: u32, row: u32, column: u32) -> f32`;
    if (!rows) {
      builder.function(`${signature} { return ${otherwise}; }`);
      return;
    }
    builder.read(buffer, "f32", rows.from);
    const place = this.#place(name, rows, 1);
    const column =
      rows.type.shape.length === 2 ? "" : ` + column * ${this.#extent(`${name}Columns`, rows.strides[2]!)}`;
    builder.function(`${signature} { return ${change(`${buffer}[${place}${column}]`)}; }`);
  }

  /** Where a row of head h begins, in words of `each` elements. */
  #place(name: string, rows: Rows, each: number): string {
    const own = rows.type.shape[0];
    invariant(typeof own === "number", "the heads are known");
    const inWords = (size: Size): Size => (each === 1 ? size : divideSizes(size, each)!); // `wide` has checked it
    const heads = this.#extent(`${name}Heads`, inWords(rows.strides[0]!));
    const along = this.#extent(`${name}Rows`, inWords(rows.strides[1]!));
    const offset = rows.offset === 0 ? "" : ` + ${this.#extent(`${name}Offset`, inWords(rows.offset))}`;
    const shared = this.heads / own;
    let head = "h";
    if (shared > 1) {
      this.builder.count(`${name}Shared`, shared);
      head = `h / ${name}Shared()`;
    }
    return `${head} * ${heads} + row * ${along}${offset}`;
  }

  /** Where element (h, row, j) lies. */
  element(name: string, { strides, offset }: View): string {
    const [heads, rows, columns] = ["Heads", "Rows", "Columns"].map((of, d) => this.#extent(name + of, strides[d]!));
    const from = offset === 0 ? "" : ` + ${this.#extent(`${name}Offset`, offset)}`;
    return `h * ${heads} + row * ${rows} + j * ${columns}${from}`;
  }

  /** The element (part, h, row, column) of a buffer [parts, heads, rows, width], as an index of fours or of ones. */
  static part(part: number, width: string, column: string): string {
    const head = part === 0 ? "h" : `(${part}u * heads() + h)`;
    return `(${head} * starts[batch()] + row) * ${width} + ${column}`;
  }
}

export const exponential = (x: string): string => `exp(${x})`;
export const quartersOf = (width: number): number => Math.ceil(width / 4);

export function widthsOf(operands: ReadonlyMap<Name, Rows>): { readonly width: number; readonly columns: number } {
  return { width: operands.get("k")!.width, columns: operands.get("v")!.width };
}

/** Operands that a column of the state is made with. `joined`: `at` lies behind `forget` in one operand. */
export function declareColumns(kernel: Kernel, operands: ReadonlyMap<Name, Rows>, joined: boolean): void {
  kernel.fours("key", "k", operands.get("k"));
  kernel.fours("factor", "decay", operands.get("decay"), "vec4f(1.0)", exponential);
  kernel.fours("forget", "forget", operands.get("forget"));
  declareAt(kernel, operands, joined);
}

/** `atPlace` and `atFour`. `joined`: behind `forget`. */
export function declareAt(kernel: Kernel, operands: ReadonlyMap<Name, Rows>, joined: boolean): void {
  const { width } = widthsOf(operands);
  if (!joined) {
    kernel.fours("at", "at", operands.get("at"));
    return;
  }
  kernel.builder.function("fn atPlace(h: u32, row: u32) -> u32 { return forgetPlace(h, row); }");
  const read = operands.get("forget")!;
  kernel.builder.function(
    read.wide && width % 4 === 0
      ? `fn atFour(place: u32, c: u32) -> vec4f { return forgetFour(place, c + ${width / 4}u); }`
      : `fn atFour(place: u32, c: u32) -> vec4f {\n  var x = vec4f();\n` +
          `  for (var i = 0u; i < min(4u, ${width}u - 4u * c); i++) {\n` +
          `    let entry = ${width}u + 4u * c + i;\n` +
          "    x[i] = forgetFour(place, entry / 4u)[entry % 4u];\n" +
          "  }\n  return x;\n}",
  );
}
