// Prints a caller's value for an error message: NaN and infinities by name, which JSON would print as null, and long
// values shortened.
import { quotedName } from "../../ground/base/shown.js";

export function inspect(value: unknown): string {
  switch (typeof value) {
    case "string":
      return quotedName(value);
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
    case "boolean":
    case "undefined":
      return String(value);
    case "object":
      return value === null ? "null" : Array.isArray(value) ? "a list" : "an object";
    default:
      return `a ${typeof value}`;
  }
}
