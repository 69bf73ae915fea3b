// Prints the memory use of a session.
import { formatBytes } from "../../../runtime/device/errors.js";
import type { MemoryUse } from "../../../runtime/run/memory.js";
import { wrap } from "../terminal/units.js";

/** Memory by purpose, largest first, without purposes below a thousandth. */
export function memoryLines({ total, reading, ...parts }: MemoryUse, width: number): readonly string[] {
  const listed = Object.entries(parts)
    .toSorted(([, a], [, b]) => b - a)
    .filter(([, bytes]) => bytes >= total / 1000)
    .map(([name, bytes]) => `${name} ${formatBytes(bytes)}`);
  if (reading >= total / 1000) listed.push(`and ${formatBytes(reading)} while states are read`);
  return wrap(`memory of a session ${formatBytes(total)}: `, listed, ", ", width);
}
