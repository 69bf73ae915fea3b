// Whether a value is as a JSON schema describes it: written from the standard, for tests, without what modc refuses.

type Schema = Readonly<Record<string, unknown>>;

export function validates(root: unknown, value: unknown, schema: unknown = root): boolean {
  if (typeof schema === "boolean") return schema;
  const own = schema as Schema;
  const under = (part: unknown, inner: unknown): boolean => validates(root, inner, part);
  const checks: Readonly<Record<string, (given: never) => boolean>> = {
    $ref: (ref: string) =>
      under(
        ref
          .split("/")
          .slice(1)
          .reduce<unknown>((at, name) => (at as Schema)[name], root),
        value,
      ),
    type: (types: string | readonly string[]) => [types].flat().some((type) => isOf(type, value)),
    const: (wanted) => same(wanted, value),
    enum: (wanted: readonly unknown[]) => wanted.some((one) => same(one, value)),
    anyOf: (list: readonly unknown[]) => list.some((one) => under(one, value)),
    oneOf: (list: readonly unknown[]) => list.filter((one) => under(one, value)).length === 1,
    allOf: (list: readonly unknown[]) => list.every((one) => under(one, value)),
    minimum: (n: number) => typeof value !== "number" || value >= n,
    maximum: (n: number) => typeof value !== "number" || value <= n,
    exclusiveMinimum: (n: number) => typeof value !== "number" || value > n,
    exclusiveMaximum: (n: number) => typeof value !== "number" || value < n,
    minLength: (n: number) => typeof value !== "string" || Array.from(value).length >= n,
    maxLength: (n: number) => typeof value !== "string" || Array.from(value).length <= n,
    pattern: (pattern: string) => typeof value !== "string" || new RegExp(pattern, "u").test(value),
    minItems: (n: number) => !Array.isArray(value) || value.length >= n,
    maxItems: (n: number) => !Array.isArray(value) || value.length <= n,
    prefixItems: (list: readonly unknown[]) =>
      !Array.isArray(value) || list.slice(0, value.length).every((one, i) => under(one, value[i])),
    items: (item) =>
      !Array.isArray(value) ||
      value.slice(((own["prefixItems"] ?? []) as readonly unknown[]).length).every((one) => under(item, one)),
    required: (names: readonly string[]) =>
      !isOf("object", value) || names.every((n) => Object.hasOwn(value as object, n)),
    properties: (all: Schema) =>
      !isOf("object", value) ||
      Object.entries(value as Schema).every(([name, one]) => !Object.hasOwn(all, name) || under(all[name], one)),
    additionalProperties: (other) =>
      !isOf("object", value) ||
      Object.entries(value as Schema).every(
        ([name, one]) => Object.hasOwn((own["properties"] ?? {}) as Schema, name) || under(other, one),
      ),
  };
  return Object.entries(own).every(([name, given]) => checks[name]?.(given as never) ?? true);
}

function isOf(type: string, value: unknown): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
