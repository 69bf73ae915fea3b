// Sequences without an engine, for tests of what only looks at them.
import { Sequence, type SequenceReader } from "../../../src/generation/engine/sequences/sequence.js";
import type { Settled } from "../../../src/generation/engine/sequences/settled.js";
import { samplingTables } from "../../../src/generation/sampling/options.js";

interface Given {
  /** Its prompt, or how many tokens that has. */
  readonly prompt: readonly number[] | number;
  readonly most?: number;
  /** The number of axes. */
  readonly axes?: number;
  readonly settled?: Partial<Settled>;
  readonly reader?: Partial<SequenceReader>;
}

export function sequenceOf({ prompt, most = 8, axes = 1, settled, reader }: Given): Sequence {
  const own: Settled = {
    prompt: typeof prompt === "number" ? Array.from({ length: prompt }, (_, i) => i % 5) : prompt,
    maxTokens: most,
    most,
    ends: new Set(),
    tables: samplingTables({}, 64),
    biases: null,
    kind: "",
    ...settled,
  };
  return new Sequence(own, { prompt() {}, token() {}, fail() {}, end() {}, ...reader }, axes, Infinity);
}
