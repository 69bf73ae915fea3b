// Measures how far a model with encoded weights deviates from the same model with f32 weights: in the next token's
// distribution, and in the choices of routes and experts.
import { countName } from "../../runtime/program/observed.js";
import type { Inputs, Result } from "../../runtime/index.js";
import { chosenTokens } from "./batches.js";
import type { Batch } from "./types.js";

export interface Deviation {
  readonly tokens: number;
  /**
   * Mean over tokens of the KL divergence, in nats: of the next token's distribution from the distribution with f32
   * weights.
   */
  readonly divergence: number;
  /** The share of tokens after which both models rank the same next token first. */
  readonly sameToken: number;
  /**
   * For each route, the share of tokens that both models compute or both skip; for each choice of experts, the share of
   * tokens with equal choices.
   */
  readonly sameChoice: Readonly<Record<string, number>>;
}

/** The outputs that are compared. */
export interface Compared {
  /** Name of the output with the logits, f32[B, T, vocabulary]. */
  readonly logits: string;
  /** Paths of observed routes, and of observed choices of entries. */
  readonly routes: readonly string[];
  readonly entries: readonly string[];
}

type Numbers = Result["data"];
type Outputs = Readonly<Record<string, Pick<Result, "data" | "shape">>>;

/** The part of a `Session` that runs. */
export interface Runs {
  run(inputs: Inputs, options: { readonly observe: readonly string[] }): Promise<Outputs>;
}

/** Runs both sessions over the batches, with equal inputs. */
export async function deviationOf(
  sessions: { readonly whole: Runs; readonly own: Runs },
  compared: Compared,
  batches: AsyncIterable<Batch>,
  options: { readonly inputs: ReadonlySet<string>; readonly onBatch?: (tokens: number) => void },
): Promise<Deviation> {
  const observe = [...compared.routes, ...compared.entries];
  const same = new Map(observe.map((path) => [path, 0]));
  let [tokens, divergence, sameToken] = [0, 0, 0];
  for await (const batch of batches) {
    const { rows, length } = batch;
    const given = Object.fromEntries(
      Object.entries(batch.inputs)
        .filter(([name]) => options.inputs.has(name))
        .map(([name, data]) => [name, { data, shape: [rows, length] }]),
    );
    const whole = await sessions.whole.run(given, { observe });
    const results = await sessions.own.run(given, { observe });
    const [p, q] = [whole[compared.logits]!.data, results[compared.logits]!.data];
    const vocabulary = p.length / (rows * length);
    for (let at = 0; at < p.length; at += vocabulary) {
      const rowDeviation = compareRows(p.subarray(at, at + vocabulary), q.subarray(at, at + vocabulary));
      divergence += rowDeviation.divergence;
      sameToken += Number(rowDeviation.sameToken);
    }
    for (const path of compared.routes) add(path, sameMasks(maskOf(whole, path, batch), maskOf(results, path, batch)));
    for (const path of compared.entries)
      add(path, sameRows(whole[`${path}.index`]!.data, results[`${path}.index`]!.data, rows * length));
    tokens += rows * length;
    options.onBatch?.(tokens);
  }
  const over = (n: number): number => (tokens === 0 ? 0 : n / tokens);
  return {
    tokens,
    divergence: over(divergence),
    sameToken: over(sameToken),
    sameChoice: Object.fromEntries([...same].map(([path, n]) => [path, over(n)])),
  };

  function add(path: string, n: number): void {
    same.set(path, same.get(path)! + n);
  }
}

/** KL(P ‖ Q) of the softmaxes of two rows of logits, and whether their largest logits have the same index. */
export function compareRows(p: Numbers, q: Numbers): { readonly divergence: number; readonly sameToken: boolean } {
  const [a, b] = [normalizer(p), normalizer(q)];
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const log = p[i]! - a.log;
    sum += Math.exp(log) * (log - (q[i]! - b.log));
  }
  return { divergence: Math.max(0, sum), sameToken: a.at === b.at };
}

/** The logarithm of the sum of exponentials, and the index of the largest logit. */
function normalizer(logits: Numbers): { readonly log: number; readonly at: number } {
  let at = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[at]!) at = i;
  const top = logits[at]!;
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - top);
  return { log: top + Math.log(sum), at };
}

const maskOf = (results: Outputs, path: string, batch: Batch): Uint8Array => {
  const { data, shape } = results[`${path}.index`]!;
  return chosenTokens(data, shape[1] ?? 0, results[countName(path)]!.data, batch);
};

const sameMasks = (a: Uint8Array, b: Uint8Array): number => a.reduce((n, x, i) => n + Number(x === b[i]), 0);

/** How many of `count` rows are equal. */
function sameRows(a: Numbers, b: Numbers, count: number): number {
  const width = a.length / count;
  let same = 0;
  for (let at = 0; at < a.length; at += width)
    same += Number(a.subarray(at, at + width).every((x, i) => x === b[at + i]));
  return same;
}
