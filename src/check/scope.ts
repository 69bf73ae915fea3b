// Names: what they stand for, and where they are looked up.
import type { Block, Const, Fn, Weight } from "../syntax/ast.js";
import type { Any } from "./context.js";
import type { LoadedFile } from "./files.js";
import type { Instance } from "./instance.js";
import type { DType } from "../size/dtype.js";
import type { Initialiser } from "./model.js";

/** A weight of one instance. */
export interface WeightRecord {
  readonly owner: Instance;
  readonly decl: Weight;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly init: Initialiser;
}

export type Binding =
  | { readonly kind: "value"; readonly value: Any }
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
