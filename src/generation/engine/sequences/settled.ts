// What a request asks for, after its checks.
import { type ChangingBias, constrained } from "../../sampling/constrained.js";
import { type SamplingOptions, type SamplingTables, samplingTables } from "../../sampling/options.js";
import { penalised } from "../../sampling/penalties.js";
import type { BesideRows, EngineRequest, GivenInputs } from "../../types.js";

/** A request after its checks. */
export interface Settled {
  readonly prompt: ArrayLike<number>;
  /** The most tokens to generate, and the most that also fit the context. */
  readonly maxTokens: number;
  readonly most: number;
  /** Tokens that end the text. */
  readonly ends: ReadonlySet<number>;
  /** Called for each token that does not end the text; returning true makes it the last. */
  readonly until?: ((token: number) => boolean) | undefined;
  /** Settings of sampling. */
  readonly tables: SamplingTables;
  /** Biases that change with each token; null: the biases of `tables` stay. */
  readonly biases: ChangingBias | null;
  /** Values of live parameters, and their kind: requests of one kind may share runs and prefixes. */
  readonly live?: EngineRequest["live"];
  readonly kind: string;
  readonly signal?: AbortSignal | undefined;
  /** Given inputs of its group, and the values of its tokens for other inputs; null: there are none. */
  readonly given?: GivenInputs | null;
  readonly beside?: BesideRows | null;
}

/** The rest of a request, with tables for its sampling options. Throws what its constraint throws. */
export function settled(
  request: Omit<Settled, "ends" | "tables" | "biases">,
  vocabulary: number,
  ends: Iterable<number>,
  sampling: SamplingOptions,
  constraint: EngineRequest["constraint"],
): Settled {
  const tables = samplingTables(sampling, vocabulary);
  const { presencePenalty = 0, frequencyPenalty = 0 } = sampling;
  const own = new Set(ends);
  constraint?.next();
  const penalties = penalised(presencePenalty, frequencyPenalty, tables.bias, vocabulary);
  const others = penalties ?? { all: () => tables.bias, add: () => false };
  const biases = constraint ? constrained(constraint, own, others, vocabulary) : penalties;
  return { ...request, ends: own, tables, biases };
}
