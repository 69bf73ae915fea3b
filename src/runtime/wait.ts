// Waiting for the device without taking the processor from it.
//
// dawn.node waits by posting itself to `setImmediate` again and again: a loop that keeps one core busy. Where the
// device is software that core is the device's own, and everything runs at about half speed. So, on a software device,
// the function that Dawn posts is caught (only during our own synchronous calls into Dawn, so that nobody else ever
// sees another `setImmediate`) and called by a loop that spins a few times and then sleeps a millisecond between polls.
// On real hardware, and in a page, waiting is left as it is.

/** `native`: as the platform does it. `backoff`: sleep between polls. */
export type WaitMode = "native" | "backoff";

type Tick = () => void;

// Taken once, so that a host program's fake timers do not stop the device.
const realSetTimeout = globalThis.setTimeout;
const realSetImmediate: typeof setImmediate | undefined = globalThis.setImmediate;

/** Polls before the first sleep: short work is answered at once. */
const SPINS = 20;

let held: Tick[] = [];
let polls = 0;
let running = false;

/** Calls `begin`, which starts an asynchronous call into the device, and waits for it. */
export function settle<T>(mode: WaitMode, begin: () => Promise<T>): Promise<T> {
  if (mode === "native" || realSetImmediate === undefined) return begin();
  const promise = catchTicks(begin);
  polls = 0;
  if (!running && held.length > 0) {
    running = true;
    poll();
  }
  return promise;
}

/**
 * Lets whatever waits for its turn have it, in Node; in a page, whose devices call back by themselves, that would cost
 * milliseconds.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (realSetImmediate === undefined) resolve();
    else realSetImmediate(resolve);
  });
}

function poll(): void {
  const ticks = held;
  held = [];
  // A tick posts itself again, into `held`, as long as anything is pending.
  for (const tick of ticks) catchTicks(tick);
  if (held.length === 0) {
    running = false;
    return;
  }
  if (polls++ < SPINS) realSetImmediate!(poll);
  else realSetTimeout(poll, 1);
}

/** Runs `call`, keeping the functions that native code posts meanwhile. */
function catchTicks<T>(call: () => T): T {
  const outer = globalThis.setImmediate;
  const caught = (callback: (...args: unknown[]) => void, ...args: unknown[]): unknown => {
    if (args.length > 0 || !isNative(callback)) return outer(callback, ...args);
    held.push(callback);
    return undefined;
  };
  // The one place where the global is replaced: for the length of a synchronous call.
  globalThis.setImmediate = caught as typeof setImmediate;
  try {
    return call();
  } finally {
    globalThis.setImmediate = outer;
  }
}

/** Dawn posts a native function without a name; whatever a listener of the host posts meanwhile is JavaScript. */
const isNative = (f: (...args: never[]) => unknown): boolean =>
  f.name === "" && /\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(f));
