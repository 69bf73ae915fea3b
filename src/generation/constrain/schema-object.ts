// The fields of a schema, read as untrusted values, and how faults in them are reported.
import { ConstraintError } from "./errors.js";
import type { Expression } from "./expression.js";

export type SchemaObject = Readonly<Record<string, unknown>>;

export const KINDS = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;
export type Kind = (typeof KINDS)[number];

export const isSchemaObject = (value: unknown): value is SchemaObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isKind = (value: unknown): value is Kind => KINDS.some((kind) => kind === value);

/** The types that a schema names; null if it names none; a text that says what is wrong with them. */
export function kindsOf({ type }: SchemaObject): readonly Kind[] | null | string {
  if (type === undefined) return null;
  const list: readonly unknown[] = Array.isArray(type) ? type : [type];
  if (list.length === 0 || !list.every(isKind)) return `must be of ${KINDS.join(", ")}`;
  // Every whole number is a number.
  return [...new Set(list)].filter((kind) => !(kind === "integer" && list.includes("number")));
}

/** What the parts of a schema are compiled with. */
export interface SchemaCompiler {
  /** The values of a schema; `place`: where it is, for messages. */
  value(schema: unknown, place: string): Expression;
  /** A rule for an expression that is used more than once. */
  define(expression: Expression): Expression;
}

export const failAt = (place: string, what: string, hint: string | null = null): never => {
  throw new ConstraintError(`${place === "" ? "the schema" : `${place} of the schema`} ${what}`, { hint });
};

export const at = (place: string, ...names: readonly (string | number)[]): string =>
  names.reduce<string>(
    (path, name) => (typeof name === "number" ? `${path}[${name}]` : path === "" ? name : `${path}.${name}`),
    place,
  );
