// A digest of tunings, equal for equal tunings on every machine.
import type { Tunings } from "./index.js";

/** Sixteen hexadecimal digits: FNV-1a (Fowler, Noll, Vo) of the tunings' JSON, 32 bits twice. Not cryptographic. */
export function tuningsDigest(tunings: Tunings): string {
  const text = JSON.stringify(ordered(tunings));
  return [0x811c9dc5, 0x050c5d1f].map((offset) => fnv1a(text, offset).toString(16).padStart(8, "0")).join("");
}

function fnv1a(text: string, offset: number): number {
  let hash = offset;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** The value with sorted object fields. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, v]) => [name, ordered(v)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
