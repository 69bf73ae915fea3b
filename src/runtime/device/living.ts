// The open devices, which must be destroyed before the process can end.

/**
 * The open devices. The set keeps them referenced: Dawn crashes if the objects of an open device are
 * garbage-collected.
 */
export const living = new Set<{ destroy(): void }>();

/** Destroys all open devices. Dawn first waits for the driver's threads, including kernels that are being compiled. */
export function destroyLiving(): void {
  for (const device of living) device.destroy();
}
