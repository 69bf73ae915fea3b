// What the cases of lowering are written with: inputs, scores and pairs of tokens.
import type { LogicalAttrs, LogicalOp, Value } from "../../../src/language/check/model/model.js";
import type { ModelBuilder, Shape } from "./model-builder.js";

export interface Case {
  readonly op: LogicalOp;
  readonly name: string;
  build(m: ModelBuilder): void;
}

export const D = 4;
export const x = (m: ModelBuilder, name = "x", shape: Shape = ["B", "T", D]): Value => m.input(name, "f32", shape);
export const pointwise = (
  m: ModelBuilder,
  fn: LogicalAttrs["pointwise"]["fn"],
  inputs: readonly Value[],
  shape: Shape,
  dtype: "f32" | "bool" = "f32",
): Value => m.value("pointwise", inputs, { fn }, dtype, shape);
export const mul = (m: ModelBuilder, a: Value, b: Value, shape: Shape): Value => pointwise(m, "mul", [a, b], shape);
/** A score per token: f32[B, T]. */
export const score = (m: ModelBuilder, of: Value, axis = "T"): Value =>
  m.value("reduce", [of], { fn: "sum", axes: [2], keep: false }, "f32", ["B", axis]);
/** [B, H, T, S]: the products of all pairs. */
export const pairs = (m: ModelBuilder, a: Value): Value => {
  const h = m.value("permute", [m.value("reshape", [a], {}, "f32", ["B", "T", 2, 2])], { order: [0, 2, 1, 3] }, "f32", [
    "B",
    2,
    "T",
    2,
  ]);
  const t = m.value("permute", [h], { order: [0, 1, 3, 2] }, "f32", ["B", 2, 2, "T"]);
  return m.value("matmul", [h, t], {}, "f32", ["B", 2, "T", "T"]);
};
export const add = (op: LogicalOp, name: string, build: (m: ModelBuilder) => Value): Case => ({
  op,
  name,
  build: (m) => m.output(build(m)),
});
