// Errors of callbacks that only listen: nothing waits for what they do, and none of it depends on them.

/** Calls a listener. What it throws is an uncaught exception, as what a listener of an EventTarget throws is. */
export function callListener(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
