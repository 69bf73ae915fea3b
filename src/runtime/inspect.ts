// A caller's value in an error's message: numbers by their names, NaN and infinities too, which JSON would call null;
// all else short.
import { quotedName } from "../size/shown.js";

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
