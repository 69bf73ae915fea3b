// Models made by hand, one logical operation at a time, for tests of lowering that need no text.
import type { LogicalAttrs, LogicalOp, Model, ModelInput, Value } from "../../../src/language/check/model/model.js";
import type { Axis } from "../../../src/ground/size/axes.js";
import type { CountRule } from "../../../src/ground/size/count-rules.js";
import type { DType } from "../../../src/ground/base/dtype.js";
import { parseSize } from "../../../src/ground/size/parse-size.js";
import { normal, type Size } from "../../../src/ground/size/size.js";

export type Shape = readonly (string | number)[];
export const sizes = (shape: Shape): readonly Size[] =>
  shape.map((s) => (typeof s === "number" ? s : normal(parseSize(s))));

export class ModelBuilder {
  readonly axes: Axis[] = [];
  readonly inputs: ModelInput[] = [];
  readonly outputs: { name: string; value: Value }[] = [];
  readonly weights = new Map<string, { dtype: DType; shape: readonly number[] }>();
  #values = 0;

  constructor() {
    this.axes.push({ role: "batch", name: "B", bound: null });
    this.sequence("T", { kind: "input" });
  }
  sequence(name: string, count: CountRule): string {
    this.axes.push({ role: "sequence", name, bound: 64, count });
    return name;
  }
  value<K extends LogicalOp>(
    op: K,
    inputs: readonly Value[],
    attrs: LogicalAttrs[K],
    dtype: DType,
    shape: Shape,
  ): Value<K> {
    const id = this.#values++;
    return {
      id,
      op,
      inputs,
      attrs,
      type: { dtype, shape: sizes(shape) },
      span: { file: "hand.mod", start: id, end: id + 1 },
      path: `call${id}`,
    };
  }
  input(name: string, dtype: DType, shape: Shape): Value<"input"> {
    const value = this.value("input", [], { name }, dtype, shape);
    this.inputs.push({ name, type: value.type, value, span: value.span });
    return value;
  }
  weight(path: string, shape: readonly number[], dtype: DType = "f32"): Value<"weight"> {
    this.weights.set(path, { dtype, shape });
    return this.value("weight", [], { path }, dtype, shape);
  }
  state(path: string, shape: readonly number[]): Value<"state"> {
    this.weights.set(path, { dtype: "f32", shape });
    return this.value("state", [], { path }, "f32", shape);
  }
  number(value: number, dtype: DType = "f32"): Value<"number"> {
    return this.value("number", [], { value }, dtype, []);
  }
  top(score: Value, parent: string, axis: string, k: string | number): Value<"top"> {
    this.sequence(axis, { kind: "top", parent, k: sizes([k])[0]! });
    return this.value("top", [score], { axis }, "u32", ["B", axis]);
  }
  above(score: Value, threshold: Value, parent: string, axis: string): Value<"above"> {
    this.sequence(axis, { kind: "above", parent, expected: { num: 1n, den: 1n } });
    return this.value("above", [score, threshold], { axis }, "u32", ["B", axis]);
  }
  those(mask: Value, parent: string, axis: string, rule?: CountRule): Value<"those"> {
    this.sequence(axis, rule ?? { kind: "above", parent, expected: { num: 1n, den: 1n } });
    return this.value("those", [mask], { axis }, "u32", ["B", axis]);
  }
  output(value: Value, name = "output"): void {
    this.outputs.push({ name, value });
  }
  model(): Model {
    return {
      name: "Hand",
      file: "hand.mod",
      phase: "infer",
      entry: "forward",
      parameters: [],
      axes: this.axes,
      live: [],
      instances: [],
      calls: [],
      weights: [...this.weights].map(([path, { dtype, shape }]) => ({
        kind: "weight",
        path,
        dtype,
        shape,
        init: { kind: "zeros" },
        keys: [path],
        doc: null,
        span: { file: "hand.mod", start: 0, end: 0 },
      })),
      ignore: [],
      models: [],
      inputs: this.inputs,
      outputs: this.outputs,
      losses: [],
      observes: [],
      updates: [],
      routes: [],
      mixtures: [],
    };
  }
}
