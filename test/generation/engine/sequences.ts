// Sequences without an engine, for tests of what only looks at them.
import { Sequence, type Settled } from "../../../src/generation/engine/sequence.js";
import type { EngineRequest } from "../../../src/generation/engine/types.js";
import { samplingTables } from "../../../src/generation/sampling/options.js";

interface Given {
  /** Its prompt, or how many tokens that has. */
  readonly prompt: readonly number[] | number;
  readonly most?: number;
  readonly request?: Partial<EngineRequest>;
  /** By axis, whether it is known which tokens took it. */
  readonly keepsPositions?: readonly boolean[];
  readonly vocabulary?: number;
}

export function sequenceOf({ prompt, most = 8, request, keepsPositions = [false], vocabulary = 64 }: Given): Sequence {
  const tokens = typeof prompt === "number" ? Array.from({ length: prompt }, (_, i) => i % 5) : prompt;
  const { presencePenalty: _, frequencyPenalty: __, ...sampling } = request?.sampling ?? {};
  const settled: Settled = {
    request: { prompt: tokens, maxTokens: most, ...request },
    most,
    kind: "",
    ends: new Set(request?.ends),
    tables: samplingTables(sampling, 1, vocabulary),
    takesNaN: false,
    cancel() {},
    forget() {},
    began: 0,
  };
  return new Sequence(settled, Infinity, keepsPositions, { push() {}, fail() {}, end() {} });
}
