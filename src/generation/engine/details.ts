// What callers may ask to know of sequences beyond their tokens: scores, routes of prompts, experts, further results of
// runs, and the positions of tokens on routes. Not in packages.
import { countOf } from "../../ground/base/collections.js";
import { toNumber } from "../../ground/numerics/rational.js";
import { InputError, type LiveValue, type Results } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import { checkLive } from "../../runtime/run/extents.js";
import { resultOf } from "../../runtime/run/outputs.js";
import { scoreOf } from "../sampling/scores.js";
import type { PromptRead, RowReader, Scored, SequenceOptions } from "../types.js";
import { PagedCaches } from "./caches/paged.js";
import type { Opened } from "./core.js";
import { ExpertLog } from "./experts.js";
import type { AddedToken, ObservedRun, Observer, Sequence } from "./sequences/sequence.js";

/** Options of sequences that packages do not have. */
export const DETAILS = ["logprobs", "promptLogprobs", "promptRoutes", "live", "experts", "observe"] as const;

/** The most alternatives of a token that a caller may ask for. */
const MOST_LIKELY = 100;

/** Throws InputError for details that the programs of a generation do not report. */
export function checkDetails(generation: Generation, options: SequenceOptions): void {
  const { logprobs, promptLogprobs } = options;
  for (const [name, n] of Object.entries({ logprobs, promptLogprobs }))
    if ((n ?? null) !== null && !(Number.isSafeInteger(n) && n! >= 0 && n! <= MOST_LIKELY))
      throw new InputError(name, `${name} must be a whole number from 0 to ${MOST_LIKELY}, found ${String(n)}`);
  if ((promptLogprobs ?? null) !== null && !generation.pages)
    throw new InputError(
      "promptLogprobs",
      "promptLogprobs needs caches in pages, but this generation has them in rows",
      'use the option `caches: "pages"` to compile it, or to open the session',
    );
  const { prompt, step } = generation;
  for (const name of options.observe?.outputs ?? [])
    for (const { outputs } of [prompt, step])
      if (!outputs.some((output) => output.name === name))
        throw new InputError("observe", `observe names ${JSON.stringify(name)}, which is not a result of every run`);
  const { shape } = prompt.outputs.find(({ name }) => name === "logits")!;
  if ((logprobs ?? null) !== null && shape[1] !== generation.sequenceAxis)
    throw new InputError(
      "logprobs",
      "logprobs needs the logits of last tokens, but the generation returns the logits of all tokens",
      'compile it without `logits: "all"`',
    );
}

type Live = Readonly<Record<string, LiveValue>>;

/** Requests with equal live parameters are of one kind; with those of the programs, after `usual`, of the kind "". */
export function kindOf({ prompt }: Generation, live: Live | undefined, usual: Live | undefined): string {
  const defaults = checkLive(prompt, usual, null);
  return [...checkLive(prompt, live, defaults)]
    .map(([name, value]) => [name, toNumber(value)] as const)
    .filter(([name, value]) => toNumber(defaults.get(name)!) !== value)
    .map(([name, value]) => `${name}=${value}`)
    .join();
}

/** Reads further results of the runs of sequences that came together. */
export class Observed implements Observer {
  /** In the order of their rows. */
  readonly members: Sequence[] = [];
  /** Null without the option `experts`. */
  readonly log: ExpertLog | null;
  readonly outputs: readonly string[];
  readonly #opened: () => Opened;
  readonly #add: RowReader["add"];

  constructor({ experts = false, observe }: SequenceOptions, opened: () => Opened) {
    this.#opened = opened;
    const log = (this.log = experts ? new ExpertLog(opened().generation) : null);
    this.outputs = [...(log?.outputs ?? []), ...(observe?.outputs ?? [])];
    this.#add = (...run) => {
      log?.add(...run);
      observe?.add(...run);
    };
  }

  add({ kind, sequences, rows }: ObservedRun, results: Results): void {
    const { generation, caches } = this.#opened();
    const own = this.members.map((sequence) => rows[sequences.indexOf(sequence)] ?? null);
    // Caches side by side have all members in every run, in their order.
    const ended = this.members.map(({ over }, i) => Number(over || (own[i] === null && !caches.together)));
    const read = caches.together ? results : rowsOf(generation, kind, results, own);
    try {
      this.#add(
        read,
        ended,
        this.members.map((sequence) => sequence.rows),
      );
    } catch (error) {
      // A fault of the caller's reader ends the caller's sequences alone.
      for (const sequence of this.members) if (!sequence.over) sequence.fail(error);
    }
  }
}

/** The rows of some sequences in the results of a run; zeros for null. */
function rowsOf(
  generation: Generation,
  kind: ObservedRun["kind"],
  results: Results,
  rows: readonly (number | null)[],
): Results {
  const { outputs } = kind === "step" ? generation.step : generation.prompt;
  const own = Object.entries(results).map(([name, { dtype, shape, data }]) => {
    const at = outputs.find((o) => o.name === name)!.shape.indexOf(generation.batchAxis);
    if (at < 0) return [name, results[name]!] as const; // the same for all sequences
    const [outer, inner] = [countOf(shape.slice(0, at)), countOf(shape.slice(at + 1))];
    // as long as the data of all rows, and of their type
    const made = new (data.constructor as Uint32ArrayConstructor)(outer * rows.length * inner);
    for (const [i, row] of rows.entries()) {
      if (row === null) continue;
      for (let o = 0; o < outer; o++) {
        const from = (o * shape[at]! + row) * inner;
        made.set(data.subarray(from, from + inner), (o * rows.length + i) * inner);
      }
    }
    return [name, resultOf(dtype, shape.with(at, rows.length), made)] as const;
  });
  return Object.fromEntries(own);
}

/** The details of one sequence. */
export class Details {
  readonly scores: boolean;
  readonly scoresPrompt: boolean;
  readonly observer: Observed | null;
  readonly #options: SequenceOptions;
  readonly #opened: () => Opened;
  readonly #index: number;
  readonly #promptScores: (Scored | null)[] = [null];
  #reported = false;
  /** By axis; null: the caches do not keep positions. */
  #taken: readonly (readonly number[] | null)[] = [];

  /** `index`: the place of the sequence in its group. */
  constructor(options: SequenceOptions, opened: () => Opened, observer: Observed | null, index = 0) {
    [this.#options, this.#opened, this.observer, this.#index] = [options, opened, observer, index];
    this.scores = (options.logprobs ?? null) !== null;
    this.scoresPrompt = (options.promptLogprobs ?? null) !== null;
  }

  /** Scores tokens of the prompt, in their order. Those that are read again are ignored. */
  read({ read, tokens, promptLength }: Sequence, results: Results, row: number, length: number): void {
    const { vocabulary, pages } = this.#opened().generation;
    if (!this.scoresPrompt || !pages) return;
    const { data, shape } = results[pages.allLogits]!;
    for (let i = 0; i < length; i++) {
      const at = read - length + i + 1;
      if (at >= promptLength) return;
      if (at !== this.#promptScores.length) continue;
      const offset = (row * shape[1]! + i) * vocabulary;
      this.#promptScores.push(scoreOf(data, offset, vocabulary, tokens[at]!, this.#options.promptLogprobs!));
    }
  }

  /** The report of a prompt, once it was read; null if it was read again. */
  prompt(sequence: Sequence): PromptRead | null {
    const { caches } = this.#opened();
    // The lists grow with the sequence.
    this.#taken = caches instanceof PagedCaches ? caches.takenBy(sequence) : [];
    if (this.#reported) return null;
    this.#reported = true;
    const { promptLength: tokens, cached } = sequence;
    return {
      kind: "prompt",
      tokens,
      cached: cached ?? 0,
      scores: this.scoresPrompt ? this.#promptScores : null,
      routes: this.#options.promptRoutes && this.#taken.length > 0 ? this.#promptRoutes(tokens) : null,
    };
  }

  /** For each token of the prompt and each axis, whether the token took it; false if positions are unknown. */
  #promptRoutes(tokens: number): PromptRead["routes"] {
    const sets = this.#taken.map((own) => own && new Set(own));
    return Array.from({ length: tokens }, (_, at) => sets.map((own, axis) => axis === 0 || (own?.has(at) ?? false)));
  }

  scoreOf({ logits, row, token }: AddedToken): Scored | null {
    const { vocabulary } = this.#opened().generation;
    return this.scores ? scoreOf(logits!.data, row * vocabulary, vocabulary, token, this.#options.logprobs!) : null;
  }

  /** The experts of the token before a token that was added last; undefined without the option. */
  expertsOf({ routes }: AddedToken): { readonly experts?: ReturnType<ExpertLog["last"]> | null } {
    const log = this.observer?.log;
    return log ? { experts: routes && log.last(this.#index, routes) } : {};
  }

  /** By axis, the positions of the tokens so far that took it; null: the caches do not keep them. */
  taken({ rows }: Sequence): readonly (Uint32Array | null)[] {
    return rows.map((n, axis) => {
      if (axis === 0) return Uint32Array.from({ length: n }, (_, at) => at);
      const own = this.#taken[axis];
      return own ? Uint32Array.from(own) : null;
    });
  }
}
