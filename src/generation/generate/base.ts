// What every generator has, of packages too: a core of an engine, which works only while a caller waits for a token.
import { DisposedError } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Core } from "../engine/core.js";
import type { GeneratedToken, GenerateOptions, Summary } from "../types.js";
import { settleAll, Together } from "./together.js";

/** What a generator with further abilities does at the beginning and the end of a generation. */
interface Hooks {
  readonly begin?: (prompts: readonly ArrayLike<number>[], options: GenerateOptions) => Together;
  readonly ended?: (together: Together) => Summary;
}

export class BaseGenerator {
  readonly #core: Core;
  readonly #hooks: Hooks;

  /** Use `createGenerator`. */
  constructor(core: Core, hooks: Hooks = {}) {
    [this.#core, this.#hooks] = [core, hooks];
  }

  get generation(): Generation {
    return this.#core.opened.generation;
  }

  /**
   * Continues each prompt, and yields the tokens of all sequences in the order of generation. Throws InputError for a
   * prompt that is empty, contains an invalid token, or exceeds the context.
   */
  async *generate(
    prompts: readonly ArrayLike<number>[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, Summary> {
    const together =
      this.#hooks.begin?.(prompts, options) ?? new Together(this.#core, settleAll(this.generation, prompts, options));
    let summary: Summary;
    try {
      yield* together.tokens();
    } finally {
      await together.end();
      summary = this.#hooks.ended?.(together) ?? together.summary();
    }
    return summary;
  }

  dispose(): void {
    const core = this.#core;
    core.end(new DisposedError());
    core.dispose();
  }
}
