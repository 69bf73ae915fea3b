// Typed access to the fields of an external configuration; errors name file, field and value.
import { parseJson, type Json } from "../../../runtime/weights/formats/json.js";
import { escapedName } from "../../../ground/base/shown.js";
import { CheckpointError } from "./errors.js";

/**
 * The fields of an object, usually from a JSON file. A null field counts as absent, since Python writes `None` as null.
 */
export class Fields {
  private constructor(
    private readonly values: ReadonlyMap<string, Json>,
    private readonly place: string,
    private readonly prefix: string,
  ) {}

  /** Parses a file's text. Throws CheckpointError if it is not a JSON object. */
  static parse(text: string, file: string): Fields {
    const json = parsed(text, file);
    if (!(json instanceof Map)) throw new CheckpointError("bad-config", `${file} is not a JSON object`);
    return new Fields(json as ReadonlyMap<string, Json>, file, "");
  }

  /** Parses the text of a file with a list. Throws CheckpointError if it is not a list of JSON objects. */
  static parseList(text: string, file: string): readonly Fields[] {
    const json = parsed(text, file);
    if (!Array.isArray(json)) throw new CheckpointError("bad-config", `${file} is not a JSON list`);
    return (json as readonly Json[]).map((one, i) => {
      if (one instanceof Map) return new Fields(one as ReadonlyMap<string, Json>, file, `${i}.`);
      throw new CheckpointError("bad-config", `${file} has an entry ${i} that is not an object`);
    });
  }

  /** Fields that do not come from a JSON file. Messages name them by `prefix` and field name, at `place`. */
  static of(values: ReadonlyMap<string, Json>, place: string, prefix: string): Fields {
    return new Fields(values, place, prefix);
  }

  /** Names of the fields that are not null. */
  get names(): readonly string[] {
    return [...this.values].flatMap(([name, value]) => (value === null ? [] : [name]));
  }

  /**
   * The fields with those under other names, by name, under the names that they are read by. Throws CheckpointError if
   * both are there and differ.
   */
  renamed(others: Readonly<Record<string, string>>): Fields {
    const values = new Map(this.values);
    for (const [other, name] of Object.entries(others)) {
      const value = this.raw(other);
      values.delete(other);
      if (value === null) continue;
      if (this.raw(name) !== null && this.raw(name) !== value)
        this.refuse(other, `it is another name of ${name}, which is ${shortened(this.raw(name))}`);
      values.set(name, value);
    }
    return new Fields(values, this.place, this.prefix);
  }

  /** Whether the field is present, possibly null. */
  has(name: string | null): boolean {
    return name !== null && this.values.has(name);
  }

  /** The raw value; null if absent, or if there is no such field. */
  raw(name: string | null): Json {
    return name === null ? null : (this.values.get(name) ?? null);
  }

  /** Throws a CheckpointError that names the field and shows its value. */
  refuse(name: string | null, why: string, hint: string | null = null): never {
    throw new CheckpointError(
      "bad-config",
      `${this.place}: ${this.prefix}${name} is ${shortened(this.raw(name))}: ${why}`,
      { hint },
    );
  }

  missing(name: string): never {
    throw new CheckpointError("bad-config", `${this.place} has no ${this.prefix}${name}`);
  }

  /** Throws CheckpointError for a field with another name, unless it is false. */
  allow(known: ReadonlySet<string>): this {
    const unknown = this.names.find((name) => !known.has(name) && this.raw(name) !== false);
    return unknown === undefined ? this : this.refuse(unknown, "modc does not know this field");
  }

  /** Whether the field says nothing: it is absent, false, or an empty string, list or object. */
  isEmpty(name: string): boolean {
    const value = this.raw(name);
    return (
      value === null ||
      value === false ||
      value === "" ||
      (Array.isArray(value) && value.length === 0) ||
      (value instanceof Map && value.size === 0)
    );
  }

  /** Throws CheckpointError if the field is there with another value than this one. */
  only(name: string, value: Json, why: string): void {
    if (this.raw(name) !== null && this.raw(name) !== value) this.refuse(name, why);
  }

  /** The fields of a nested object; null if absent. */
  object(name: string): Fields | null {
    const value = this.raw(name);
    if (value === null) return null;
    if (!(value instanceof Map)) return this.refuse(name, "it must be an object");
    return new Fields(value as ReadonlyMap<string, Json>, this.place, `${this.prefix}${name}.`);
  }

  /** A nested object without fields, for messages about the object of this name. */
  none(name: string): Fields {
    return new Fields(new Map(), this.place, `${this.prefix}${name}.`);
  }

  whole(name: string | null, least = 1): number | null {
    const value = this.raw(name);
    if (value === null) return null;
    return typeof value === "number" && Number.isSafeInteger(value) && value >= least
      ? value
      : this.refuse(name, `it must be a whole number${least > Number.MIN_SAFE_INTEGER ? ` from ${least} on` : ""}`);
  }

  number(name: string | null): number | null {
    const value = this.raw(name);
    return value === null || typeof value === "number" ? value : this.refuse(name, "it must be a number");
  }

  positive(name: string | null): number | null {
    const value = this.number(name);
    return value === null || value > 0 ? value : this.refuse(name, "it must be above 0");
  }

  flag(name: string): boolean | null {
    const value = this.raw(name);
    return value === null || typeof value === "boolean" ? value : this.refuse(name, "it must be true or false");
  }

  text(name: string | null): string | null {
    const value = this.raw(name);
    return value === null || typeof value === "string" ? value : this.refuse(name, "it must be a string");
  }

  texts(name: string): readonly string[] | null {
    const value = this.raw(name);
    if (value === null) return null;
    const texts = Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
    return Array.isArray(value) && texts.length === value.length
      ? texts
      : this.refuse(name, "it must be a list of strings");
  }

  /** A list of finite numbers. */
  numbers(name: string): readonly number[] | null {
    const value = this.raw(name);
    if (value === null) return null;
    const numbers = Array.isArray(value) ? value.filter((item): item is number => Number.isFinite(item)) : [];
    return Array.isArray(value) && numbers.length === value.length
      ? numbers
      : this.refuse(name, "it must be a list of numbers");
  }

  /** An integer or a list of integers. */
  wholes(name: string): readonly number[] | null {
    const value = this.raw(name);
    if (value === null) return null;
    const all: readonly Json[] = Array.isArray(value) ? value : [value];
    const numbers = all.filter(
      (item): item is number => typeof item === "number" && Number.isSafeInteger(item) && item >= 0,
    );
    return numbers.length === all.length
      ? numbers
      : this.refuse(name, "it must be a whole number from 0 on, or a list of them");
  }
}

function parsed(text: string, file: string): Json {
  try {
    return parseJson(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CheckpointError("bad-config", `${file} is not JSON: ${why}`, { cause });
  }
}

/** A value as JSON, shortened. */
function shortened(value: Json): string {
  const text = JSON.stringify(value, (_, v: unknown) => (v instanceof Map ? Object.fromEntries(v) : v));
  return escapedName(text, 60);
}
