// The tree of calls of instances, and their paths: `layers.1.inner`, `shared#0` and `shared#1` for an instance with
// several calls.
import { joinPath, type Instance, type WeightRecord } from "../names/bindings.js";
import type { Span } from "../../diagnostics/span.js";
import type { Trace } from "../model/checker.js";
import type { ModelMixture, Value } from "../model/model.js";

/** A call of an instance, within a call of the instance's owner. The path is known once all calls are known. */
export class CallNode {
  /** Calls of owned instances during this call. */
  readonly #calls = new Map<Instance, CallNode[]>();
  /** Placeholders for instances that are not called although an instance inside them is. */
  readonly #idle = new Map<Instance, CallNode>();
  #path: string | null = null;
  #forgotten = false;

  private constructor(
    readonly instance: Instance,
    readonly parent: CallNode | null,
    readonly index: number,
    readonly siblings: readonly CallNode[],
    /** The calling call and the called function; null for the model itself and for placeholders. */
    readonly origin: { readonly caller: CallNode; readonly fn: string } | null,
  ) {}

  static root(model: Instance): CallNode {
    return new CallNode(model, null, 0, [], null);
  }

  /** Adds a call of an owned instance. */
  call(instance: Instance, caller: CallNode, fn: string): CallNode {
    let calls = this.#calls.get(instance);
    if (calls === undefined) this.#calls.set(instance, (calls = []));
    const node = new CallNode(instance, this, calls.length, calls, { caller, fn });
    calls.push(node);
    return node;
  }

  /** Removes the latest call of its instance. */
  forget(): void {
    if (this.parent !== null) this.parent.#calls.get(this.instance)?.pop();
    this.#forgotten = true;
  }

  get isForgotten(): boolean {
    return this.#forgotten;
  }

  idle(instance: Instance): CallNode {
    let node = this.#idle.get(instance);
    if (node === undefined) this.#idle.set(instance, (node = new CallNode(instance, this, 0, [], null)));
    return node;
  }

  /**
   * The number of a call among several; null if there is one. A placeholder next to calls gets the number after theirs,
   * so that calls inside the placeholder have paths different from calls inside the others.
   */
  get #number(): number | null {
    if (this.origin !== null || this.parent === null) return this.siblings.length > 1 ? this.index : null;
    return this.parent.#calls.get(this.instance)?.length || null;
  }

  /** Valid only after unrolling: a second call of an instance also numbers the first. */
  get path(): string {
    if (this.parent === null) return "";
    const segment = this.instance.home?.segment ?? this.instance.block;
    const number = this.#number;
    return (this.#path ??= joinPath(this.parent.path, number === null ? segment : `${segment}#${number}`));
  }
}

/** The stack of calls being unrolled, innermost first. */
export interface ActiveCall {
  readonly node: CallNode;
  readonly outer: ActiveCall | null;
}

/** The node of a call of a function of `instance` from the innermost active call. */
export function enterCall(active: ActiveCall, instance: Instance, fn: string): CallNode {
  // A call of a function of the same instance belongs to the same call node.
  return active.node.instance === instance ? active.node : ownerCall(active, instance).call(instance, active.node, fn);
}

/**
 * The call of the owner of `instance`. If the owner is not being called, a placeholder stands for it. An instance
 * without an owner is in the outermost call.
 */
function ownerCall(active: ActiveCall, instance: Instance): CallNode {
  const parent = instance.home?.parent ?? null;
  let root = active.node;
  for (let a: ActiveCall | null = active; a !== null; a = a.outer) {
    if (a.node.instance === parent) return a.node;
    root = a.node;
  }
  return parent === null ? root : ownerCall(active, parent).idle(parent);
}

export interface FoundLoss {
  readonly node: CallNode;
  readonly name: string;
  readonly value: Value;
  readonly own: boolean;
}

export interface FoundObserve {
  readonly node: CallNode;
  readonly name: string;
  readonly value: Value;
}

export interface FoundUpdate {
  readonly node: CallNode;
  /** The calls that led to the update. */
  readonly trace: Trace | null;
  readonly state: WeightRecord;
  readonly value: Value;
  /** The name in the statement. */
  readonly span: Span;
}

export interface FoundMixture extends Omit<ModelMixture, "path"> {
  readonly node: CallNode;
}

/** A route with the name to which it was first bound. */
export interface FoundRoute {
  readonly node: CallNode;
  readonly name: string;
  readonly axis: string;
}
