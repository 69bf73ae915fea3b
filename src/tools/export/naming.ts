// Gives a block's values the same names in all versions, so that shared statements have equal text.
import type { Value } from "../../language/check/model.js";
import type { Body } from "./outline.js";

/** Identifies a value across versions: the operation, the call, the source position, and a running number. */
type Key = string;

export class Naming {
  readonly #uses = new Map<Key, number>();
  readonly #names = new Map<Key, string>();
  readonly #keys = new Map<Value, Key>();

  constructor(bodies: readonly { readonly body: Body; readonly uses: ReadonlyMap<Value, number> }[]) {
    for (const { body, uses } of bodies) {
      const seen = new Map<string, number>();
      for (const value of computed(body)) {
        const place = `${value.op} ${value.path} ${value.span.file} ${value.span.start} ${value.span.end}`;
        const n = seen.get(place) ?? 0;
        seen.set(place, n + 1);
        this.#keys.set(value, `${place} ${n}`);
        this.#uses.set(`${place} ${n}`, Math.max(uses.get(value) ?? 0, this.#uses.get(`${place} ${n}`) ?? 0));
      }
    }
  }

  /** The number of uses in the version that uses the value most. */
  usesOf(value: Value): number | undefined {
    const key = this.#keys.get(value);
    return key === undefined ? undefined : this.#uses.get(key);
  }

  /** The name that another version chose for the value. */
  nameOf(value: Value): string | undefined {
    const key = this.#keys.get(value);
    return key === undefined ? undefined : this.#names.get(key);
  }

  /** Stores a version's name for a value; the first version decides for all. */
  call(value: Value, name: string): void {
    const key = this.#keys.get(value);
    if (key !== undefined && !this.#names.has(key)) this.#names.set(key, name);
  }

  /** Names that other versions chose for values in this body. */
  namesIn(body: Body): ReadonlySet<string> {
    return new Set(computed(body).flatMap((value) => this.nameOf(value) ?? []));
  }
}

const computed = ({ items }: Body): readonly Value[] =>
  items.flatMap((item) => (item.value ? [item.value] : item.body.outs));
