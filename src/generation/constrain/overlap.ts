// Whether two schemas may describe one value: `oneOf` takes only values that one schema describes.
import { isSchemaObject, KINDS, kindsOf, type Kind, type SchemaObject } from "./schema-object.js";

/** Values of `const` and `enum` as JSON, and the kinds of all values. */
interface Facts {
  readonly values: ReadonlySet<string> | null;
  readonly kinds: ReadonlySet<Kind>;
  /** The names that an object must have. */
  readonly required: ReadonlySet<unknown> | null;
}

/** Steps of all comparisons of a schema: some tenths of a second. */
const MOST_STEPS = 1_000_000;

/** Compares the schemas of one document. */
export class Overlaps {
  readonly #facts = new Map<SchemaObject, Facts>();
  readonly #resolved = new Map<SchemaObject, unknown>();
  readonly #known = new Map<SchemaObject, Map<SchemaObject, boolean>>();
  #steps = 0;

  /**
   * `resolve`: a schema in place of a reference to it; `place`: where that is. `refuse`: called after too many
   * comparisons.
   */
  constructor(
    readonly resolve: (schema: SchemaObject, place: string) => unknown,
    readonly refuse: () => never,
  ) {}

  /** False only if no value is described by both. */
  of(a: unknown, b: unknown, place: string): boolean {
    const [one, other] = [this.#target(a, place), this.#target(b, place)];
    this.#step(1);
    if (!isSchemaObject(one) || !isSchemaObject(other)) return true;
    const known = this.#known.get(one)?.get(other);
    if (known !== undefined) return known;
    const found = this.#compare(one, other, place);
    let all = this.#known.get(one);
    if (!all) this.#known.set(one, (all = new Map()));
    all.set(other, found);
    return found;
  }

  #compare(one: SchemaObject, other: SchemaObject, place: string): boolean {
    const [mine, theirs] = [this.#factsOf(one), this.#factsOf(other)];
    if (mine.values && theirs.values) return this.#share(mine.values, theirs.values);
    const shared = [...mine.kinds].filter((kind) => theirs.kinds.has(kind));
    if (shared.length !== 1 || shared[0] !== "object") return shared.length > 0;
    // Objects differ if a property that both need does.
    const [own, others] = [one["properties"], other["properties"]];
    if (!isSchemaObject(own) || !isSchemaObject(others) || !mine.required || !theirs.required) return true;
    for (const name of mine.required) {
      this.#step(1);
      if (typeof name !== "string" || !theirs.required.has(name)) continue;
      const [a, b] = [this.#target(own[name], place), this.#target(others[name], place)];
      if (!isSchemaObject(a) || !isSchemaObject(b)) continue;
      const [values, also] = [this.#factsOf(a).values, this.#factsOf(b).values];
      if (values && also && !this.#share(values, also)) return false;
    }
    return true;
  }

  #share(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
    const [few, many] = a.size < b.size ? [a, b] : [b, a];
    this.#step(few.size);
    for (const value of few) if (many.has(value)) return true;
    return false;
  }

  #target(schema: unknown, place: string): unknown {
    if (!isSchemaObject(schema) || typeof schema["$ref"] !== "string") return schema;
    if (!this.#resolved.has(schema)) this.#resolved.set(schema, this.resolve(schema, place));
    return this.#resolved.get(schema);
  }

  #factsOf(schema: SchemaObject): Facts {
    let facts = this.#facts.get(schema);
    if (!facts) {
      const values = valuesOf(schema);
      const required = schema["required"];
      facts = { values, kinds: kindsIn(schema, values), required: Array.isArray(required) ? new Set(required) : null };
      this.#facts.set(schema, facts);
    }
    return facts;
  }

  #step(steps: number): void {
    this.#steps += steps;
    if (this.#steps > MOST_STEPS) this.refuse();
  }
}

/** The values of `const` and `enum`, as JSON; null without either. */
function valuesOf(schema: SchemaObject): ReadonlySet<string> | null {
  const values: unknown = Object.hasOwn(schema, "const") ? [schema["const"]] : schema["enum"];
  return Array.isArray(values) ? new Set(values.map((value) => JSON.stringify(value))) : null;
}

/** The kinds of values; whole numbers are numbers. */
function kindsIn(schema: SchemaObject, values: ReadonlySet<string> | null): ReadonlySet<Kind> {
  if (values) return new Set([...values].map((json) => kindOf(JSON.parse(json))));
  const kinds = kindsOf(schema);
  if (kinds === null || typeof kinds === "string") return new Set(KINDS);
  return new Set(kinds.map((kind) => (kind === "integer" ? "number" : kind)));
}

const kindOf = (value: unknown): Kind =>
  value === null ? "null" : Array.isArray(value) ? "array" : (typeof value as Kind); // JSON has no others
