// Bindings of names, and the files and instances that contain them.
import type { Span } from "../../diagnostics/span.js";
import type { DType } from "../../../ground/base/dtype.js";
import type { Block, Const, File, Fn, Names, Weight } from "../../syntax/ast.js";
import type { Scope } from "../../names/scope.js";
import type { ConstValue, InstanceRef } from "../model/context.js";
import type { Initialiser } from "../model/model.js";
import type { Trace } from "../model/checker.js";

/** A weight or state of one instance. */
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

export interface LoadedFile {
  readonly tree: File;
  /** The path relative to the root file's folder, or `std/…` for the library. */
  readonly path: string;
  readonly library: boolean;
  /** The scope of declarations and imports; only the built-in names are outside of this scope. */
  readonly scope: Scope<Binding>;
  /** Declarations in the file, which other files can import. */
  readonly exports: ReadonlyMap<string, Binding>;
}

/** The owner of an instance: the instance whose member or parameter first held it, with the member's path segment. */
export interface Home {
  readonly parent: Instance;
  /** `attn`, `inner`, `layers.3`. */
  readonly segment: string;
}

export class Instance implements InstanceRef {
  home: Home | null = null;
  /** Parameters, which types and right-hand sides of members see before other names. */
  readonly params = new Map<string, Binding>();
  /** Sub-blocks and weights. */
  readonly members = new Map<string, Binding>();
  /** Sub-blocks, weights and functions, which function bodies see. */
  readonly bodyNames = new Map<string, Binding>();
  /** Owned instances and weights, in order. */
  readonly owned: (Instance | WeightRecord)[] = [];
  /**
   * The `names` declarations of a model. Those of the compiled model are for its checkpoint, those of a model that is
   * a block in it for a checkpoint of that block alone.
   */
  readonly names: Names[] = [];
  /** The calls that led to the instance's creation, innermost first; for diagnostics about its members. */
  trace: Trace | null = null;
  #path: string | null = null;

  constructor(
    readonly decl: Block,
    readonly file: LoadedFile,
    /** The span of the creating call; for the model itself the span of its declaration. */
    readonly span: Span,
  ) {}

  get block(): string {
    return this.decl.name.text;
  }

  /** The path; empty for the model itself and for an instance without an owner. */
  get path(): string {
    if (this.home === null) return "";
    return (this.#path ??= joinPath(this.home.parent.path, this.home.segment));
  }

  /** The scope of types, conditions and right-hand sides of members. */
  get memberScope(): Scope<Binding> {
    return this.file.scope.inner(this.members).inner(this.params);
  }

  /** The scope of function bodies. */
  get bodyScope(): Scope<Binding> {
    return this.file.scope.inner(this.params).inner(this.bodyNames);
  }
}

export const joinPath = (path: string, segment: string): string => (path === "" ? segment : `${path}.${segment}`);
