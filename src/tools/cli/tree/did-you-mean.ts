// Suggestions for an unknown name.
import { nearest } from "../../../ground/numerics/nearest.js";

/** `did you mean check?` with the nearest name; null where none is near. */
export function didYouMean(name: string, names: Iterable<string>): string | null {
  const near = nearest(name, names);
  return near === null ? null : `did you mean ${near}?`;
}
