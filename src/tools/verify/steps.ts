// Checks that generation with caches (a prompt, then steps) gives the same logits as the whole sequence, position by
// position; if the caches are an approximation by design, measures the error of the logits.
import { createGenerator, type Generator, type Summary } from "../../generation/generate/index.js";
import type { InputOptions } from "../../generation/types.js";
import { countOf } from "../../ground/base/collections.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Values } from "./compare.js";
import type { Loaded, Machine, Weights } from "./machine.js";

export interface StepsChecked {
  /** Number of tokens generated. */
  readonly tokens: number;
  /** The largest difference between log-probabilities of a token. */
  readonly difference: number;
  /** The disagreements, in words. */
  readonly faults: readonly string[];
}

export interface StepsOf {
  readonly machine: Machine;
  readonly generation: Generation;
  readonly weights: Weights;
  /** The program that computes whole sequences under the causal rule. */
  readonly whole: Loaded;
  readonly prompts: readonly (readonly number[])[];
  readonly tokens: number;
  /** Absent: the model takes tokens alone. */
  readonly further?: FurtherInputs;
}

/** Inputs beside the tokens, with a row for each prompt. */
export interface FurtherInputs {
  /** Whole when a prompt is read. */
  readonly given: ReadonlyMap<string, Tensor>;
  /** Their lengths by axis. */
  readonly lengths: Readonly<Record<string, readonly number[]>>;
  /** With a value for each token, also of tokens to come: [prompts, tokens, …]. */
  readonly beside: ReadonlyMap<string, Tensor>;
}

export interface Tensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/**
 * Allowed difference of log-probabilities. f32 logits of up to a hundred have relative errors of some 1e-6, which the
 * exponentials of a softmax amplify.
 */
const STEP_TOLERANCE = 1e-3;
/** Prompts are read in chunks of this many tokens, so that chunk boundaries lie inside prompts. */
const CHUNK = 7;

/** The error of approximate caches: the distance of the steps from the whole sequence. */
export interface StepsApart {
  readonly tokens: number;
  /**
   * Whether the first token after each prompt must match the whole sequence. It must if no route of keys skipped a
   * token: then each loop attended to its own keys of the whole prompt.
   */
  readonly isExactBehindPrompts: boolean;
  /** Disagreements after prompts that must match, and values that are not numbers, in words. */
  readonly faults: readonly string[];
  /** The number of greedy tokens, and the number of those that are the likeliest under the whole sequence too. */
  readonly greedy: number;
  readonly likeliest: number;
  /** Differences of log-probabilities: of the first tokens after the prompts, and of later tokens. */
  readonly behindPrompts: number;
  readonly largest: number;
  readonly mean: number;
}

async function generatorOf({ machine, generation, weights }: StepsOf): Promise<Generator> {
  const amend = machine.amend ?? ((p) => p);
  const amended = { ...generation, prompt: amend(generation.prompt), step: amend(generation.step) };
  const options = generation.loopCaches ? {} : { chunk: CHUNK };
  return createGenerator(amended, machine.device, (weight) => weights.get(weight.path)!.data, options);
}

/** The sequences of a generation, and the log-probability of each generated token. */
async function textsOf(
  generator: Generator,
  { prompts, tokens, further }: StepsOf,
  temperature: number,
): Promise<{ readonly texts: readonly number[][]; readonly logprobs: readonly number[][] }> {
  const texts = prompts.map((p) => [...p]);
  const logprobs = prompts.map((): number[] => []);
  const sampling = { temperature, seed: 1, logprobs: true };
  const beside = further ? besideTokens(further, prompts) : {};
  const options = { maxTokens: tokens, sampling, ...beside };
  for await (const { sequence, token, logprob } of generator.generate(prompts, options)) {
    texts[sequence]!.push(token);
    logprobs[sequence]!.push(logprob!); // requested by the options
  }
  return { texts, logprobs };
}

/** The options of generation that give further inputs. */
function besideTokens({ given, lengths, beside }: FurtherInputs, prompts: StepsOf["prompts"]): InputOptions {
  const longest = Math.max(...prompts.map((prompt) => prompt.length));
  const read = [...beside].map(([name, x]) => [name, firstRows(x, longest)] as const);
  const inputs = { ...Object.fromEntries(given), ...Object.fromEntries(read) };
  if (beside.size === 0) return { inputs, lengths };
  const next: NonNullable<InputOptions["next"]> = (_, position, sequence) =>
    Object.fromEntries([...beside].map(([name, x]) => [name, rowOf(x, sequence, position)]));
  return { inputs, lengths, next };
}

/** The values of one token. */
function rowOf({ shape: [, tokens, ...rest], data }: Tensor, sequence: number, position: number): readonly number[] {
  const width = countOf(rest);
  return data.slice((sequence * tokens! + position) * width).slice(0, width);
}

/** The first tokens of each sequence. */
function firstRows(x: Tensor, count: number): Tensor {
  const [sequences, , ...rest] = x.shape;
  const rows = Array.from({ length: sequences! }, (_, b) => Array.from({ length: count }, (_, t) => rowOf(x, b, t)));
  return { shape: [sequences!, count, ...rest], data: rows.flat(2) };
}

/** A generated token, with its log-probability in the generation, and the whole sequence's logits at its position. */
interface Added {
  readonly row: readonly number[];
  readonly token: number;
  readonly found: number;
  /** The difference from the whole sequence's log-probability. */
  readonly off: number;
  readonly greedy: boolean;
  readonly sequence: number;
  /** Its position in the sequence, and whether it is the first after the prompt. */
  readonly at: number;
  readonly first: boolean;
  /** Whether every token took every route on which attention layers have keys. */
  readonly exact: boolean;
}

/** Generates once greedily and once by sampling. */
async function* addedTokens(of: StepsOf): AsyncIterable<Added> {
  const { whole, generation, prompts } = of;
  const generator = await generatorOf(of);
  try {
    for (const temperature of [0, 1]) {
      const { texts, logprobs } = await textsOf(generator, of, temperature);
      const exact = tookAllKeys(generation, generator.summary!);
      const logits = await logitsOf(whole, generation, texts, of.further);
      for (const [sequence, text] of texts.entries())
        for (const [i, found] of logprobs[sequence]!.entries()) {
          const at = prompts[sequence]!.length + i;
          const [row, token] = [logits(sequence, at - 1), text[at]!];
          const off = Math.abs(found - logProbability(row, token));
          yield { row, token, found, off, greedy: temperature === 0, sequence, at, first: i === 0, exact };
        }
    }
  } finally {
    generator.dispose();
  }
}

/**
 * `checkSteps` for a generation whose caches are an approximation by design. A difference is a fault only at the first
 * token after a prompt, and only if no route skipped a token of that prompt.
 */
export async function measureSteps(of: StepsOf): Promise<StepsApart> {
  const offs: { readonly first: boolean; readonly off: number }[] = [];
  const faults: string[] = [];
  let [greedy, likeliest, isExactBehindPrompts] = [0, 0, true];
  for await (const added of addedTokens(of)) {
    const { row, token, first, off, exact } = added;
    isExactBehindPrompts &&= exact;
    offs.push({ first, off });
    if ((exact && first) || Number.isNaN(off)) faults.push(...faultsAt(added));
    if (!added.greedy) continue;
    greedy++;
    if (row[token]! >= Math.max(...row)) likeliest++;
  }
  const later = offs.filter(({ first }) => !first).map(({ off }) => off);
  return {
    tokens: offs.length,
    isExactBehindPrompts,
    faults,
    greedy,
    likeliest,
    behindPrompts: Math.max(...offs.filter(({ first }) => first).map(({ off }) => off)),
    largest: Math.max(0, ...later),
    mean: later.reduce((sum, off) => sum + off, 0) / Math.max(1, later.length),
  };
}

/** Compares the log-probability of each generated token with the whole sequence's. */
export async function checkSteps(of: StepsOf): Promise<StepsChecked> {
  const faults: string[] = [];
  let [tokens, difference] = [0, 0];
  for await (const added of addedTokens(of)) {
    tokens++;
    if (added.off > difference || Number.isNaN(added.off)) difference = added.off;
    faults.push(...faultsAt(added));
  }
  return { tokens, difference, faults };
}

/** Whether every token took every route on which attention layers have keys. */
function tookAllKeys({ axes, layers }: Generation, { routes }: Summary): boolean {
  return axes.every(({ axis }, i) => routes[i]!.tokens === routes[0]!.tokens || layers.every((l) => l.axis !== axis));
}

/** The faults of a token, in words. */
function faultsAt({ row, token, found, greedy, at, sequence }: Added): readonly string[] {
  const wanted = logProbability(row, token);
  if (!(Math.abs(found - wanted) <= STEP_TOLERANCE))
    return [
      `token ${at} of sequence ${sequence} has the log-probability ${found.toPrecision(6)}, but the whole sequence ` +
        wanted.toPrecision(6),
    ];
  return greedy && Math.max(...row) - row[token]! > STEP_TOLERANCE
    ? [`token ${at} of sequence ${sequence} is ${token}, which is not the most likely`]
    : [];
}

/** The logits that follow each token of sequences of unequal lengths, except the last token of each. */
async function logitsOf(
  whole: Loaded,
  { input, tokenAxis }: Generation,
  texts: readonly (readonly number[])[],
  further: FurtherInputs | undefined,
): Promise<(sequence: number, token: number) => number[]> {
  const read = texts.map((text) => text.slice(0, -1));
  const longest = Math.max(...read.map((t) => t.length));
  const data = read.flatMap((text) => [...text, ...new Array<number>(longest - text.length).fill(0)]);
  const lengths = read.map((t) => t.length);
  const beside = [...(further?.beside ?? [])].map(([name, x]) => [name, firstRows(x, longest)] as const);
  const results: Values = await whole.run({
    inputs: new Map([[input, { shape: [texts.length, longest], data }], ...(further?.given ?? []), ...beside]),
    lengths: further ? { ...further.lengths, [tokenAxis]: lengths } : lengths,
  });
  // the same output that generation reads
  const output = whole.program.outputs.find((o) => o.role === "result" && o.shape.length === 3)!;
  const { shape, data: logits } = results.get(output.name)!;
  const vocabulary = shape[2]!;
  return (sequence, token) =>
    Array.from({ length: vocabulary }, (_, v) => logits[(sequence * shape[1]! + token) * vocabulary + v]!);
}

function logProbability(row: readonly number[], token: number): number {
  const max = Math.max(...row);
  return row[token]! - max - Math.log(row.reduce((s, v) => s + Math.exp(v - max), 0));
}
