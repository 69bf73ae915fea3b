// What names stand for, and where they are looked up: bindings, chains of them, and the files and instances that hold
// them.
import type { Span } from "../../diagnostics/span.js";
import type { DType } from "../../base/dtype.js";
import type { Block, Const, File, Fn, Names, Weight } from "../../syntax/ast.js";
import type { ConstValue, InstanceRef } from "../context.js";
import type { Initialiser } from "../model.js";
import type { Trace } from "../checker.js";

/** A weight of one instance. */
export interface WeightRecord {
  readonly owner: Instance;
  readonly decl: Weight;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly init: Initialiser;
}

export type Binding =
  | { readonly kind: "value"; readonly value: ConstValue }
  | { readonly kind: "weight"; readonly weight: WeightRecord }
  | { readonly kind: "function"; readonly instance: Instance; readonly fn: Fn }
  | { readonly kind: "block"; readonly block: Block; readonly file: LoadedFile }
  | { readonly kind: "const"; readonly decl: Const; readonly file: LoadedFile };

/** A chain of names: the inner hides the outer. Tables may be shared between chains and grow. */
export class Scope {
  constructor(
    readonly table: Map<string, Binding>,
    readonly outer: Scope | null,
  ) {}

  find(name: string): Binding | null {
    return this.table.get(name) ?? this.outer?.find(name) ?? null;
  }

  inner(table: Map<string, Binding> = new Map()): Scope {
    return new Scope(table, this);
  }

  /** Every name that can be seen, inner first. */
  *names(): Generator<string> {
    yield* this.table.keys();
    if (this.outer !== null) yield* this.outer.names();
  }
}

export interface LoadedFile {
  readonly tree: File;
  /** Relative to the root file's folder, or `std/…` in the library. */
  readonly path: string;
  readonly library: boolean;
  /** Declarations and imports: the outermost names but for the built-in ones. */
  readonly scope: Scope;
  /** Own declarations: what others may import. */
  readonly exports: ReadonlyMap<string, Binding>;
}

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
