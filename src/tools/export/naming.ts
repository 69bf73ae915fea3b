// What values of one block are called in all its versions, so that statements that versions share have the same text.
import type { Value } from "../../language/check/model.js";
import type { Body } from "./outline.js";

/** What a value is in any version: an operation of one call, at one place of the source, for the n-th time. */
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

  /** How often it is used in the version that uses it most. */
  usesOf(value: Value): number | undefined {
    const key = this.#keys.get(value);
    return key === undefined ? undefined : this.#uses.get(key);
  }

  /** What another version calls it. */
  nameOf(value: Value): string | undefined {
    const key = this.#keys.get(value);
    return key === undefined ? undefined : this.#names.get(key);
  }

  /** Keeps what a version calls it; the first says so for all. */
  call(value: Value, name: string): void {
    const key = this.#keys.get(value);
    if (key !== undefined && !this.#names.has(key)) this.#names.set(key, name);
  }

  /** Names that other versions gave to what a body computes. */
  namesIn(body: Body): ReadonlySet<string> {
    return new Set(computed(body).flatMap((value) => this.nameOf(value) ?? []));
  }
}

const computed = ({ items }: Body): readonly Value[] =>
  items.flatMap((item) => (item.value ? [item.value] : item.body.outs));
