// Errors that nothing catches, for tests of what throws on purpose.

/** The messages of what is thrown while `body` runs and is caught by nothing. */
export async function uncaughtIn(body: () => Promise<void>): Promise<ReadonlySet<string>> {
  const own = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  const caught = new Set<string>();
  process.on("uncaughtException", ({ message }) => caught.add(message));
  try {
    await body();
    await new Promise((resolve) => void setTimeout(resolve, 1));
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const listener of own) process.on("uncaughtException", listener);
  }
  return caught;
}
