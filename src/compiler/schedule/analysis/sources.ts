// Storages that the caller or the runtime fills: inputs, weights, states and tables, one for each name.
import { countOf } from "../../../ground/base/collections.js";
import { invariant } from "../../../ground/base/invariant.js";
import { isOp, isSource, type Node } from "../../ir/graph.js";
import { attrsKey } from "../../ir/key.js";
import type { OpAttrs, SourceOp } from "../../ir/vocabulary.js";
import { addSizes, axisSize, printSize, type Size } from "../../../ground/size/size.js";
import type { Extents } from "./extents.js";
import { encodings, type EncodingName } from "../../../runtime/program/encodings/index.js";
import {
  weightBytes,
  type CountedTable,
  type PanelLayout,
  type ProgramWeightSlot,
  type WeightLayout,
} from "../../../runtime/program/program.js";
import { shapeOf, type Packable } from "./side-by-side.js";
import { storage, type Plan, type PlanTable, type PlanWeight, type Storage } from "../plan/plan.js";

/** The contents of a storage: a weight in a layout, or a part of one. */
interface Held {
  readonly path: string;
  readonly layout: WeightLayout;
  readonly part: ProgramWeightSlot["part"];
}
interface WeightStorage {
  readonly parts: readonly Held[];
  readonly form: EncodingName;
  readonly storage: Storage;
}
type WithoutSlot<T> = T extends unknown ? Omit<T, "slot"> : never;
type TableKey = WithoutSlot<PlanTable>;

export class Sources {
  readonly #extents: Extents;
  readonly #inputs = new Map<string, Storage>();
  /** By paths, layout and encoding. */
  readonly #weights = new Map<string, WeightStorage>();
  readonly #states = new Map<string, Storage>();
  readonly #tables = new Map<string, { readonly table: TableKey; readonly storage: Storage }>();
  readonly #stateStorages = new Set<Storage>();
  readonly #all = new Set<Storage>();

  constructor(extents: Extents) {
    this.#extents = extents;
  }

  /** Total by type: a source without memory does not compile. */
  readonly #storageFor: { readonly [K in SourceOp]: (node: Node<K>, bytes: Size) => Storage } = {
    input: ({ attrs: { name } }, bytes) => once(this.#inputs, name, () => this.#hold(bytes, name)),
    weight: (node) => this.weight(node, GIVEN, "word"),
    state: ({ attrs: { name } }, bytes) => this.state(name, bytes),
    starts: ({ attrs: { axis } }, bytes) => this.#counted("starts", axis, bytes),
    live: ({ attrs: { name } }) => this.#table(`live(${name})`, { kind: "live", name }, 4),
    seed: () => this.#table("seed", { kind: "seed" }, 4),
    literal: ({ attrs: { values } }, bytes) =>
      this.#table(`literal(${JSON.stringify(values)})`, { kind: "literal", values }, bytes, "literal"),
    size: ({ attrs }) => this.#table(`${attrs.dtype}(${printSize(attrs.size)})`, { kind: "size", ...attrs }, 4),
    rope_table: ({ attrs }, bytes) => this.#table(`rope(${attrsKey(attrs)})`, { kind: "rope", attrs }, bytes, "rope"),
  };

  /** The storage of a source, or of a table that the host computes; null for any other node. */
  of(node: Node): Storage | null {
    if (isSource(node)) return this.#source(node);
    if (!isOp(node, "positions") && !isOp(node, "segments") && !isOp(node, "counts")) return null;
    const starts = node.inputs[0];
    return isOp(starts, "starts")
      ? this.#counted(node.op, starts.attrs.axis, this.#extents.bytes(node.types[0]!))
      : null;
  }
  #source<K extends SourceOp>(node: Node<K>): Storage {
    return this.#storageFor[node.op](node, this.#extents.bytes(node.types[0]!));
  }
  /** The storage of a weight in a layout. Panels that equal the row-major layout share its storage. */
  weight({ attrs }: Node<"weight">, layout: WeightLayout, form: EncodingName): Storage {
    const stored = liesInPanels(layout, form) ? GIVEN : layout;
    const label = stored.kind === "given" ? labelOf(attrs) : `${labelOf(attrs)}, in ${stored.kind}`;
    const parts = [{ path: attrs.path, layout: stored, part: partOf(attrs) }];
    return this.#weight({ parts, form }, weightBytes(stored, countOf(attrs.shape), form), label);
  }
  /** The storage of concatenated weights, in the panels of one weight of their total width. */
  weights(nodes: readonly Node<"weight">[], layout: PanelLayout, form: EncodingName): Storage {
    const [head] = nodes;
    invariant(head, "no weights stand side by side");
    if (nodes.length === 1) return this.weight(head, layout, form);
    const layouts = partsOf(nodes, layout);
    const parts = nodes.map(({ attrs }, i) => ({ path: attrs.path, layout: layouts[i]!, part: partOf(attrs) }));
    const label = `${nodes.map((n) => labelOf(n.attrs)).join(" + ")}, in panels`;
    return this.#weight({ parts, form }, weightBytes(parts[0]!.layout, countOf(head.attrs.shape), form), label);
  }
  #weight(held: Omit<WeightStorage, "storage">, bytes: number, label: string): Storage {
    return once(this.#weights, JSON.stringify(held), () => ({ ...held, storage: this.#hold(bytes, label) })).storage;
  }
  state(name: string, bytes: Size): Storage {
    const state = once(this.#states, name, () => this.#hold(bytes, name));
    this.#stateStorages.add(state);
    return state;
  }
  #hold(bytes: Size, label: string): Storage {
    const created = storage(bytes, label);
    this.#all.add(created);
    return created;
  }
  /** Whether the caller or the runtime fills the storage. */
  holds(s: Storage): boolean {
    return this.#all.has(s);
  }
  isState(s: Storage): boolean {
    return this.#stateStorages.has(s);
  }
  /** The table with k of a `top`, or the ends of a `span`, as a function of the parent's count. */
  table(kind: "k" | "span", axis: string): Storage {
    const counts = addSizes(axisSize(this.#extents.countedBy(axis)), 1);
    return this.#table(`${kind}(${axis})`, { kind, axis }, this.#extents.times(kind === "k" ? 4 : 8, counts));
  }
  /** The starts of an axis whose counts the host knows, shared by all nodes for them. */
  starts(axis: string): Storage {
    return this.#counted("starts", axis, this.#extents.times(4, addSizes(this.#extents.batch, 1)));
  }
  /** Axes of equal counts share their tables. */
  #counted(kind: CountedTable, name: string, bytes: Size): Storage {
    const axis = this.#extents.equal.axis(name);
    return this.#table(`${kind}(${axis})`, { kind, axis }, this.#extents.equal.size(bytes));
  }
  #table(key: string, table: TableKey, bytes: Size, label = key): Storage {
    return once(this.#tables, key, () => ({ table, storage: this.#hold(bytes, label) })).storage;
  }

  /** The storages in use, and the storages of all states. */
  storages(used: ReadonlySet<Storage>): readonly Storage[] {
    const stored = [...this.#weights.values(), ...this.#tables.values()].map((s) => s.storage);
    const all = [...this.#inputs.values(), ...this.#states.values(), ...stored];
    return all.filter((s) => used.has(s) || this.isState(s));
  }
  slots(
    slotOf: (s: Storage) => number,
    used: ReadonlySet<Storage>,
  ): Pick<Plan, "inputs" | "weights" | "states" | "tables"> {
    const of = (sources: ReadonlyMap<string, Storage>): ReadonlyMap<string, number> =>
      new Map([...sources].flatMap(([name, s]) => (used.has(s) || this.isState(s) ? [[name, slotOf(s)]] : [])));
    const tables = [...this.#tables.values()].flatMap(({ table, storage: s }): PlanTable[] =>
      used.has(s) ? [{ ...table, slot: slotOf(s) }] : [],
    );
    const weights = new Map<string, PlanWeight[]>();
    for (const { parts, form, storage: s } of this.#weights.values())
      if (used.has(s))
        for (const { path, ...held } of parts) once(weights, path, () => []).push({ slot: slotOf(s), form, ...held });
    return { inputs: of(this.#inputs), weights, states: of(this.#states), tables };
  }
}

export const GIVEN: WeightLayout = { kind: "given" };

const partOf = ({ shape, part }: OpAttrs["weight"]): Held["part"] =>
  part ? { axis: part.axis, start: part.start, stop: part.start + shape[part.axis]! } : null;

function labelOf(attrs: OpAttrs["weight"]): string {
  const part = partOf(attrs);
  return part ? `${attrs.path}[${":, ".repeat(part.axis)}${part.start}:${part.stop}]` : attrs.path;
}

/** The layouts of concatenated weights within the panels of their total width. */
export function partsOf(nodes: readonly Packable[], layout: PanelLayout): readonly PanelLayout[] {
  if (nodes.length === 1) return [layout];
  let first = 0;
  const parts = nodes.map((node) => {
    const part = { ...layout, width: shapeOf(node).at(layout.transposed ? -2 : -1)!, first };
    first += part.width;
    return part;
  });
  invariant(first === layout.total, `weights of ${first} columns stand in ${layout.total}`);
  return parts;
}

/**
 * Whether panels of a single weight have the same memory layout as the row-major weight, including its encoding's
 * blocks.
 */
export const liesInPanels = (layout: WeightLayout, form: EncodingName): boolean =>
  layout.kind === "panels" &&
  layout.total === layout.width &&
  layout.pairs === 0 &&
  layout.columns === (layout.transposed ? 1 : layout.width) &&
  (layout.columns === 1 || encodings[form].block.values === 1);

function once<T>(map: Map<string, T>, key: string, make: () => T): T {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
