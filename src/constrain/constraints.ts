// Grammars, patterns and JSON schemas for the texts of one model.
import type { TokenConstraint } from "../generate/types.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { TokenGrammar } from "./constraint.js";
import { ConstraintError } from "./errors.js";
import { choice, type Expression, type Rules, text } from "./expression.js";
import { parseGbnf, ROOT } from "./gbnf.js";
import { compileGrammar, type Grammar } from "./grammar.js";
import { expectPattern, parsePattern } from "./pattern.js";
import { anyObjectRules, schemaRules } from "./schema.js";
import { tokenTree, type TokenTree } from "./vocabulary.js";

/** What a text must be. */
export type Form =
  | { readonly kind: "object" }
  | { readonly kind: "schema"; readonly schema: unknown }
  | { readonly kind: "grammar"; readonly grammar: string }
  | { readonly kind: "pattern"; readonly pattern: string }
  | { readonly kind: "choice"; readonly choices: readonly string[] };

/** Characters of a form, as JSON. */
const MOST_CHARACTERS = 256 * 1024;
/** Grammars that are kept for further texts. */
const MOST_KEPT = 16;

/** Makes constraints for the texts of one model, and keeps the last grammars. */
export class Constraints {
  readonly #tokenizer: Tokenizer;
  readonly #vocabulary: number;
  readonly #turn: () => Promise<void>;
  #tree: Promise<TokenTree> | null = null;
  readonly #kept = new Map<string, TokenGrammar>();

  /** `vocabulary`: the number of the model's tokens. `turn`: awaited within long work, so that others have theirs. */
  constructor(tokenizer: Tokenizer, vocabulary: number, turn: () => Promise<void> = async () => {}) {
    [this.#tokenizer, this.#vocabulary, this.#turn] = [tokenizer, vocabulary, turn];
  }

  /** Returns a maker of constraints, one for each text. Throws ConstraintError for a form that modc cannot follow. */
  async of(form: Form): Promise<() => TokenConstraint> {
    const key = JSON.stringify(form);
    let grammar = this.#kept.get(key);
    if (!grammar) {
      if (key.length > MOST_CHARACTERS)
        throw new ConstraintError(`it has ${key.length} characters, of which there may be ${MOST_CHARACTERS}`);
      const compiled = compileForm(form);
      this.#tree ??= tokenTree(this.#tokenizer, this.#vocabulary, this.#turn);
      grammar = new TokenGrammar(compiled, await this.#tree);
    }
    this.#kept.delete(key);
    this.#kept.set(key, grammar);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MOST_KEPT) this.#kept.delete(oldest!); // there are some
    const own = grammar;
    return () => own.text();
  }
}

/** Throws ConstraintError for a form that modc cannot follow. */
export const compileForm = (form: Form): Grammar => compileGrammar(rulesOf(form), ROOT);

function rulesOf(form: Form): Rules {
  const alone = (expression: Expression): Rules => new Map([[ROOT, expression]]);
  switch (form.kind) {
    case "object":
      return anyObjectRules();
    case "schema":
      return schemaRules(form.schema);
    case "grammar":
      return parseGbnf(form.grammar);
    case "pattern":
      expectPattern(form.pattern); // it is one by itself, too
      return alone(parsePattern(`^(?:${form.pattern})$`));
    case "choice":
      return alone(choice(...form.choices.map(text)));
    default:
      return form satisfies never;
  }
}
