// What every generator has, of packages too: a core of an engine, which works only while a caller waits for a token.
import { DisposedError } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Core } from "../engine/core.js";
import type { GeneratedToken, GenerateOptions, Summary } from "../types.js";
import { settleAll, Together } from "./together.js";

export class BaseGenerator {
  /** Use `createGenerator`. */
  constructor(protected readonly core: Core) {}

  get generation(): Generation {
    return this.core.opened.generation;
  }

  /**
   * Continues each prompt, and yields the tokens of all sequences in the order of generation. Throws InputError for a
   * prompt that is empty, contains an invalid token, or exceeds the context.
   */
  async *generate(
    prompts: readonly ArrayLike<number>[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, Summary> {
    const together = this.begin(prompts, options);
    let summary: Summary;
    try {
      yield* together.tokens();
    } finally {
      await together.end();
      summary = this.ended(together);
    }
    return summary;
  }

  protected begin(prompts: readonly ArrayLike<number>[], options: GenerateOptions): Together {
    return new Together(this.core, settleAll(this.generation, prompts, options));
  }

  protected ended(together: Together): Summary {
    return together.summary();
  }

  dispose(): void {
    this.core.end(new DisposedError());
    this.core.dispose();
  }
}
