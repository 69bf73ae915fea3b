// A model as a diagram of parts and wires: called blocks, choices of routes, and skip connections.
import { groupOf, MODEL_GROUP } from "../../../src/compiler/cost/group.js";
import type { Instance, Model, Value } from "../../../src/language/check/model/model.js";
import { operations, type OperationKind } from "../../../src/language/check/model/operations.js";
import { isChoice } from "../../../src/language/check/model/types.js";
import type { Axis } from "../../../src/ground/size/axes.js";
import { chosenFrom, declaredShare } from "../../../src/ground/size/count-rules.js";
import { printRational } from "../../../src/ground/numerics/rational.js";
import { printSize, type Size } from "../../../src/ground/size/size.js";
import type { Source } from "../source.js";
import { ledgerOf } from "./ledger.js";
import { compiledOf, FILE } from "./memo.js";

export type PartKind = "input" | "output" | "block" | "routed" | "operation" | "route" | "put" | "sign";

export interface Part {
  readonly id: string;
  readonly kind: PartKind;
  readonly title: string;
  readonly subtitle: string;
  /** The cluster that contains the part. */
  readonly cluster: string | null;
  readonly cost: PartCost | null;
  /** The part's position in the source. */
  readonly at: { readonly from: number; readonly to: number } | null;
}

/**
 * Operations of one run at default sizes, their share of the model's operations, and the operations with nothing
 * skipped.
 */
export interface PartCost {
  readonly flops: number;
  readonly share: number;
  readonly dense: number;
}

/** `skip`: rows that a route does not choose. `choice`: the chosen row indices. */
export type WireKind = "data" | "skip" | "choice";

export interface Wire {
  readonly from: string;
  readonly to: string;
  readonly kind: WireKind;
  /** `[B, T, 128]` */
  readonly shape: string;
}

/** A routed block: router, choice, and the block applied to the chosen rows. */
export interface Cluster {
  readonly id: string;
  readonly title: string;
  readonly cost: PartCost | null;
  readonly at: Part["at"];
}

export interface Parts {
  readonly model: string;
  readonly parts: readonly Part[];
  readonly wires: readonly Wire[];
  readonly clusters: readonly Cluster[];
}

/** The parts of the model; null if the source has errors. */
export function pictureOf(source: Source): Parts | null {
  const { model } = compiledOf(source).checked;
  if (!model) return null;
  const costs = new Map<string, PartCost>();
  const table = ledgerOf(source);
  for (const { name, executed, dense } of table?.rows.filter((row) => row.executed.flops > 0) ?? [])
    costs.set(name, {
      flops: executed.flops,
      share: executed.flops / Math.max(1, table!.total.executed.flops),
      dense: dense.flops,
    });
  return new Painter(model, source.text, costs).paint();
}

const SIGNS: Readonly<Record<string, string>> = {
  add: "+",
  sub: "−",
  mul: "×",
  div: "÷",
  min: "min",
  max: "max",
  where: "where",
};

type Sources = ReadonlyMap<string, WireKind>;

class Painter {
  readonly #parts = new Map<string, Part>();
  readonly #wires = new Map<string, Wire>();
  readonly #clusters = new Map<string, Cluster>();
  readonly #sources = new Map<Value, Sources>();
  readonly #silent = new Set<Value>();
  readonly #instances: ReadonlyMap<string, Instance>;
  /** Blocks that are drawn as a part. */
  readonly #seen = new Set<string>();
  readonly #axes: ReadonlyMap<string, Axis>;
  /** Groups that contain the choice of a route. */
  readonly #routed: ReadonlySet<string>;

  constructor(
    readonly model: Model,
    readonly text: string,
    readonly costs: ReadonlyMap<string, PartCost>,
  ) {
    this.#axes = new Map(model.axes.map((a) => [a.name, a]));
    this.#instances = new Map(model.instances.map((i) => [i.path, i]));
    const values = this.#reached();
    this.#routed = new Set(values.flatMap((v) => (isChoice(v) && v.path !== "" ? [callOf(v.path)] : [])));
  }

  paint(): Parts {
    for (const value of this.#reached()) this.#visit(value);
    const ends = [
      ...this.model.outputs.map((o) => ({ name: o.name, value: o.value })),
      ...this.model.losses.map((l) => ({ name: `loss ${l.path}`, value: l.value })),
    ];
    for (const { name, value } of ends) {
      const id = `output:${name}`;
      const only = ends.length === 1 ? (this.costs.get(MODEL_GROUP) ?? null) : null;
      this.#parts.set(id, {
        id,
        kind: "output",
        title: name,
        subtitle: shapeOf(value),
        cluster: null,
        cost: only,
        at: placeOf(value),
      });
      this.#wireAll(value, id, "data");
    }
    return {
      model: this.model.name,
      parts: [...this.#parts.values()],
      wires: [...this.#wires.values()],
      clusters: [...this.#clusters.values()],
    };
  }

  /** Values that results and losses depend on, inputs first. */
  #reached(): readonly Value[] {
    const order: Value[] = [];
    const seen = new Set<Value>();
    const stack: { readonly value: Value; next: number }[] = [];
    const push = (value: Value): void => {
      if (!seen.has(value) && seen.add(value)) stack.push({ value, next: 0 });
    };
    for (const { value } of [...this.model.inputs, ...this.model.outputs, ...this.model.losses]) {
      push(value);
      for (let top = stack.at(-1); top; top = stack.at(-1)) {
        const input = top.value.inputs[top.next++];
        if (input) push(input);
        else order.push(stack.pop()!.value);
      }
    }
    return order;
  }

  #visit(value: Value): void {
    // Values computed from weights alone are not drawn.
    const isGiven = kindOf(value) === "source" && value.op !== "input";
    if (isGiven || (value.inputs.length > 0 && value.inputs.every((input) => this.#silent.has(input))))
      return void this.#silent.add(value);
    const id = this.#partOf(value);
    if (id === null) {
      this.#sources.set(value, this.#through(value));
      return;
    }
    this.#sources.set(value, new Map([[id, "data"]]));
    value.inputs.forEach((input, i) =>
      this.#wireAll(input, id, value.op === "put" ? (["skip", "choice", "data"] as const)[i]! : "data"),
    );
  }

  /** The parts that a value's data comes from. */
  #through(value: Value): Sources {
    const found = new Map<string, WireKind>();
    value.inputs.forEach((input) => {
      const choice = isChoice(input);
      for (const [id, kind] of this.#sources.get(input) ?? [])
        if (found.get(id) !== "data") found.set(id, choice ? "choice" : kind);
    });
    return found;
  }

  #wireAll(value: Value, to: string, kind: WireKind): void {
    for (const [from, own] of this.#sources.get(value) ?? []) {
      if (from === to) continue;
      const key = `${from} ${to}`;
      const wire: Wire = { from, to, kind: kind === "data" ? own : kind, shape: shapeOf(value) };
      const known = this.#wires.get(key);
      if (!known || (known.kind === "choice" && wire.kind !== "choice")) this.#wires.set(key, wire);
    }
  }

  /** The part of a value, created for its first value; null: the value is a wire or is not drawn. */
  #partOf(value: Value): string | null {
    if (value.op === "input")
      return this.#make(`input:${value.id}`, value, {
        kind: "input",
        title: this.#inputName(value),
        subtitle: shapeOf(value),
      });
    const call = callOf(value.path);
    const cluster = this.#routed.has(call) ? this.#cluster(call) : null;
    if (isChoice(value))
      return this.#make(`route:${value.id}`, value, {
        kind: "route",
        title: value.op,
        subtitle: this.#choiceText(value),
        cluster,
      });
    if (value.op === "put")
      return this.#make(`put:${value.id}`, value, { kind: "put", title: "put", subtitle: "", cluster });
    const axis = this.#axisOf(value) ?? "";
    if (cluster !== null) {
      const child = value.path.slice(call.length + 1).split(".")[0]!;
      if (child === "") return null;
      const path = `${plain(call)}.${child}`;
      return this.#make(`${path}@${axis}`, value, {
        kind: this.#onRoute(axis) ? "routed" : "block",
        title: child,
        subtitle: this.#blockOf(path),
        cluster,
      });
    }
    if (value.path === "") {
      const sign = this.#joins(value) ? (SIGNS[(value as Value<"pointwise">).attrs.fn] ?? null) : null;
      if (sign !== null) return this.#make(`sign:${value.id}`, value, { kind: "sign", title: sign, subtitle: "" });
      if (kindOf(value) !== "compute") return null;
      return this.#make(`op:${value.id}`, value, {
        kind: "operation",
        title: this.#textOf(value),
        subtitle: value.op.replace("_", " "),
      });
    }
    const path = plain(call);
    const routed = this.#onRoute(axis);
    const id = `${path}@${axis}`;
    // The cost of all calls of a block is shown at its first part.
    const first = !this.#parts.has(id) && !this.#seen.has(path);
    this.#seen.add(path);
    return this.#make(id, value, {
      kind: routed ? "routed" : "block",
      title: path,
      subtitle: this.#blockOf(path),
      cost: first ? (this.costs.get(groupOf(path)) ?? null) : null,
    });
  }

  /** Whether the value joins data of different parts, like a residual addition. */
  #joins(value: Value): boolean {
    if (value.op !== "pointwise") return false;
    const from = value.inputs
      .map((input) => [...(this.#sources.get(input)?.keys() ?? [])].sort().join())
      .filter((ids) => ids !== "");
    return new Set(from).size > 1;
  }

  #make(
    id: string,
    value: Value,
    own: Pick<Part, "kind" | "title" | "subtitle"> & Partial<Pick<Part, "cluster" | "cost">>,
  ): string {
    if (!this.#parts.has(id))
      this.#parts.set(id, {
        id,
        cluster: null,
        cost: null,
        at: this.#declared(plain(callOf(value.path))) ?? placeOf(value),
        ...own,
      });
    return id;
  }

  #cluster(call: string): string {
    const path = plain(call);
    const id = `cluster:${path}`;
    if (!this.#clusters.has(id))
      this.#clusters.set(id, {
        id,
        title: `${path}: ${this.#blockOf(path)}`,
        cost: this.costs.get(groupOf(path)) ?? null,
        at: this.#declared(path),
      });
    return id;
  }

  /** The position of an instance's declaration. */
  #declared(path: string): Part["at"] {
    const span = this.#instances.get(path)?.span;
    return span?.file === FILE ? { from: span.start, to: span.end } : null;
  }

  /** `Residual · Layer` */
  #blockOf(path: string): string {
    const named = (p: string): string | null => this.#instances.get(p)?.block ?? null;
    return [named(path), named(`${path}.inner`)].filter((n) => n !== null).join(" · ");
  }

  #inputName(value: Value): string {
    return this.model.inputs.find((i) => i.value === value)?.name ?? "input";
  }

  #textOf({ span }: Value): string {
    const text = span.file === FILE ? this.text.slice(span.start, span.end).replaceAll(/\s+/g, " ") : "";
    return text.length > 40 ? `${text.slice(0, 38)} …` : text;
  }

  /** The sequence axis of the value's rows, or of its inputs' rows. */
  #axisOf(value: Value): string | null {
    for (const size of value.type.shape) {
      const name = printSize(size);
      if (this.#axes.get(name)?.role === "sequence") return name;
    }
    return null;
  }

  #onRoute(name: string): boolean {
    const axis = this.#axes.get(name);
    return axis?.role === "sequence" && chosenFrom(axis.count) !== null;
  }

  /** The number of chosen rows, and their parent axis. */
  #choiceText(value: Value): string {
    const axis = this.#axes.get(this.#axisOf(value) ?? "");
    if (axis?.role !== "sequence") return "";
    if (axis.count.kind === "top") return `the ${printSize(axis.count.k)} best of ${axis.count.parent}`;
    const [parent, share] = [chosenFrom(axis.count), declaredShare(axis.count)];
    if (parent !== null && share) return `of ${parent}, about ${printRational(share)}`;
    if (axis.count.kind === "rest") return `what ${axis.count.taken} leaves of ${parent}`;
    return "";
  }
}

const kindOf = (value: Value): OperationKind => operations[value.op].kind;

/** The first segment of a call's path, with the indices that follow: `layers.3.inner.attn` → `layers.3`. */
function callOf(path: string): string {
  const [head = "", ...rest] = path.split(".");
  const end = rest.findIndex((segment) => !/^\d+(#\d+)?$/.test(segment));
  return [head, ...(end < 0 ? rest : rest.slice(0, end))].join(".");
}

/** The path of an instance, from the path of a call. */
const plain = (call: string): string => call.replaceAll(/#\d+/g, "");

const placeOf = ({ span }: Value): Part["at"] => (span.file === FILE ? { from: span.start, to: span.end } : null);

const shapeOf = ({ type }: Value): string => `[${type.shape.map((size: Size) => printSize(size)).join(", ")}]`;
