// Calls listeners: nothing awaits them, and nothing depends on their success.

/** Calls a listener. An error that it throws becomes an uncaught exception, as for a listener of an EventTarget. */
export function callListener(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
