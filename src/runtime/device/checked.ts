// Calls the device within an error scope and converts its faults to KernelErrors.
import type { Device } from "./device.js";
import { KernelError } from "./errors.js";

/**
 * Calls the device within an error scope; throws KernelError for a refused call. `body` must make all its calls before
 * it returns.
 */
export async function checked<T>(device: Device, what: string, body: () => T | Promise<T>): Promise<T> {
  const { gpu } = device;
  gpu.pushErrorScope("validation");
  let result: T | Promise<T>;
  let scope: Promise<GPUError | null>;
  try {
    result = body();
  } finally {
    scope = device.wait(() => gpu.popErrorScope());
    scope.catch(() => {}); // awaited below, unless `body` threw
  }
  const [value, error] = await Promise.allSettled([result, scope]);
  if (error.status === "fulfilled" && error.value)
    throw new KernelError(`the device refuses to ${what}: ${error.value.message}`);
  if (value.status === "rejected") throw value.reason;
  if (error.status === "rejected") throw error.reason;
  return value.value;
}
