/** Writes src/ground/bundled.ts, where it is not what the sources make. */
export function bundle(): Promise<void>;
