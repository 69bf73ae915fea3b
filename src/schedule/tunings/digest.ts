// A short name for tunings: the same for equal ones, on every machine.
import type { Tunings } from "./index.js";

/**
 * Sixteen hexadecimal digits of the JSON of the tunings, by FNV-1a (Fowler, Noll, Vo), 32 bits twice. It tells tunings
 * apart; it protects nothing.
 */
export function tuningsDigest(tunings: Tunings): string {
  const text = JSON.stringify(ordered(tunings));
  return [0x811c9dc5, 0x050c5d1f].map((offset) => fnv1a(text, offset).toString(16).padStart(8, "0")).join("");
}

function fnv1a(text: string, offset: number): number {
  let hash = offset;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** With the fields of every object in one order. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, v]) => [name, ordered(v)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
