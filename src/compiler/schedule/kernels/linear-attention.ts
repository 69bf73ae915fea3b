// Specs of linear attention and its gradient: kernels that go through the rows of a sequence with a column of the state
// in each lane, or a row of it.
import { invariant } from "../../../ground/base/invariant.js";
import { divideSizes, isWhole, type Size } from "../../../ground/size/size.js";
import { packedAxis } from "../../ir/typing.js";
import type { TensorType } from "../../ir/types.js";
import { named } from "../../ops/linear-attention.js";
import { stridesOf } from "../addressing/index-map.js";
import type { Extents } from "../analysis/extents.js";
import type { Step } from "../plan/plan.js";
import {
  input,
  KernelBuilder,
  result,
  typeAt,
  work,
  type KernelContext,
  type Operand,
  type Spec,
  type View,
  type Work,
} from "./spec.js";

type Forward = KernelContext<"linear_attention"> | KernelContext<"linear_attention_from">;
type Linear = Forward | KernelContext<"linear_attention_grad">;

/** Lanes of a workgroup. Each goes through a whole sequence, so few lanes spread a head over several workgroups. */
const LANES = 32;

/** An operand [heads, rows, width]: where element (head, row, column) lies in its buffer. */
interface Rows {
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
type Name = (typeof NAMES)[number];

/** The operands of a node, by name. `joined`: forget and at are one. */
function operandsOf({ attrs, inputs, extents, views }: Linear, joined = false): ReadonlyMap<Name, Rows> {
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

function rowsOf(type: TensorType, index: number, view: View | null, extents: Extents): Rows {
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

/** Declares the functions of one kernel. Rows that only the device counts are counted by the bound starts. */
class Kernel {
  readonly builder: KernelBuilder;
  readonly #extents: Extents;
  readonly #heads: number;
  readonly #axis: string | null;

  constructor(file: string, { inputs, extents }: Linear, quarters: number, forgets: boolean) {
    const [heads, rows] = typeAt(inputs, 2).shape;
    invariant(typeof heads === "number", "the heads are known");
    this.#heads = heads;
    this.#axis = packedAxis(rows!);
    this.#extents = extents;
    this.builder = new KernelBuilder(file, extents)
      .constant("LANES", LANES)
      .constant("QUARTERS", quarters)
      .constant("FORGETS", Number(forgets))
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
    const shared = this.#heads / own;
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

  dispatch(columns: number): Step<Operand> {
    const lanes = this.#extents.times(this.#extents.batch, this.#heads * columns);
    return this.builder.dispatch(this.#extents.ceilDivide(lanes, LANES));
  }
}

const exponential = (x: string): string => `exp(${x})`;
const quartersOf = (width: number): number => Math.ceil(width / 4);

function widthsOf(operands: ReadonlyMap<Name, Rows>): { readonly width: number; readonly columns: number } {
  return { width: operands.get("k")!.width, columns: operands.get("v")!.width };
}

/** Operands that a column of the state is made with. `joined`: `at` lies behind `forget` in one operand. */
function declareColumns(kernel: Kernel, operands: ReadonlyMap<Name, Rows>, joined: boolean): void {
  const { width } = widthsOf(operands);
  kernel.fours("key", "k", operands.get("k"));
  kernel.fours("factor", "decay", operands.get("decay"), "vec4f(1.0)", exponential);
  kernel.fours("forget", "forget", operands.get("forget"));
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

/** `continues`: from a state, with forget and at as one operand. */
function forward(context: Forward, continues: boolean): Work {
  const { attrs, inputs, extents, views, resultViews } = context;
  const operands = operandsOf(context, continues);
  const { width, columns } = widthsOf(operands);
  const kernel = new Kernel("linear_attention", context, quartersOf(width), attrs.forgets);
  const { builder } = kernel;
  kernel.fours("query", "q", operands.get("q"));
  declareColumns(kernel, operands, continues && attrs.forgets);
  kernel.ones("value", "v", operands.get("v"));
  builder.count("columns", columns).value("scale", attrs.scale, "f32").write("y", "f32", result(0));
  const y = typeAt(context.results, 0);
  const strides = resultViews[0]?.strides ?? stridesOf(extents, y.shape);
  const place = kernel.element("result", { strides, offset: resultViews[0]?.offset ?? 0 });
  builder.function(`fn write(h: u32, row: u32, j: u32, sum: f32, recalled: f32) { y[${place}] = sum; }`);
  const steps: Step<Operand>[] = [];
  if (continues) {
    const state = inputs.length - 1;
    invariant(!views[state], "states are row-major");
    steps.push({ kind: "copy", from: input(state), to: result(1), bytes: extents.bytes(typeAt(inputs, state)) });
    builder.write("states", "f32", result(1)).count("stateRows", width);
    const at = "((b * heads() + h) * stateRows() + i) * columns() + j";
    const each = (body: string): string => `for (var i = 4u * c; i < min(stateRows(), 4u * c + 4u); i++) { ${body} }`;
    builder.function(
      "fn stateBefore(b: u32, h: u32, j: u32, c: u32) -> vec4f {\n  var s = vec4f();\n  " +
        `${each(`s[i - 4u * c] = states[${at}];`)}\n  return s;\n}`,
    );
    builder.function(
      `fn keepState(b: u32, h: u32, j: u32, c: u32, s: vec4f) {\n  ${each(`states[${at}] = s[i - 4u * c];`)}\n}`,
    );
  } else {
    builder.function("fn stateBefore(b: u32, h: u32, j: u32, c: u32) -> vec4f { return vec4f(); }");
    builder.function("fn keepState(b: u32, h: u32, j: u32, c: u32, s: vec4f) {}");
  }
  return work([...steps, kernel.dispatch(columns)]);
}

const linearAttention: Spec<"linear_attention"> = (context) => forward(context, false);
const linearAttentionFrom: Spec<"linear_attention_from"> = (context) => forward(context, true);

const linearAttentionGrad: Spec<"linear_attention_grad"> = (context) => {
  const { attrs, inputs, extents, views } = context;
  const { forgets, scale } = attrs;
  const operands = operandsOf(context);
  const { width, columns } = widthsOf(operands);
  const last = inputs.length - 1;
  const dy = rowsOf(typeAt(inputs, last), last, views[last] ?? null, extents);

  /** r, into part 2 of the first result: the queries are not read. */
  const recall = (): Step<Operand> => {
    const kernel = new Kernel("linear_attention", context, quartersOf(width), true);
    kernel.fours("query", "q", undefined);
    declareColumns(kernel, operands, false);
    kernel.ones("value", "v", operands.get("v"));
    kernel.builder
      .count("columns", columns)
      .value("scale", scale, "f32")
      .write("y", "f32", result(0))
      .function(
        "fn write(h: u32, row: u32, j: u32, sum: f32, recalled: f32) { " +
          `y[${Kernel.part(2, "columns()", "j")}] = recalled; }`,
      )
      .function("fn stateBefore(b: u32, h: u32, j: u32, c: u32) -> vec4f { return vec4f(); }")
      .function("fn keepState(b: u32, h: u32, j: u32, c: u32, s: vec4f) {}");
    return kernel.dispatch(columns);
  };

  const ofColumns = (): Step<Operand> => {
    const kernel = new Kernel("linear_attention_columns_grad", context, quartersOf(width), forgets);
    kernel.fours("query", "q", operands.get("q"));
    declareColumns(kernel, operands, false);
    kernel.ones("change", "dy", dy);
    const more = forgets ? ` made[${Kernel.part(1, "columns()", "j")}] = dr;` : "";
    kernel.builder
      .count("columns", columns)
      .value("scale", scale, "f32")
      .write("made", "f32", result(0))
      .function(
        "fn write(h: u32, row: u32, j: u32, dv: f32, dr: f32) { " +
          `made[${Kernel.part(0, "columns()", "j")}] = dv;${more} }`,
      );
    return kernel.dispatch(columns);
  };

  /** What both kernels with a row of the state in each lane read, and their result. */
  const ofRows = (file: string, to: number, declare: (kernel: Kernel) => void): Step<Operand> => {
    const kernel = new Kernel(file, context, quartersOf(columns), forgets);
    declare(kernel);
    kernel.ones("factor", "decay", operands.get("decay"), "1.0", exponential);
    kernel.fours("value", "v", operands.get("v"));
    kernel.fours("change", "dy", dy);
    const { builder } = kernel;
    builder.count("width", width).value("scale", scale, "f32");
    const wide = columns % 4 === 0;
    if (forgets) builder.read("recalls", wide ? "vec4f" : "f32", result(0));
    for (const [name, part] of [
      ["recalledFour", 2],
      ["recalledChange", 1],
    ] as const) {
      const signature = `fn ${name}(h: u32, row: u32, c: u32) -> vec4f`;
      const fours = `recalls[${Kernel.part(part, `${columns / 4}u`, "c")}]`;
      builder.function(
        !forgets
          ? `${signature} { return vec4f(); }`
          : wide
            ? `${signature} { return ${fours}; }`
            : `${signature} {\n  var x = vec4f();\n  for (var i = 4u * c; i < min(${columns}u, 4u * c + 4u); i++) { ` +
              `x[i - 4u * c] = recalls[${Kernel.part(part, `${columns}u`, "i")}]; }\n  return x;\n}`,
      );
    }
    const more = forgets ? ` made[${Kernel.part(1, "width()", "i")}] = second;` : "";
    builder
      .write("made", "f32", result(to))
      .function(
        "fn write(h: u32, row: u32, i: u32, first: f32, second: f32) { " +
          `made[${Kernel.part(0, "width()", "i")}] = first;${more} }`,
      );
    return kernel.dispatch(width);
  };

  const ofQueries = ofRows("linear_attention_queries_grad", 1, (kernel) => {
    kernel.ones("key", "k", operands.get("k"));
    kernel.ones("forget", "forget", operands.get("forget"));
  });
  const ofKeys = ofRows("linear_attention_keys_grad", 2, (kernel) => {
    kernel.ones("query", "q", operands.get("q"));
    kernel.ones("at", "at", operands.get("at"));
  });
  return work([...(forgets ? [recall()] : []), ofColumns(), ofQueries, ofKeys]);
};

export const linearAttentionSpecs = {
  linear_attention: linearAttention,
  linear_attention_from: linearAttentionFrom,
  linear_attention_grad: linearAttentionGrad,
};
