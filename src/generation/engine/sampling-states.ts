// The states that sampling reads, a row for each sequence: written when the sequence gets its place, and its biases
// again after each token if they change with it.
import { SAMPLING_COLUMNS } from "../../ground/numerics/sampling.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Write } from "./caches/caches.js";
import type { Sequence } from "./sequences/sequence.js";

type Sampled = Pick<Generation, "sampling" | "vocabulary">;

/** The settings, seeds and biases of a sequence that has a place. Throws what its constraint throws. */
export function samplingWrites({ sampling, vocabulary }: Sampled, { slot, settled }: Sequence): readonly Write[] {
  const { tables, biases } = settled;
  const bias = biases ? biases.all() : tables.bias;
  const settings = tables.settings.slice();
  if (bias) settings[SAMPLING_COLUMNS.indexOf("biased")] = 1;
  return [
    { state: sampling.settings, element: slot! * SAMPLING_COLUMNS.length, data: settings },
    { state: sampling.seeds, element: slot! * 2, data: tables.seeds },
    ...(bias ? [{ state: sampling.bias, element: slot! * vocabulary, data: bias }] : []),
  ];
}

/** Milliseconds of work before other tasks get a turn. */
const SLICE = 20;

/**
 * The writes that bring biases up to date with the tokens chosen last. `fail`: called for a sequence whose constraint
 * allows nothing, or takes too much work.
 */
export async function biasWrites(
  { sampling, vocabulary }: Sampled,
  sequences: readonly Sequence[],
  fail: (sequence: Sequence, error: unknown) => void,
): Promise<readonly Write[]> {
  const writes: Write[] = [];
  let began = performance.now();
  for (const sequence of sequences) {
    const { over, slot, settled } = sequence;
    if (over || slot === null || !settled.biases) continue;
    try {
      const { from, data } = settled.biases.changed();
      writes.push({ state: sampling.bias, element: slot * vocabulary + from, data });
    } catch (error) {
      fail(sequence, error);
    }
    if (performance.now() - began < SLICE) continue;
    await new Promise((resolve) => void setTimeout(resolve));
    began = performance.now();
  }
  return writes;
}
