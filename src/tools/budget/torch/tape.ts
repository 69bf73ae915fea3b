// Memory over a step of PyTorch in eager mode: what lives when, what autograd keeps, and the backward pass in its
// order.
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

/** An operation that autograd knows. */
interface Node {
  kept: readonly Storage[];
  /** Whether it keeps anything; in a region that is there once it is computed again. */
  readonly keeps: boolean;
  /** Of its results. */
  readonly gradients: (Tensor | null)[];
  /** The gradients of its operands, of those of its results; null where one has none. */
  readonly backward: (gradients: readonly (Tensor | null)[]) => readonly (Tensor | null)[];
  readonly sinks: readonly (Sink | null)[];
  readonly region: Region | null;
}

/** What is computed again in the backward pass. */
interface Region {
  readonly nodes: Node[];
  /** How many of them there are up to the last that keeps something: behind it nothing is computed again. */
  needed: number;
  readonly again: () => void;
  readonly held: readonly Storage[];
  isDone: boolean;
}

/** Something that happens in the backward pass when it comes by. */
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

/** Ends what is computed again, once all that is kept is there. */
class Enough extends Error {
  constructor(
    /** Results of the last operation that is not needed. */
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
  /** As operations are computed again: what they keep, and all tensors that they make. */
  #again: { readonly lists: (readonly Storage[])[]; readonly needed: number; readonly made: Tensor[] } | null = null;

  /** The most bytes at once, and what they were for. */
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

  /** What was allocated last counts once something follows: only then is it known that it was not the end. */
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

  /** Another tensor of the same storage. */
  alias(of: Tensor, shape = of.shape, strides = of.strides): Tensor {
    const { type, sink } = of;
    return this.#made({ storage: this.#hold(of.storage), shape, strides, type, sink, temporary: true });
  }

  #made(tensor: Tensor): Tensor {
    this.#again?.made.push(tensor);
    return tensor;
  }

  /** What holds a tensor beyond the expression that made it, until its function returns. */
  name(tensor: Tensor): Tensor {
    if (!tensor.temporary) return tensor;
    tensor.temporary = false;
    this.#frames.at(-1)?.push(tensor);
    return tensor;
  }

  /** A tensor that a name elsewhere holds. */
  borrowed = (tensor: Tensor): Tensor => ({ ...tensor, sink: null, temporary: false });

  /** Ends a tensor that is part of an expression. */
  drop(...tensors: readonly Tensor[]): void {
    for (const tensor of tensors)
      if (tensor.temporary) {
        tensor.temporary = false;
        this.release(tensor.storage);
      }
  }

  /** A function of Python: its arguments live until it returns, and so does what it names; its results go on. */
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

  /** Records an operation and ends those of its operands that nothing else holds; gives its results. */
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

  /** Two gradients of one tensor: into the first where nothing else holds it. */
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

  /** A parameter's own sink: `grads` holds its gradient between the steps. */
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

  /** Something that happens when the backward pass comes to this place. */
  hook(hook: () => void): void {
    if (!this.#again) this.#nodes.push({ hook });
  }

  /**
   * A function of which only the arguments are kept, and which is computed again when its gradients are; `end` is
   * called behind that.
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
      // An operation keeps its operands before it computes.
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

  /** The backward pass from losses: operations in the opposite order, each once all of its results have gradients. */
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

  /** A gradient summed to the shape, and then converted to the type, of what it is of. */
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
