// Contents of generation caches by part, as a person reads them.
import { CACHE_PARTS, type CachePart, type CacheParts } from "../../../compiler/cost/caches.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { wrap } from "../terminal/units.js";

const CACHED: { readonly [P in CachePart]: readonly [name: string, of: string] } = {
  keys: ["keys and values", "for a token in every layer"],
  pairs: ["values of pairs", "for a token in every layer"],
  states: ["states of recurrences", "for a sequence"],
};

/** `caches 277.7 KiB: keys and values 128 KiB (2 KiB for a token in every layer), …`; nothing without caches. */
export function cacheLines(caches: CacheParts, width: number): readonly string[] {
  const held = CACHE_PARTS.filter((part) => caches[part].bytes > 0);
  const total = held.reduce((sum, part) => sum + caches[part].bytes, 0);
  const listed = held.map((part) => {
    const [name, of] = CACHED[part];
    return `${name} ${formatBytes(caches[part].bytes)} (${formatBytes(caches[part].each)} ${of})`;
  });
  return held.length === 0 ? [] : wrap(`caches ${formatBytes(total)}: `, listed, ", ", width);
}
