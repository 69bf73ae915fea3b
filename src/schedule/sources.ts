// Memory that the caller or the runtime fills: inputs, weights, states and tables, one storage for each name.
import { isOp, type Node } from "../ir/graph.js";
import { attrsKey } from "../ir/key.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import { addSizes, axisSize, printSize, type Size } from "../size/size.js";
import type { Extents } from "./extents.js";
import { packedLength, type WeightLayout } from "../program/program.js";
import { storage, type Storage } from "./memory.js";
import type { Plan, PlanTable, PlanWeight } from "./plan.js";

interface WeightStorage {
  readonly path: string;
  readonly layout: WeightLayout;
  readonly storage: Storage;
}
type WithoutSlot<T> = T extends unknown ? Omit<T, "slot"> : never;
type TableKey = WithoutSlot<PlanTable>;

export class Sources {
  readonly #extents: Extents;
  readonly #inputs = new Map<string, Storage>();
  /** By path and layout. */
  readonly #weights = new Map<string, WeightStorage>();
  readonly #states = new Map<string, Storage>();
  readonly #tables = new Map<string, { readonly table: TableKey; readonly storage: Storage }>();
  readonly #stateStorages = new Set<Storage>();

  constructor(extents: Extents) {
    this.#extents = extents;
  }

  /** The memory of a source; null for any other node. */
  of(node: Node): Storage | null {
    const bytes = (): Size => this.#extents.bytes(node.types[0]!);
    if (isOp(node, "input")) return once(this.#inputs, node.attrs.name, () => storage(bytes(), node.attrs.name, true));
    if (isOp(node, "weight")) return this.weight(node, { kind: "given" });
    if (isOp(node, "state")) return this.state(node.attrs.name, bytes());
    if (isOp(node, "starts")) return this.#table(`starts(${node.attrs.axis})`, { kind: "starts", axis: node.attrs.axis }, bytes());
    if (isOp(node, "live")) return this.#table(`live(${node.attrs.name})`, { kind: "live", name: node.attrs.name }, 4);
    if (isOp(node, "seed")) return this.#table("seed", { kind: "seed" }, 4);
    if (isOp(node, "size")) return this.#table(`${node.attrs.dtype}(${printSize(node.attrs.size)})`, { kind: "size", ...node.attrs }, 4);
    if (isOp(node, "rope_table")) return this.#rope(node.attrs, bytes());
    return null;
  }
  /** The memory of a weight in a layout. */
  weight({ attrs: { path, shape } }: Node<"weight">, layout: WeightLayout): Storage {
    const bytes =
      4 *
      packedLength(
        layout,
        shape.reduce((n, d) => n * d, 1),
      );
    const label = layout.kind === "given" ? path : `${path}, in ${layout.kind}`;
    return once(this.#weights, `${JSON.stringify(layout)} ${path}`, () => ({ path, layout, storage: storage(bytes, label, true) })).storage;
  }
  state(name: string, bytes: Size): Storage {
    const made = once(this.#states, name, () => storage(bytes, name, true));
    this.#stateStorages.add(made);
    return made;
  }
  isState(s: Storage): boolean {
    return this.#stateStorages.has(s);
  }
  /** The table by which `top` learns k, or `span` its ends, from a count. */
  table(kind: "k" | "span", axis: string): Storage {
    const counts = addSizes(axisSize(this.#extents.countedBy(axis)), 1);
    return this.#table(`${kind}(${axis})`, { kind, axis }, this.#extents.times(kind === "k" ? 4 : 8, counts));
  }
  #rope(attrs: OpAttrs["rope_table"], bytes: Size): Storage {
    return this.#table(`rope(${attrsKey(attrs)})`, { kind: "rope", attrs }, bytes, "rope");
  }
  #table(key: string, table: TableKey, bytes: Size, label = key): Storage {
    return once(this.#tables, key, () => ({ table, storage: storage(bytes, label, true) })).storage;
  }

  /** Those that steps or outputs use; every state. */
  storages(used: ReadonlySet<Storage>): readonly Storage[] {
    const stored = [...this.#weights.values(), ...this.#tables.values()].map((s) => s.storage);
    const all = [...this.#inputs.values(), ...this.#states.values(), ...stored];
    return all.filter((s) => used.has(s) || this.isState(s));
  }
  slots(slotOf: (s: Storage) => number, used: ReadonlySet<Storage>): Pick<Plan, "inputs" | "weights" | "states" | "tables"> {
    const of = (sources: ReadonlyMap<string, Storage>): ReadonlyMap<string, number> =>
      new Map([...sources].flatMap(([name, s]) => (used.has(s) || this.isState(s) ? [[name, slotOf(s)]] : [])));
    const tables = [...this.#tables.values()].flatMap(({ table, storage: s }): PlanTable[] => (used.has(s) ? [{ ...table, slot: slotOf(s) }] : []));
    const weights = new Map<string, PlanWeight[]>();
    for (const { path, layout, storage: s } of this.#weights.values()) if (used.has(s)) once(weights, path, () => []).push({ slot: slotOf(s), layout });
    return { inputs: of(this.#inputs), weights, states: of(this.#states), tables };
  }
}

function once<T>(map: Map<string, T>, key: string, make: () => T): T {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
