// Runs a program that scores texts over batches of texts with different lengths.
import { SCORES } from "../../../compiler/lower/scored.js";
import { countName } from "../../../runtime/program/observed.js";
import type { Inputs, RunOptions, Results } from "../../../runtime/index.js";
import type { ScoringProgram } from "./scored.js";

/** The tokens of a text, and for each of them the token that is scored behind it; −1: none. */
export interface ScoredText {
  readonly tokens: readonly number[];
  readonly targets: Int32Array;
}

/** The part of a `Session` that runs. */
export interface Runs {
  run(inputs: Inputs, options: Pick<RunOptions, "lengths" | "observe">): Promise<Results>;
}

/** The passes of one program, and which share of their tokens its routes chose. */
export class Passes {
  readonly #session: Runs;
  readonly #program: Pick<ScoringProgram, "tokens" | "targets" | "routes">;
  readonly #rows: number;
  readonly #chosen: Map<string, number>;
  #tokens = 0;

  /** `rows`: the number of texts in a pass. */
  constructor(session: Runs, program: Pick<ScoringProgram, "tokens" | "targets" | "routes">, rows: number) {
    this.#session = session;
    this.#program = program;
    this.#rows = rows;
    this.#chosen = new Map(program.routes.map((path) => [path, 0]));
  }

  /** The tokens read so far. */
  get tokens(): number {
    return this.#tokens;
  }

  /** For each route, the share of these tokens that it chose. */
  get shares(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#chosen].map(([path, n]) => [path, this.#tokens === 0 ? 0 : n / this.#tokens]));
  }

  /**
   * The score of each token of each text, in the order of the texts. A pass reads texts of similar lengths. `onPass` is
   * called with the number of texts after each pass.
   */
  async scores(
    texts: readonly ScoredText[],
    onPass: (texts: number) => void = () => {},
  ): Promise<readonly ArrayLike<number>[]> {
    const found: ArrayLike<number>[] = [];
    const order = texts.map((_, i) => i).sort((a, b) => texts[b]!.tokens.length - texts[a]!.tokens.length || a - b);
    for (let at = 0; at < order.length; at += this.#rows) {
      const chosen = order.slice(at, at + this.#rows);
      const scores = await this.#pass(chosen.map((i) => texts[i]!));
      for (const [row, i] of chosen.entries()) found[i] = scores[row]!;
      onPass(chosen.length);
    }
    return found;
  }

  async #pass(texts: readonly ScoredText[]): Promise<readonly ArrayLike<number>[]> {
    const lengths = texts.map(({ tokens }) => tokens.length);
    const length = Math.max(...lengths);
    const shape = [texts.length, length];
    const tokens = new Uint32Array(texts.length * length); // [B, T]
    const targets = new Int32Array(texts.length * length).fill(-1);
    for (const [row, text] of texts.entries()) {
      tokens.set(text.tokens, row * length);
      targets.set(text.targets, row * length);
    }
    const { routes, tokens: input, targets: goal } = this.#program;
    const inputs = {
      [input]: { data: tokens, shape },
      ...(goal !== null && { [goal]: { data: targets, shape } }),
    };
    const results = await this.#session.run(inputs, { lengths, observe: routes });
    for (const path of routes)
      for (const n of results[countName(path)]!.data) this.#chosen.set(path, this.#chosen.get(path)! + n);
    this.#tokens += lengths.reduce((a, b) => a + b, 0);
    const { data } = results[SCORES]!;
    return texts.map((_, row) => data.subarray(row * length, row * length + lengths[row]!));
  }
}
