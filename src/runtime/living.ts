// Devices that were opened and not yet given up: what must be quiet before a process can end.

/** Each is held here for as long as it lives: Dawn crashes where the objects behind a living device are collected. */
export const living = new Set<{ destroy(): void }>();

/**
 * Gives all of them up. Dawn first waits for what the driver's threads are at, kernels that are being compiled
 * included.
 */
export function destroyLiving(): void {
  for (const device of living) device.destroy();
}
