// What may have been meant by a name that there is not.
import { nearest } from "../../size/nearest.js";

/** `did you mean check?`, of the name that is nearest; null where none is near. */
export function didYouMean(name: string, names: Iterable<string>): string | null {
  const near = nearest(name, names);
  return near === null ? null : `did you mean ${near}?`;
}
