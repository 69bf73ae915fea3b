// Instances of blocks: their members, and the places in the model that name them.
import type { Span } from "../diagnostics/span.js";
import type { Block, Names } from "../syntax/ast.js";
import type { Any, InstanceRef, ListAny } from "./context.js";
import type { LoadedFile } from "./files.js";
import type { Trace } from "./session.js";
import type { Scope, Binding, WeightRecord } from "./scope.js";

/** Where an instance lives: the member or parameter of another one that made or received it first. */
export interface Home {
  readonly parent: Instance;
  /** `attn`, `inner`, `layers.3`. */
  readonly segment: string;
}

export class Instance implements InstanceRef {
  home: Home | null = null;
  /** Parameters: types and right-hand sides of members see them first. */
  readonly params = new Map<string, Binding>();
  /** Sub-blocks and weights. */
  readonly members = new Map<string, Binding>();
  /** Sub-blocks, weights and functions: what function bodies see. */
  readonly bodyNames = new Map<string, Binding>();
  /** Instances and weights that live here, in order. */
  readonly owned: (Instance | WeightRecord)[] = [];
  /** The `names` of a model; they count only where it is the one compiled, for its checkpoint is the file. */
  readonly names: Names[] = [];
  /** The calls that led to it, its own innermost: what diagnostics about its members go by. */
  trace: Trace | null = null;
  #path: string | null = null;

  constructor(
    readonly decl: Block,
    readonly file: LoadedFile,
    /** The call that made it; the declaration for the model itself. */
    readonly span: Span,
  ) {}

  get block(): string {
    return this.decl.name.text;
  }

  /** Empty for the model itself, and for an instance that no member holds. */
  get path(): string {
    if (this.home === null) return "";
    return (this.#path ??= joinPath(this.home.parent.path, this.home.segment));
  }

  /** Names as types, conditions and right-hand sides of members see them. */
  get memberScope(): Scope {
    return this.file.scope.inner(this.members).inner(this.params);
  }

  /** Names as function bodies see them. */
  get bodyScope(): Scope {
    return this.file.scope.inner(this.params).inner(this.bodyNames);
  }
}

export const joinPath = (path: string, segment: string): string => (path === "" ? segment : `${path}.${segment}`);

/** Lists whose instances all have homes. */
const settled = new WeakSet<ListAny>();

/** Gives every instance in a value that has no home yet this one; what has one is shared and keeps it. In order, and each list once, however often it is shared. */
export function settle(root: Any, parent: Instance, member: string): void {
  const todo: { readonly value: Any; readonly segment: string }[] = [{ value: root, segment: member }];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { value, segment } = next;
    if (value.kind === "list" && !settled.has(value)) {
      settled.add(value);
      for (let i = value.items.length - 1; i >= 0; i--) todo.push({ value: value.items[i]!, segment: `${segment}.${i}` });
    } else if (value.kind === "instance") {
      const instance = instanceOf(value.instance);
      if (instance.home !== null || instance === parent) continue;
      instance.home = { parent, segment };
      parent.owned.push(instance);
    }
  }
}

/** The instance behind a reference. Marked boundary: every reference the checker hands out is one of its own instances. */
export const instanceOf = (ref: InstanceRef): Instance => ref as Instance;
