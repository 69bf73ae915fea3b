// Decides whether two models with corresponding weights compute the same: the same operations with the same attributes,
// with sums and products in any order and grouping.
import type { Model, Value } from "../../language/check/model.js";
import { textInputsOf } from "../../language/check/text-inputs.js";
import type { Size } from "../../ground/size/size.js";

/** Results of a model, or its losses. */
export type Results = readonly { readonly value: Value }[];

/**
 * Maps each weight path of `model` to the path of the corresponding weight of `other`. Null if the `results` of both
 * models are not the same computation, or some weight does not take part. Each model has one sequence.
 */
export function correspondence(
  model: Model,
  other: Model,
  results: (model: Model) => Results,
): ReadonlyMap<string, string> | null {
  const numbers = new Map<string, number>();
  const [own, theirs] = [new Numbered(model, numbers), new Numbered(other, numbers)];
  const [a, b] = [results(model), results(other)];
  if (a.length !== b.length || a.some(({ value }, i) => own.of(value) !== theirs.of(b[i]!.value))) return null;
  const found = new Map<string, string>();
  const seen = new Map<Value, Value>();
  const todo = a.map(({ value }, i): readonly [Value, Value] => [value, b[i]!.value]);
  for (let pair = todo.pop(); pair; pair = todo.pop()) {
    const [x, y] = pair;
    if (seen.get(x) === y) continue;
    seen.set(x, y);
    if (isOp(x, "weight") && isOp(y, "weight")) {
      if ((found.get(x.attrs.path) ?? y.attrs.path) !== y.attrs.path) return null;
      found.set(x.attrs.path, y.attrs.path);
    }
    const [xs, ys] = [own.operands(x), theirs.operands(y)];
    xs.forEach((operand, i) => todo.push([operand, ys[i]!]));
  }
  const whole = found.size === model.weights.length && found.size === other.weights.length;
  return whole && new Set(found.values()).size === found.size ? found : null;
}

const isOp = <K extends Value["op"]>(value: Value, op: K): value is Value<K> => value.op === op;

/**
 * Numbers the values of models. Two values of any models have equal numbers if they are the same computation up to the
 * choice of weights.
 */
class Numbered {
  readonly #of = new Map<Value, number>();
  readonly #operands = new Map<Value, readonly Value[]>();

  readonly #roles: ReadonlyMap<Value, string>;

  constructor(
    private readonly model: Model,
    private readonly numbers: Map<string, number>,
  ) {
    const text = textInputsOf(model);
    this.#roles = new Map(
      text ? model.inputs.map(({ name, value }) => [value, name === text.tokens ? "tokens" : "targets"]) : [],
    );
  }

  of(value: Value): number {
    const known = this.#of.get(value);
    if (known !== undefined) return known;
    const key = JSON.stringify([
      value.op,
      this.#attributes(value),
      value.type.dtype,
      value.type.shape.map((size) => this.#size(size)),
      this.operands(value).map((operand) => this.of(operand)),
    ]);
    const number = this.numbers.get(key) ?? this.numbers.size;
    this.numbers.set(key, number);
    this.#of.set(value, number);
    return number;
  }

  /** The operands of a value; for sums and products all terms and factors, ordered by number. */
  operands(value: Value): readonly Value[] {
    const known = this.#operands.get(value);
    if (known) return known;
    const found = this.#found(value);
    this.#operands.set(value, found);
    return found;
  }

  #found(value: Value): readonly Value[] {
    const fn = commutative(value);
    if (fn === null) return value.inputs;
    const flat = (x: Value): readonly Value[] => (commutative(x) === fn ? x.inputs.flatMap(flat) : [x]);
    return value.inputs.flatMap(flat).sort((x, y) => this.of(x) - this.of(y));
  }

  /** The key of an input is its role in the text, tokens or targets; for other inputs, their name. */
  #attributes(value: Value): unknown {
    if (isOp(value, "weight")) return null;
    if (isOp(value, "input")) return this.#roles.get(value) ?? value.attrs;
    return JSON.parse(JSON.stringify(value.attrs, (_, x: unknown) => (typeof x === "bigint" ? String(x) : x)));
  }

  /** Axes are identified by role, not by name. */
  #size(size: Size): string {
    if (typeof size === "number") return String(size);
    return this.model.axes.find(({ name }) => name === size.key)?.role ?? size.key;
  }
}

const commutative = (value: Value): string | null =>
  isOp(value, "pointwise") && (value.attrs.fn === "add" || value.attrs.fn === "mul") ? value.attrs.fn : null;
