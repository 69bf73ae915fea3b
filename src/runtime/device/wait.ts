// Waits for the device without taking processor time from it.
//
// dawn.node waits by posting itself to `setImmediate` again and again, a loop that keeps one core busy. A software
// device needs that core itself, so everything would run at about half speed. On a software device, `setImmediate` is
// therefore replaced to catch the function that Dawn posts (only during synchronous calls of modc into Dawn, so that no
// other code sees the replacement), and a loop calls that function: it spins a few times and then sleeps a millisecond
// between polls. On hardware, and in a page, waiting is unchanged.

/** `native`: the platform's way of waiting. `backoff`: sleep between polls. */
export type WaitMode = "native" | "backoff";

type Tick = () => void;

// Captured at loading, so that a host program's fake timers do not stop the device.
const realSetTimeout = globalThis.setTimeout;
const realSetImmediate: typeof setImmediate | undefined = globalThis.setImmediate;

/** Polls before the first sleep, so that short work ends without delay. */
const SPINS = 20;

let waiting: Tick[] = [];
let polls = 0;
let running = false;

/** Calls `begin`, which starts an asynchronous call into the device, and waits for it. */
export function settle<T>(mode: WaitMode, begin: () => Promise<T>): Promise<T> {
  if (mode === "native" || realSetImmediate === undefined) return begin();
  const promise = catchTicks(begin);
  polls = 0;
  if (!running && waiting.length > 0) {
    running = true;
    poll();
  }
  return promise;
}

/**
 * In Node, lets the event loop turn once. In a page it does nothing: devices call back by themselves there, and a turn
 * would take milliseconds.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (realSetImmediate === undefined) resolve();
    else realSetImmediate(resolve);
  });
}

function poll(): void {
  const ticks = waiting;
  waiting = [];
  // A tick posts itself again as long as anything is pending.
  for (const tick of ticks) catchTicks(tick);
  if (waiting.length === 0) {
    running = false;
    return;
  }
  if (polls++ < SPINS) realSetImmediate!(poll);
  else realSetTimeout(poll, 1);
}

/** Runs `call` and collects the functions that native code posts meanwhile. */
function catchTicks<T>(call: () => T): T {
  const outer = globalThis.setImmediate;
  const caught = (callback: (...args: unknown[]) => void, ...args: unknown[]): unknown => {
    if (args.length > 0 || !isNative(callback)) return outer(callback, ...args);
    waiting.push(callback);
    return undefined;
  };
  // The only place where the global is replaced, for the duration of a synchronous call.
  globalThis.setImmediate = caught as typeof setImmediate;
  try {
    return call();
  } finally {
    globalThis.setImmediate = outer;
  }
}

/** Whether Dawn posted the function: a native function without a name. The host's listeners are JavaScript. */
const isNative = (f: (...args: never[]) => unknown): boolean =>
  f.name === "" && /\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(f));
