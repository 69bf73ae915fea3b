// The parameters of a training step on one device, for each way to distribute them: whole, replicated by DDP, sharded
// by FSDP2 as in `parallelize.py`, or divided by tensor parallelism.
import { bytesOf, contiguous, countOf, type Sink, type Storage, type Tensor, type TorchType } from "./tensor.js";
import type { Tape } from "./tape.js";

export interface Shape {
  readonly path: string;
  /** The shape on this device; without tensor parallelism the whole shape. */
  readonly shape: readonly number[];
  /**
   * The unit that FSDP2 shards and gathers together: a member of the model's lists; empty for the remaining parameters.
   */
  readonly group: string;
  /** The optimizer's parameter group, which is updated together. */
  readonly stepped: string;
}

/** How gradients and parameters are distributed. */
export type Kept = { readonly by: "alone" | "ddp" } | { readonly by: "fsdp"; readonly devices: number };

export interface Parameters {
  /** Null if the parameter does not exist. */
  readonly tensor: (path: string) => Tensor | null;
  /** Gradient bytes for each parameter group of the optimizer. */
  readonly stepped: () => ReadonlyMap<string, number>;
  /** Called before and after a group's forward pass, and at the begin and end of its backward pass. */
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
    t.allocate(4, "states"); // AdamW's step counter
    if (kept.by === "ddp") t.allocate(4 * countOf(shape)); // gradient buckets stay allocated
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

/** The number of values in a shard. Rows are divided, and padded to the same number on each device. */
const shardOf = (shape: readonly number[], devices: number): number =>
  Math.ceil((shape[0] ?? 1) / devices) * countOf(shape.slice(1));

/** FSDP2 of torch 2.6: gathers and reductions copy a whole group into and out of buffers. */
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
  /**
   * The buffer gathered by the last forward pass stays until the next group is copied; so does the buffer of the last
   * reduction.
   */
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
      // The root group stays gathered after its forward pass.
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
      t.allocate(4 * values); // this device's part of the gradients, until the next step
      if (group !== "") return;
      t.release(reduced);
      reduced = null;
    },
  };
}
