// navigator.gpu for libraries that were written for pages, with a wait that leaves the processor to the software
// device.
import type { create as Create } from "webgpu";

const SPINS = 20;

let gpu: GPU | null = null;

/** Puts Dawn behind `navigator.gpu`, once a process: the adapter's description. */
export async function provideGpu(): Promise<string> {
  if (!gpu) {
    const { create, globals } = (await import("webgpu")) as {
      readonly create: typeof Create;
      readonly globals: object;
    };
    Object.assign(globalThis, globals);
    gpu = create([]);
    const navigator = { gpu, userAgent: "node", hardwareConcurrency: 2 };
    Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });
    backOff();
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("no adapter");
  const { description, device } = adapter.info;
  keep.push(adapter);
  return description || device;
}

// Dawn crashes where an adapter in use is collected.
const keep: GPUAdapter[] = [];

/**
 * Dawn waits by posting a native function to `setImmediate` again and again, which takes a core from a software device.
 * Here such a function is called by a loop that sleeps a millisecond between polls after the first twenty, as modc's
 * runtime does it (src/runtime/device/wait.ts).
 */
function backOff(): void {
  const immediate = globalThis.setImmediate;
  let held: (() => void)[] = [];
  let running = false;
  let polls = 0;
  const poll = (): void => {
    const ticks = held;
    held = [];
    for (const tick of ticks) tick();
    if (held.length === 0) {
      running = false;
      polls = 0;
    } else if (polls++ < SPINS) immediate(poll);
    else setTimeout(poll, 1);
  };
  const patched = (callback: (...args: unknown[]) => void, ...args: unknown[]): unknown => {
    const native =
      args.length === 0 &&
      callback.name === "" &&
      /\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(callback));
    if (!native) return immediate(callback, ...args);
    held.push(callback);
    if (!running) {
      running = true;
      polls = 0;
      immediate(poll);
    }
    return undefined;
  };
  globalThis.setImmediate = patched as typeof setImmediate;
}
