// A Map key for the attributes of a node: two keys are equal if and only if the attributes are.

/** Uses the canonical form of sizes, and distinguishes −0 from 0 and NaN from null. */
export function attrsKey(attrs: object): string {
  const entries = Object.entries(attrs);
  return entries.length === 0
    ? ""
    : entries
        .map(([name, value]) => `${name}:${valueKey(value)}`)
        .sort()
        .join(";");
}

function valueKey(value: unknown): string {
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : `${value}`;
  if (Array.isArray(value)) return `[${value.map(valueKey).join(",")}]`;
  if (typeof value === "object" && value !== null)
    return "key" in value ? `<${String(value.key)}>` : `{${attrsKey(value)}}`;
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
