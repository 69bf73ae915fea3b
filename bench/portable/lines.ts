// What a measuring process of a portable folder tells, and its parts.

export const PARTS = ["peak", "hypotheses", "products", "blocks", "generation", "llama"] as const;
export type Part = (typeof PARTS)[number];

export const isPart = (word: string): word is Part => PARTS.some((part) => part === word);

export interface Line {
  readonly name: string;
  /** Milliseconds per application, and GFLOP/s. */
  readonly ms?: number;
  readonly gflops?: number;
  /** The largest difference from the reference, over the largest magnitude; and whether that is within bounds. */
  readonly off?: number;
  readonly right?: boolean;
  /** Milliseconds until the first token, and of a token after it. */
  readonly promptMs?: number;
  readonly tokenMs?: number;
  /** What bench/hardware.md estimates for cards that were not there: microseconds by card. */
  readonly estimates?: Readonly<Record<string, number>>;
  /** Why there is no result. */
  readonly fault?: string;
}

/** The lines of a process, of which the last may be half written. */
export function readLines(text: string): readonly Line[] {
  return text.split("\n").flatMap((line) => {
    try {
      const value: unknown = line.startsWith("{") ? JSON.parse(line) : null;
      return value !== null ? [value as Line] : []; // our own process wrote it
    } catch {
      return [];
    }
  });
}
