// Samples of every operator: what the contract test walks, and what kernels are compared with on a device.
import type { Node } from "../../../src/compiler/ir/graph.js";
import type { OpName } from "../../../src/compiler/ir/vocabulary.js";
import { Bench, type Case, type Setting } from "./bench.js";
import { attentionSamples } from "./samples-attention.js";
import { castSamples } from "./samples-casts.js";
import { comparisonSamples } from "./samples-comparisons.js";
import { groupSamples } from "./samples-groups.js";
import { lossSamples } from "./samples-losses.js";
import { pointwiseSamples } from "./samples-pointwise.js";
import { recurrenceSamples } from "./samples-recurrences.js";
import { reductionSamples } from "./samples-reductions.js";
import { entrySamples } from "./samples-entries.js";
import { pairSamples } from "./samples-pairs.js";
import { pagedSamples } from "./samples-paged.js";
import { routingSamples } from "./samples-routing.js";
import { samplingSamples } from "./samples-sampling.js";
import { sequenceSamples } from "./samples-sequence.js";
import { sourceSamples } from "./samples-sources.js";
import { structureSamples } from "./samples-structure.js";
import { trainingSamples } from "./samples-training.js";
import type { Tolerance } from "./tolerance.js";

export interface Sample<K extends OpName = OpName> {
  readonly name: string;
  readonly setting?: Setting;
  build(bench: Bench): Node<K>;
  /** Results worked out by hand, as the caller sees them, padding included. */
  readonly expected?: readonly (readonly number[])[];
}

export interface Sampled<K extends OpName> {
  /** Results in f16 may besides differ by one f16 value, where a 32-bit error crosses the middle between two. */
  readonly tolerance: Tolerance;
  readonly list: readonly Sample<K>[];
}

export type Samples<K extends OpName> = { readonly [O in K]: Sampled<O> };

/** Total by type: an operator without samples does not compile. */
export const samples: Samples<OpName> = {
  ...pointwiseSamples,
  ...comparisonSamples,
  ...castSamples,
  ...sourceSamples,
  ...structureSamples,
  ...reductionSamples,
  ...sequenceSamples,
  ...recurrenceSamples,
  ...attentionSamples,
  ...pagedSamples,
  ...pairSamples,
  ...routingSamples,
  ...entrySamples,
  ...groupSamples,
  ...trainingSamples,
  ...lossSamples,
  ...samplingSamples,
};

/** All samples in one list, each with its operator. */
export const allSamples: readonly { readonly op: OpName; readonly sample: Sample }[] = Object.entries(samples).flatMap(
  ([op, { list }]) => list.map((sample) => ({ op: op as OpName, sample })), // keys of a total table
);

/** The graph and inputs of a sample; the same for the same operator and name. */
export function caseOf(op: OpName, sample: Sample): Case {
  const bench = new Bench(sample.setting ?? {}, seedOf(`${op} ${sample.name}`));
  return bench.finish(sample.build(bench), `${op}: ${sample.name}`);
}

/** FNV-1a, so that every sample has different random values. */
function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const c of text) hash = Math.imul(hash ^ c.charCodeAt(0), 0x01000193) >>> 0;
  return hash;
}

/** Checks a sample; on failure, the message names the sample. */
export function named<T>(name: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
