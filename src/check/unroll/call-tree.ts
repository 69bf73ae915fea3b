// Calls of instances, and the paths that name them: `layers.1.inner`, `shared#0` and `shared#1` where an instance is
// called more than once.
import { type Instance, joinPath } from "../names/bindings.js";

/** One call of an instance, within the call of the instance it lives in. Its path is known once all calls are. */
export class CallNode {
  /** Calls of the instances that live in this one, made during this call. */
  readonly #calls = new Map<Instance, CallNode[]>();
  /** Stands for an instance that is not being called itself, though one inside it is. */
  readonly #idle = new Map<Instance, CallNode>();
  #path: string | null = null;

  private constructor(
    readonly instance: Instance,
    readonly parent: CallNode | null,
    readonly index: number,
    readonly siblings: readonly CallNode[],
  ) {}

  static root(model: Instance): CallNode {
    return new CallNode(model, null, 0, []);
  }

  /** A further call of an instance that lives here. */
  call(instance: Instance): CallNode {
    let calls = this.#calls.get(instance);
    if (calls === undefined) this.#calls.set(instance, (calls = []));
    const node = new CallNode(instance, this, calls.length, calls);
    calls.push(node);
    return node;
  }

  idle(instance: Instance): CallNode {
    let node = this.#idle.get(instance);
    if (node === undefined) this.#idle.set(instance, (node = new CallNode(instance, this, 0, [])));
    return node;
  }

  /** To be asked for only when everything is unrolled: a second call numbers the first too. */
  get path(): string {
    if (this.parent === null) return "";
    const segment = this.instance.home?.segment ?? this.instance.block;
    return (this.#path ??= joinPath(this.parent.path, this.siblings.length > 1 ? `${segment}#${this.index}` : segment));
  }
}

/** The calls being unrolled, innermost first. */
export interface ActiveCall {
  readonly node: CallNode;
  readonly outer: ActiveCall | null;
}

/** The node for a call of `instance` made from the innermost active call. */
export function enterCall(active: ActiveCall, instance: Instance): CallNode {
  // A function that calls another of its own instance stays in the same call.
  return active.node.instance === instance ? active.node : home(active, instance).call(instance);
}

/** The call of the instance that `instance` lives in. */
function home(active: ActiveCall, instance: Instance): CallNode {
  const parent = instance.home?.parent ?? null;
  let root = active.node;
  for (let a: ActiveCall | null = active; a !== null; a = a.outer) {
    if (a.node.instance === parent) return a.node;
    root = a.node;
  }
  return parent === null ? root : home(active, parent).idle(parent);
}
