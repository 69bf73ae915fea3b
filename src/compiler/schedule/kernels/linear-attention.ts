// Specs of linear attention and its gradient: in chunks, or by kernels that go through the rows of a sequence with a
// column of the state in each lane, or a row of it.
import { invariant } from "../../../ground/base/invariant.js";
import { stridesOf } from "../addressing/index-map.js";
import type { Step } from "../plan/plan.js";
import { chunkedGradient, chunkedWork } from "./linear-attention-work.js";
import {
  declareColumns,
  exponential,
  Kernel,
  operandsOf,
  quartersOf,
  rowsOf,
  widthsOf,
  type Forward,
  type Linear,
} from "./linear-attention-operands.js";
import { input, result, scratch, typeAt, work, type Operand, type Spec, type Work } from "./spec.js";

/** Lanes of a workgroup. Each goes through a whole sequence, so few lanes spread a head over several workgroups. */
const LANES = 32;

/** A kernel with a column of the state in each lane, or a row of it, of so many `vec4f`. */
const byLanes = (file: string, context: Linear, quarters: number, forgets: boolean): Kernel => {
  const kernel = new Kernel(file, context);
  kernel.builder.constant("LANES", LANES).constant("QUARTERS", quarters).constant("FORGETS", Number(forgets));
  return kernel;
};

/** The dispatch with a lane for each of `count` columns or rows of the state of each head and sequence. */
const overLanes = ({ extents }: Linear, { builder, heads }: Kernel, count: number): Step<Operand> =>
  builder.dispatch(extents.ceilDivide(extents.times(extents.batch, heads * count), LANES));

/**
 * In chunks if the device can compute these and a sequence may have more than a few rows, else row by row: so steps of
 * generation, whose axis has the bound 1, go row by row. No run decides by its rows, so that a sequence has the same
 * bits alone and beside others. `continues`: from a state, with forget and at as one operand.
 */
const forward = (context: Forward, continues: boolean): Work =>
  chunkedWork(context, continues) ?? byRows(context, continues);

/** Row after row. */
function byRows(context: Forward, continues: boolean): Work {
  const { attrs, inputs, extents, views, resultViews } = context;
  const operands = operandsOf(context, continues);
  const { width, columns } = widthsOf(operands);
  const kernel = byLanes("linear_attention", context, quartersOf(width), attrs.forgets);
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
  return work([...steps, overLanes(context, kernel, columns)]);
}

const linearAttention: Spec<"linear_attention"> = (context) => forward(context, false);
const linearAttentionFrom: Spec<"linear_attention_from"> = (context) => forward(context, true);

const linearAttentionGrad: Spec<"linear_attention_grad"> = (context) =>
  chunkedGradient(context) ?? gradientByRows(context);

const gradientByRows: Spec<"linear_attention_grad"> = (context) => {
  const { attrs, inputs, extents, views } = context;
  const { forgets, scale } = attrs;
  const operands = operandsOf(context);
  const { width, columns } = widthsOf(operands);
  const last = inputs.length - 1;
  const dy = rowsOf(typeAt(inputs, last), last, views[last] ?? null, extents);

  // If rows forget, one buffer holds dv, dr and r.
  const made = forgets ? scratch() : result(0);

  /** r: the queries are not read. */
  const recall = (): Step<Operand> => {
    const kernel = byLanes("linear_attention", context, quartersOf(width), true);
    kernel.fours("query", "q", undefined);
    declareColumns(kernel, operands, false);
    kernel.ones("value", "v", operands.get("v"));
    kernel.builder
      .count("columns", columns)
      .value("scale", scale, "f32")
      .write("y", "f32", scratch())
      .function(
        "fn write(h: u32, row: u32, j: u32, sum: f32, recalled: f32) { " +
          `y[${Kernel.part(2, "columns()", "j")}] = recalled; }`,
      )
      .function("fn stateBefore(b: u32, h: u32, j: u32, c: u32) -> vec4f { return vec4f(); }")
      .function("fn keepState(b: u32, h: u32, j: u32, c: u32, s: vec4f) {}");
    return overLanes(context, kernel, columns);
  };

  const ofColumns = (): Step<Operand> => {
    const kernel = byLanes("linear_attention_columns_grad", context, quartersOf(width), forgets);
    kernel.fours("query", "q", operands.get("q"));
    declareColumns(kernel, operands, false);
    kernel.ones("change", "dy", dy);
    const more = forgets ? ` made[${Kernel.part(1, "columns()", "j")}] = dr;` : "";
    kernel.builder
      .count("columns", columns)
      .value("scale", scale, "f32")
      .write("made", "f32", made)
      .function(
        "fn write(h: u32, row: u32, j: u32, dv: f32, dr: f32) { " +
          `made[${Kernel.part(0, "columns()", "j")}] = dv;${more} }`,
      );
    return overLanes(context, kernel, columns);
  };

  /** What both kernels with a row of the state in each lane read, and their result. */
  const ofRows = (file: string, to: number, declare: (kernel: Kernel) => void): Step<Operand> => {
    const kernel = byLanes(file, context, quartersOf(columns), forgets);
    declare(kernel);
    kernel.ones("factor", "decay", operands.get("decay"), "1.0", exponential);
    kernel.fours("value", "v", operands.get("v"));
    kernel.fours("change", "dy", dy);
    const { builder } = kernel;
    builder.count("width", width).value("scale", scale, "f32");
    const wide = columns % 4 === 0;
    if (forgets) builder.read("recalls", wide ? "vec4f" : "f32", scratch());
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
    return overLanes(context, kernel, width);
  };

  const ofQueries = ofRows("linear_attention_queries_grad", 1, (kernel) => {
    kernel.ones("key", "k", operands.get("k"));
    kernel.ones("forget", "forget", operands.get("forget"));
  });
  const ofKeys = ofRows("linear_attention_keys_grad", 2, (kernel) => {
    kernel.ones("query", "q", operands.get("q"));
    kernel.ones("at", "at", operands.get("at"));
  });
  const bytes = extents.bytes(typeAt(inputs, 2));
  if (!forgets) return work([ofColumns(), ofQueries, ofKeys]);
  const copy: Step<Operand> = { kind: "copy", from: scratch(), to: result(0), bytes };
  return work([recall(), ofColumns(), ofQueries, ofKeys, copy], [extents.times(3, bytes)]);
};

export const linearAttentionSpecs = {
  linear_attention: linearAttention,
  linear_attention_from: linearAttentionFrom,
  linear_attention_grad: linearAttentionGrad,
};
