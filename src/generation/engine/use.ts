// What a request took, and what an engine has in use.
import { flopsOf } from "../generate/flops.js";
import type { CacheMemory } from "./memory.js";
import { bytesByAxis, type Paged } from "./options.js";
import type { Recovery } from "./recovery.js";
import type { Sequence } from "./sequence.js";
import type { Texts } from "./texts.js";
import type { EngineState, RequestUse } from "./types.js";

/** Of the tokens of a text that were read; operations as those of steps, each with a cache of half the text. */
export function useOf(paged: Paged, sequence: Sequence): RequestUse {
  const { axes, layers, sequenceAxis, batchAxis, step } = paged;
  const { promptLength, generated } = sequence;
  const bytes = axes.map(({ axis }) => layers.reduce((sum, l) => sum + (l.axis === axis ? l.bytes : 0), 0));
  const [read = 0] = sequence.rows; // every token is on the first axis
  const work = (dense: boolean): number => {
    if (read === 0) return 0;
    const rowsOn = (i: number): number => (dense ? read : sequence.rows[i]!);
    const rows = axes.map(({ axis }, i) => [axis, rowsOn(i)] as const);
    const extents = axes.flatMap(({ capacity }, i) =>
      capacity === null ? [] : [[capacity, Math.ceil(rowsOn(i) / 2)] as const],
    );
    // Of a prompt only the last token's logits are computed.
    const sizes = {
      rows: new Map([...rows, [sequenceAxis, generated + 1]]),
      extents: new Map([...extents, [batchAxis, 1]]),
    };
    return flopsOf(step, sizes, { dense });
  };
  const cached = (rows: (i: number) => number): number => bytes.reduce((sum, each, i) => sum + each * rows(i), 0);
  return {
    promptTokens: generated > 0 ? promptLength : Math.min(read, promptLength),
    cachedTokens: sequence.cached ?? 0,
    generatedTokens: generated,
    routes: [...sequence.rows],
    flops: { own: work(false), dense: work(true) },
    cache: { own: cached((i) => sequence.rows[i]!), dense: cached(() => read) },
  };
}

/** The state of an engine; `streams` is of the texts that are active. */
export function stateOf(
  paged: Paged,
  memory: CacheMemory,
  { active, waiting }: Texts,
  recovery: Pick<Recovery, "losses" | "ready">,
): EngineState {
  const { held, limit } = memory.bytes;
  const used = memory.bytesOf(active);
  const { texts, bytes, tokens } = memory.sofar(active);
  const dense = tokens * bytesByAxis(paged).reduce((a, b) => a + b, 0);
  const streams = (of: number): number => (of === 0 ? 0 : Math.floor((limit * texts) / of));
  return {
    active: active.length,
    queued: waiting.length,
    cache: {
      used,
      kept: held - used,
      free: limit - held,
      limit,
      streams: { own: streams(bytes), dense: streams(dense) },
    },
    lost: recovery.losses,
    ready: recovery.ready,
  };
}
