// Tracks memory over a training step in PyTorch's eager mode: tensor lifetimes, tensors kept by autograd, and the
// backward pass in its order.
import { bug } from "../../../ground/base/invariant.js";
import {
  bytesOf,
  contiguous,
  isContiguous,
  stridesLike,
  type Part,
  type Sink,
  type Storage,
  type Tensor,
  type TorchType,
} from "./tensor.js";

type Parts = Readonly<Record<Part, number>>;

/** An operation recorded by autograd. */
interface Node {
  kept: readonly Storage[];
  /** Whether the operation keeps tensors. In a checkpointed region they exist only after recomputation. */
  readonly keeps: boolean;
  /** Gradients of the results. */
  readonly gradients: (Tensor | null)[];
  /** Computes the operands' gradients from the results' gradients; null for an operand without gradient. */
  readonly backward: (gradients: readonly (Tensor | null)[]) => readonly (Tensor | null)[];
  readonly sinks: readonly (Sink | null)[];
  readonly region: Region | null;
}

/** A checkpointed function, which the backward pass computes again. */
interface Region {
  readonly nodes: Node[];
  /** The number of nodes up to the last node that keeps tensors; recomputation stops there. */
  needed: number;
  readonly again: () => void;
  readonly held: readonly Storage[];
  isDone: boolean;
}

/** A callback at a point in the backward pass. */
interface Hook {
  readonly hook: () => void;
}

export interface Operation {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Tensors whose contents the backward pass reads. */
  readonly keeps?: readonly Tensor[];
  readonly backward: Node["backward"];
}

/** Thrown to end a recomputation once all kept tensors exist. */
class Enough extends Error {
  constructor(
    /** Results of the last operation, which are not needed. */
    readonly outputs: readonly Tensor[],
  ) {
    super();
  }
}

export class Tape {
  #now: Record<Part, number> = { weights: 0, moments: 0, states: 0, gathered: 0, rest: 0 };
  #total = 0;
  #most = 0;
  #mostParts: Parts = { ...this.#now };
  #nodes: (Node | Hook)[] = [];
  readonly #frames: Tensor[][] = [];
  #records = true;
  #region: Region | null = null;
  /** During recomputation: the tensors kept by each operation, and all tensors created. */
  #again: { readonly lists: (readonly Storage[])[]; readonly needed: number; readonly made: Tensor[] } | null = null;

  /** The peak number of bytes, and their purposes. */
  get most(): { readonly total: number; readonly parts: Parts } {
    this.#settle();
    return { total: this.#most, parts: this.#mostParts };
  }

  allocate(bytes: number, part: Part = "rest"): Storage {
    this.#settle();
    this.#total += bytes;
    this.#now[part] += bytes;
    return { bytes, part, holders: 1 };
  }

  /** An allocation counts only when another follows, because only then is it known that the step had not ended. */
  #settle(): void {
    if (this.#total <= this.#most) return;
    this.#most = this.#total;
    this.#mostParts = { ...this.#now };
  }

  release(storage: Storage): void {
    if (storage.holders < 1) bug("a storage is released twice");
    storage.holders--;
    if (storage.holders > 0) return;
    this.#settle();
    this.#forget(storage);
  }

  #forget(storage: Storage): void {
    this.#total -= storage.bytes;
    this.#now[storage.part] -= storage.bytes;
  }

  #hold(storage: Storage): Storage {
    storage.holders++;
    return storage;
  }

  /** A new tensor, as part of an expression. */
  fresh(shape: readonly number[], type: TorchType, like: Pick<Tensor, "shape" | "strides"> | null = null): Tensor {
    const strides = like ? stridesLike(shape, like) : contiguous(shape);
    const storage = this.allocate(bytesOf(shape, type));
    return this.#made({ storage, shape, strides, type, sink: null, temporary: true });
  }

  /** Another tensor with the same storage. */
  alias(of: Tensor, shape = of.shape, strides = of.strides): Tensor {
    const { type, sink } = of;
    return this.#made({ storage: this.#hold(of.storage), shape, strides, type, sink, temporary: true });
  }

  #made(tensor: Tensor): Tensor {
    this.#again?.made.push(tensor);
    return tensor;
  }

  /** Keeps a tensor alive beyond its expression, until the enclosing function returns. */
  name(tensor: Tensor): Tensor {
    if (!tensor.temporary) return tensor;
    tensor.temporary = false;
    this.#frames.at(-1)?.push(tensor);
    return tensor;
  }

  /** A reference to a tensor that is kept alive elsewhere. */
  borrowed = (tensor: Tensor): Tensor => ({ ...tensor, sink: null, temporary: false });

  /** Frees tensors that are part of an expression. */
  drop(...tensors: readonly Tensor[]): void {
    for (const tensor of tensors)
      if (tensor.temporary) {
        tensor.temporary = false;
        this.release(tensor.storage);
      }
  }

  /** Simulates a Python function: arguments and named tensors live until the function returns, and results live on. */
  call<R extends readonly Tensor[]>(inputs: readonly Tensor[], body: () => R): R {
    const given = inputs.filter((input) => input.temporary);
    for (const input of given) input.temporary = false;
    const frame: Tensor[] = [...given];
    this.#frames.push(frame);
    const results = body();
    this.#frames.pop();
    for (const tensor of results)
      if (!tensor.temporary) {
        tensor.temporary = true;
        const at = frame.indexOf(tensor);
        if (at >= 0) frame.splice(at, 1);
        else this.#hold(tensor.storage);
      }
    for (const tensor of frame) this.release(tensor.storage);
    return results;
  }

  /** Records an operation, frees operands that have no other holder, and returns the results. */
  record({ inputs, outputs, keeps = [], backward }: Operation): readonly Tensor[] {
    const needed = this.#records && inputs.some(({ sink }) => sink !== null);
    if (needed) this.#record(inputs, outputs, keeps, backward);
    else for (const output of outputs) output.sink = null;
    this.drop(...new Set(inputs));
    return outputs;
  }

  #record(
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
    keeps: readonly Tensor[],
    backward: Node["backward"],
  ): void {
    const node: Node = {
      kept: [],
      keeps: keeps.length > 0,
      gradients: outputs.map(() => null),
      backward,
      sinks: inputs.map(({ sink }) => sink),
      region: this.#region,
    };
    const kept = keeps.map(({ storage }) => storage);
    if (this.#again) {
      const { lists, needed } = this.#again;
      lists.push(kept.map((storage) => this.#hold(storage)));
      if (lists.length === needed) throw new Enough(outputs.filter(({ storage }) => storage.holders === 1));
    } else {
      if (!this.#region) node.kept = kept.map((storage) => this.#hold(storage));
      this.#nodes.push(node);
      this.#region?.nodes.push(node);
      if (this.#region && kept.length > 0) this.#region.needed = this.#region.nodes.length;
    }
    outputs.forEach((output, i) => (output.sink = this.#sinkOf(node, i, output)));
  }

  #sinkOf(node: Node, i: number, { shape, type }: Tensor): Sink {
    const take = (gradient: Tensor): void => {
      const before = node.gradients[i]!;
      node.gradients[i] = before ? this.#added(before, gradient) : gradient;
    };
    return { shape, type, take };
  }

  /** Adds two gradients of one tensor, in place if the first has no other holder. */
  #added(a: Tensor, b: Tensor): Tensor {
    if (a.storage.holders === 1 && !a.strides.includes(0)) {
      this.release(b.storage);
      return a;
    }
    const sum = this.fresh(a.shape, a.type, a);
    sum.temporary = false;
    this.release(a.storage);
    this.release(b.storage);
    return sum;
  }

  /** The sink of a parameter: `slot` holds the gradient between steps. */
  parameter(shape: readonly number[], type: TorchType, slot: { gradient: Storage | null }): Sink {
    const take = (gradient: Tensor): void => {
      if (slot.gradient) this.release(gradient.storage);
      else if (isContiguous(gradient) && gradient.storage.holders === 1) slot.gradient = gradient.storage;
      else {
        slot.gradient = this.allocate(bytesOf(shape, type));
        this.release(gradient.storage);
      }
    };
    return { shape, type, take };
  }

  /** Registers a callback for this point in the backward pass. */
  hook(hook: () => void): void {
    if (!this.#again) this.#nodes.push({ hook });
  }

  /**
   * Activation checkpointing: only the arguments of `body` are kept. When gradients arrive, `body` is computed again,
   * and `end` is called afterwards.
   */
  checkpoint<R extends readonly Tensor[]>(inputs: readonly Tensor[], body: () => R, end: () => void): R {
    const region: Region = {
      nodes: [],
      needed: 0,
      again: () => {
        this.#recompute(region, inputs, body);
        end();
      },
      held: inputs.map(({ storage }) => this.#hold(storage)),
      isDone: false,
    };
    this.#region = region;
    const results = body();
    this.#region = null;
    return results;
  }

  #recompute(region: Region, inputs: readonly Tensor[], body: () => readonly Tensor[]): void {
    const depth = this.#frames.length;
    const again = { lists: [], needed: region.needed, made: [] as Tensor[] };
    this.#again = again;
    this.#records = true;
    for (const input of inputs) input.temporary = false;
    try {
      if (region.needed > 0) body();
    } catch (end) {
      if (!(end instanceof Enough)) throw end;
      // An operation keeps its operands before it computes, so the results do not exist yet.
      for (const output of end.outputs) {
        output.temporary = false;
        this.#forget(output.storage);
      }
    }
    for (const frame of this.#frames.splice(depth)) for (const tensor of frame) this.release(tensor.storage);
    this.drop(...again.made);
    this.#again = null;
    this.#records = false;
    region.nodes.slice(0, region.needed).forEach((node, i) => (node.kept = again.lists[i]!));
    region.isDone = true;
  }

  /** The backward pass from the losses: operations in reverse order, each after all of its results have gradients. */
  backward(losses: readonly Tensor[]): void {
    for (const { sink } of losses) if (sink) sink.take({ ...this.fresh([], "f32"), temporary: false });
    const before = this.#records;
    this.#records = false;
    const regions = new Map<Region, number>();
    for (const node of this.#nodes)
      if ("kept" in node && node.region) regions.set(node.region, (regions.get(node.region) ?? 0) + 1);
    for (const node of this.#nodes.reverse()) {
      if ("hook" in node) {
        node.hook();
        continue;
      }
      const { region } = node;
      if (region && !region.isDone && node.keeps && node.gradients.some((gradient) => gradient)) region.again();
      this.#step(node);
      if (!region) continue;
      const left = regions.get(region)! - 1;
      regions.set(region, left);
      if (left === 0) for (const storage of region.held) this.release(storage);
    }
    this.#nodes = [];
    this.#records = before;
  }

  #step(node: Node): void {
    const { gradients, sinks } = node;
    if (gradients.some((gradient) => gradient)) {
      const given = gradients.map((gradient) => gradient && this.borrowed(gradient));
      this.#frames.push([]);
      const found = node.backward(given);
      const made = found.map((gradient, i) => {
        const sink = sinks[i];
        if (!gradient || !sink) return null;
        const own = gradient.temporary ? gradient : this.alias(gradient);
        return this.fitted(own, sink);
      });
      for (const named of this.#frames.pop()!) this.release(named.storage);
      for (const gradient of gradients) if (gradient) this.release(gradient.storage);
      for (const storage of node.kept) this.release(storage);
      made.forEach((gradient, i) => {
        if (!gradient) return;
        gradient.temporary = false;
        sinks[i]!.take(gradient);
      });
      found.forEach((gradient) => gradient && this.drop(gradient));
    } else for (const storage of node.kept) this.release(storage);
    node.kept = [];
    node.gradients.fill(null);
  }

  /** A gradient reduced to the shape, then converted to the type, of its tensor. */
  fitted(gradient: Tensor, { shape, type }: Pick<Sink, "shape" | "type">): Tensor {
    let fit = gradient;
    const isSame = shape.length === fit.shape.length && shape.every((size, i) => size === fit.shape[i]);
    if (!isSame) {
      const summed = this.fresh(shape, fit.type);
      this.drop(fit);
      fit = summed;
    }
    if (fit.type !== type) {
      const converted = this.fresh(shape, type, fit);
      this.drop(fit);
      fit = converted;
    }
    return fit;
  }
}
