// Builds an ONNX graph: nodes, constants, weights, inputs and outputs. Equal nodes are shared.
import { invariant } from "../../../ground/base/invariant.js";
import type { ModelWeight } from "../../../language/check/model/model.js";

/** Element types, with their numbers in TensorProto. */
export const ELEMENTS = {
  f32: 1,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  f64: 11,
  u32: 12,
  bf16: 16,
} as const;
export type Element = keyof typeof ELEMENTS;

/** The name of a tensor in the graph. */
export type Name = string & { readonly __tensor?: never };

export type Attributes = Readonly<Record<string, number | readonly number[] | string>>;

export interface OnnxNode {
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly Name[];
  readonly outputs: readonly Name[];
  readonly attrs: Attributes;
}

/** A small constant that comes from the model's text. */
export interface Constant {
  readonly name: Name;
  readonly element: "f32" | "f64" | "i64" | "bool";
  readonly shape: readonly number[];
  readonly values: readonly (number | bigint)[];
}

/** The storage type of a weight in the file. */
export type Stored = "f32" | "f16" | "bf16" | "i32" | "u32" | "bool";

export interface StoredWeight {
  readonly name: Name;
  readonly weight: ModelWeight;
  readonly stored: Stored;
}

/** An input or output. A string in the shape names a dimension whose size each run decides. */
export interface Port {
  readonly name: Name;
  readonly element: Element;
  readonly shape: readonly (number | string)[];
  readonly doc: string;
}

/** The largest index; as the end of a slice it means "to the end". */
export const END = 9223372036854775807n;

/** A number as part of a name; fractions have six digits. */
const digits = (value: number | bigint): string =>
  typeof value === "bigint" || Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));

export class GraphBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly constants: Constant[] = [];
  readonly weights: StoredWeight[] = [];
  readonly inputs: Port[] = [];
  readonly outputs: Port[] = [];
  /** The call path that prefixes node names. */
  path = "";
  readonly #names = new Set<string>();
  readonly #counts = new Map<string, number>();
  readonly #known = new Map<string, readonly Name[]>();

  /** Reserves a fixed name. */
  reserve(name: string): Name {
    invariant(!this.#names.has(name), `two tensors are named ${name}`);
    this.#names.add(name);
    return name;
  }

  /** An input; `usual` is its default value, which makes the input optional. */
  input(port: Port, usual: Constant["values"] | null = null): Name {
    this.inputs.push(port);
    if (usual) this.constants.push({ name: port.name, element: "i64", shape: [usual.length], values: usual });
    return this.reserve(port.name);
  }

  /** Makes a tensor a graph output under its reserved name. */
  output(port: Port, from: Name): void {
    this.nodes.push({ op: "Identity", name: this.#fresh("Identity"), inputs: [from], outputs: [port.name], attrs: {} });
    this.outputs.push(port);
  }

  /** The outputs of a node; an equal existing node is reused. */
  results(op: string, inputs: readonly Name[], attrs: Attributes, count: number): readonly Name[] {
    const key = JSON.stringify([op, inputs, attrs, count]);
    let outputs = this.#known.get(key);
    if (!outputs) {
      const name = this.#fresh(`${this.path === "" ? "" : `${this.path}/`}${op}`);
      outputs = Array.from({ length: count }, (_, i) => (i === 0 ? name : this.#fresh(`${name}.${i}`)));
      this.#known.set(key, outputs);
      this.nodes.push({ op, name, inputs, outputs, attrs });
    }
    return outputs;
  }

  node(op: string, inputs: readonly Name[], attrs: Attributes = {}): Name {
    return this.results(op, inputs, attrs, 1)[0]!;
  }

  constant(element: Constant["element"], shape: readonly number[], values: Constant["values"]): Name {
    const shown = values.map((value) => (Object.is(value, -0) ? "-0" : String(value)));
    const key = `${element}[${shape.join(", ")}] ${shown.join(" ")}`;
    const known = this.#known.get(key);
    if (known) return known[0]!;
    const name = this.#fresh(`constants/${element}_${values.length > 4 ? "table" : values.map(digits).join("_")}`);
    this.#known.set(key, [name]);
    this.constants.push({ name, element, shape, values });
    return name;
  }

  /** i64[n]. */
  ints(...values: readonly (number | bigint)[]): Name {
    return this.constant("i64", [values.length], values);
  }

  /** i64[]. */
  int(value: number | bigint): Name {
    return this.constant("i64", [], [value]);
  }

  /** f32[]. */
  float(value: number): Name {
    return this.constant("f32", [], [Math.fround(value)]);
  }

  weight(weight: ModelWeight, stored: Stored): Name {
    const name = this.#fresh(weight.path);
    this.weights.push({ name, weight, stored });
    return name;
  }

  /** Removes nodes and constants that no output needs. */
  prune(): void {
    const used = new Set([...this.inputs, ...this.outputs].map(({ name }) => name));
    const kept = this.nodes.toReversed().filter(({ inputs, outputs }) => {
      const needed = outputs.some((name) => used.has(name));
      if (needed) for (const name of inputs) used.add(name);
      return needed;
    });
    this.nodes.splice(0, this.nodes.length, ...kept.reverse());
    const isUsed = ({ name }: { readonly name: Name }): boolean => used.has(name);
    this.constants.splice(0, this.constants.length, ...this.constants.filter(isUsed));
    this.weights.splice(0, this.weights.length, ...this.weights.filter(isUsed));
  }

  #fresh(wanted: string): Name {
    let name = wanted;
    while (this.#names.has(name)) {
      const n = (this.#counts.get(wanted) ?? 1) + 1;
      this.#counts.set(wanted, n);
      name = `${wanted}_${n}`;
    }
    this.#names.add(name);
    return name;
  }
}
