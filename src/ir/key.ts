// A key for the attributes of a node: equal exactly where the attributes are, so that equal nodes can be found in a
// Map.

/** Sizes by their canonical form, numbers with the sign of zero and NaN kept. */
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
