// Whether two schemas may describe one value: `oneOf` takes only values that one schema describes.
import { isSchemaObject, KINDS, kindsOf, type Kind } from "./schema-object.js";

/** False only if no value is described by both. `resolved`: a schema in place of a reference to it. */
export function overlap(a: unknown, b: unknown, resolved: (schema: unknown) => unknown): boolean {
  const [one, other] = [resolved(a), resolved(b)];
  if (!isSchemaObject(one) || !isSchemaObject(other)) return true;
  const values = [valuesOf(one), valuesOf(other)] as const;
  if (values[0] && values[1]) return [...values[0]].some((value) => values[1]!.has(value));
  const kinds = [kindsIn(one), kindsIn(other)] as const;
  const shared = kinds[0].filter((kind) => kinds[1].includes(kind));
  if (shared.length !== 1 || shared[0] !== "object") return shared.length > 0;
  // Objects differ if a property that both need does.
  const [own, others] = [one["properties"], other["properties"]];
  const needed = one["required"];
  const also = other["required"];
  if (!isSchemaObject(own) || !isSchemaObject(others) || !Array.isArray(needed) || !Array.isArray(also)) return true;
  return !needed.some((name: unknown) => {
    if (typeof name !== "string" || !also.includes(name)) return false;
    const [mine, theirs] = [valuesOf(resolved(own[name])), valuesOf(resolved(others[name]))];
    return mine !== null && theirs !== null && ![...mine].some((value) => theirs.has(value));
  });
}

/** The values of `const` and `enum`, as JSON; null without either. */
function valuesOf(schema: unknown): ReadonlySet<string> | null {
  if (!isSchemaObject(schema)) return null;
  const values: unknown = Object.hasOwn(schema, "const") ? [schema["const"]] : schema["enum"];
  return Array.isArray(values) ? new Set(values.map((value) => JSON.stringify(value))) : null;
}

/** The kinds of values; whole numbers are numbers. */
function kindsIn(schema: Readonly<Record<string, unknown>>): readonly Kind[] {
  const values = valuesOf(schema);
  if (values) return [...new Set([...values].map((json) => kindOf(JSON.parse(json))))];
  const kinds = kindsOf(schema);
  if (kinds === null || typeof kinds === "string") return KINDS;
  return [...new Set(kinds.map((kind) => (kind === "integer" ? "number" : kind)))];
}

const kindOf = (value: unknown): Kind =>
  value === null ? "null" : Array.isArray(value) ? "array" : (typeof value as Kind); // JSON has no others
