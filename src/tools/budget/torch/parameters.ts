// Parameters of a step on one device, and how they lie on several: whole, replicated by DDP, sharded by FSDP2 as
// `parallelize.py` does it, or shared out by tensor parallelism.
import { bytesOf, contiguous, countOf, type Sink, type Storage, type Tensor, type TorchType } from "./tensor.js";
import type { Tape } from "./tape.js";

export interface Shape {
  readonly path: string;
  /** On this device, beside tensor parallelism whole. */
  readonly shape: readonly number[];
  /** The unit that is sharded and gathered together: a member of the model's lists; empty: the rest. */
  readonly group: string;
  /** Parameters of one group are a step of the optimiser. */
  readonly stepped: string;
}

/** How gradients and parameters are kept. */
export type Kept = { readonly by: "alone" | "ddp" } | { readonly by: "fsdp"; readonly devices: number };

export interface Parameters {
  /** null: there is no such parameter. */
  readonly tensor: (path: string) => Tensor | null;
  /** Bytes of gradients by group of the optimiser. */
  readonly stepped: () => ReadonlyMap<string, number>;
  /** Before and behind a group's forward pass, and where its backward pass begins and ends. */
  readonly forward: (group: string) => void;
  readonly left: (group: string) => void;
  readonly backward: (group: string) => void;
  readonly done: (group: string) => void;
}

interface Slot extends Shape {
  gradient: Storage | null;
  readonly tensor: Tensor;
}

const nothing = (): void => {};

export function parametersOf(t: Tape, shapes: readonly Shape[], kept: Kept, computed: TorchType): Parameters {
  const devices = kept.by === "fsdp" ? kept.devices : 1;
  const share = (shape: readonly number[]): number => shardOf(shape, devices);
  for (const { shape } of shapes) {
    t.allocate(4 * share(shape), "weights");
    t.allocate(8 * share(shape), "moments");
    t.allocate(4, "states"); // the number of its steps
    if (kept.by === "ddp") t.allocate(4 * countOf(shape)); // the buckets of gradients stay
  }
  const slots = new Map(
    shapes.map((of) => {
      const slot: { gradient: Storage | null } = { gradient: null };
      const own: Sink = t.parameter(of.shape, computed, slot);
      const sink: Sink = kept.by === "ddp" ? { ...own, take: (g) => t.release(g.storage) } : own;
      const storage: Storage = { bytes: 0, part: "weights", holders: 1 };
      const { shape } = of;
      const tensor: Tensor = { storage, shape, strides: contiguous(shape), type: computed, sink, temporary: false };
      return [of.path, Object.assign(slot, { ...of, tensor, gradient: null as Storage | null })] as const;
    }),
  );
  const all: readonly Slot[] = [...slots.values()];
  const stepped = (): ReadonlyMap<string, number> => {
    const sums = new Map<string, number>();
    for (const { shape, stepped: group } of all) sums.set(group, (sums.get(group) ?? 0) + 4 * share(shape));
    return sums;
  };
  const tensor = (path: string): Tensor | null => slots.get(path)?.tensor ?? null;
  if (kept.by !== "fsdp") return { tensor, stepped, forward: nothing, left: nothing, backward: nothing, done: nothing };
  return { tensor, stepped, ...sharded(t, all, devices, computed) };
}

/** Values of the shard of a tensor: rows are divided, and padded to as many on each. */
const shardOf = (shape: readonly number[], devices: number): number =>
  Math.ceil((shape[0] ?? 1) / devices) * countOf(shape.slice(1));

/** FSDP2 of torch 2.6: what gathers and what reduces is copied in and out of buffers for a group at a time. */
function sharded(t: Tape, slots: readonly Slot[], devices: number, computed: TorchType) {
  const groups = new Map<string, Slot[]>();
  for (const slot of slots) groups.set(slot.group, [...(groups.get(slot.group) ?? []), slot]);
  const bytes = (group: string): number =>
    (groups.get(group) ?? []).reduce(
      (sum, { shape }) => sum + bytesOf([devices * shardOf(shape, devices)], computed),
      0,
    );
  const whole = new Map<string, Storage>();
  const gathered = new Map<string, Storage>();
  /** What the last forward pass gathered stays until the next is copied; likewise what the last reduction read. */
  let [last, reduced]: (Storage | null)[] = [null, null];
  const order: string[] = [];
  const gather = (group: string): void => {
    if (!whole.has(group) && !gathered.has(group)) gathered.set(group, t.allocate(bytes(group), "gathered"));
  };
  const unshard = (group: string, isForward: boolean): void => {
    gather(group);
    const from = gathered.get(group);
    if (!from) return;
    gathered.delete(group);
    if (isForward && last) t.release(last);
    whole.set(group, t.allocate(bytes(group), "gathered"));
    if (isForward) last = from;
    else t.release(from);
  };
  const reshard = (group: string): void => {
    const own = whole.get(group);
    if (own) t.release(own);
    whole.delete(group);
  };
  return {
    forward: (group: string): void => unshard(group, true),
    left: (group: string): void => {
      order.push(group);
      if (group !== "") return reshard(group);
      // The root stays whole.
      if (last) t.release(last);
      last = null;
    },
    backward: (group: string): void => {
      unshard(group, false);
      const next = order[order.lastIndexOf(group) - 1];
      if (next !== undefined) gather(next);
    },
    done: (group: string): void => {
      reshard(group);
      const own = (groups.get(group) ?? []).filter(({ gradient }) => gradient);
      if (own.length === 0) return;
      if (reduced) t.release(reduced);
      const values = own.reduce((sum, { shape }) => sum + shardOf(shape, devices), 0);
      reduced = t.allocate(4 * devices * values, "gathered");
      for (const slot of own) {
        t.release(slot.gradient!);
        slot.gradient = null;
      }
      t.allocate(4 * values); // its part of the gradients, until the next step
      if (group !== "") return;
      t.release(reduced);
      reduced = null;
    },
  };
}
