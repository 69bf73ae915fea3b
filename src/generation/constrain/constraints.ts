// Grammars, patterns and JSON schemas for the texts of one model.
import type { TokenConstraint } from "../types.js";
import type { Tokenizer } from "../../models/tokenizer/tokenizer.js";
import { ConstraintError } from "./errors.js";
import { choiceOf, text, type Expression, type Rules } from "./expression.js";
import { parseGbnf, ROOT } from "./gbnf.js";
import { compileGrammar, type Grammar } from "./grammar.js";
import { parsePattern } from "./pattern.js";
import { anyObjectRules, schemaRules } from "./schema.js";
import { tokenTree, type TokenTree } from "./vocabulary.js";
import type { AllowedTokens } from "../sampling/constrained.js";
import { Machine, type Place } from "./machine.js";

/** What a text must be. */
export type Form =
  | { readonly kind: "object" }
  | { readonly kind: "schema"; readonly schema: unknown }
  | { readonly kind: "grammar"; readonly grammar: string }
  | { readonly kind: "pattern"; readonly pattern: string }
  | { readonly kind: "choice"; readonly choices: readonly string[] };

/** Characters of a form, as JSON, and levels of its lists and objects. */
const MOST_CHARACTERS = 256 * 1024;
const MOST_DEPTH = 500;
/** Grammars that are kept for further texts, and faults of forms that modc cannot follow. */
const MOST_KEPT = 16;

/** Makes constraints for the texts of one model, and keeps the last grammars. */
export class Constraints {
  readonly #tokenizer: Tokenizer;
  readonly #vocabulary: number;
  readonly #turn: () => Promise<void>;
  #tree: Promise<TokenTree> | null = null;
  readonly #kept = new Map<string, TokenGrammar | ConstraintError>();

  /** `vocabulary`: the number of the model's tokens. `turn`: awaited within long work, so that others have theirs. */
  constructor(tokenizer: Tokenizer, vocabulary: number, turn: () => Promise<void> = async () => {}) {
    [this.#tokenizer, this.#vocabulary, this.#turn] = [tokenizer, vocabulary, turn];
  }

  /** Returns a maker of constraints, one for each text. Throws ConstraintError for a form that modc cannot follow. */
  async of(form: Form): Promise<() => TokenConstraint> {
    expectSmall(form);
    const key = JSON.stringify(form);
    const known = this.#kept.get(key) ?? (await this.#compiled(form));
    this.#kept.delete(key);
    this.#kept.set(key, known);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MOST_KEPT) this.#kept.delete(oldest!); // there are some
    if (known instanceof ConstraintError) throw known;
    return () => known.text();
  }

  async #compiled(form: Form): Promise<TokenGrammar | ConstraintError> {
    const compiled = compiledOrFault(form);
    if (compiled instanceof ConstraintError) return compiled;
    this.#tree ??= tokenTree(this.#tokenizer, this.#vocabulary, this.#turn);
    return new TokenGrammar(compiled, await this.#tree);
  }
}

function compiledOrFault(form: Form): Grammar | ConstraintError {
  try {
    return compile(form);
  } catch (fault) {
    if (fault instanceof ConstraintError) return fault;
    throw fault;
  }
}

/** Throws ConstraintError for a form that modc cannot follow. */
export function compileForm(form: Form): Grammar {
  expectSmall(form);
  return compile(form);
}

const compile = (form: Form): Grammar => compileGrammar(rulesOf(form), ROOT, form.kind === "grammar");

/** Throws ConstraintError for a form that is too large, or too deep for what calls itself. */
function expectSmall(form: Form): void {
  let characters = 0;
  const open: { readonly value: unknown; readonly depth: number }[] = [{ value: form, depth: 0 }];
  for (let next = open.pop(); next; next = open.pop()) {
    const { value, depth } = next;
    if (depth > MOST_DEPTH) throw new ConstraintError(`it nests more than ${MOST_DEPTH} lists and objects`);
    characters += typeof value === "string" ? value.length : 1;
    if (typeof value === "object" && value !== null)
      for (const name of Object.keys(value)) {
        if (!Array.isArray(value)) characters += name.length;
        open.push({ value: Reflect.get(value, name), depth: depth + 1 });
      }
    if (characters + open.length > MOST_CHARACTERS)
      throw new ConstraintError(`it has more than ${MOST_CHARACTERS} characters`, {
        hint: "leave out what modc need not know, such as comments and descriptions",
      });
  }
}

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
      return alone(parsePattern(form.pattern, "held"));
    case "choice":
      return alone(choiceOf(form.choices.map(text)));
    default:
      return form satisfies never;
  }
}

/** Sets of allowed tokens that are kept: one takes a bit for each token. */
const MOST_KEPT_SETS = 256;

/** A grammar with the tokens of a model. All its texts share the states that were found. */
export class TokenGrammar {
  readonly #machine: Machine;
  readonly #tree: TokenTree;
  /** By place, those used last at the end. */
  readonly #allowed = new Map<Place, Uint32Array>();

  constructor(grammar: Grammar, tree: TokenTree) {
    this.#machine = new Machine(grammar);
    this.#tree = tree;
  }

  /** The constraint of a new text. */
  text(): TokenConstraint {
    const machine = this.#machine;
    let place = machine.start;
    return {
      next: (): AllowedTokens => {
        place = this.#begin(place);
        return { tokens: this.#allowedAt(place), end: place.end };
      },
      add: (token) => {
        place = this.#after(this.#begin(place), token);
        return place.end && place.stacks.length === 0;
      },
    };
  }

  /** Begins a search. Tokens of places that were forgotten are forgotten too. */
  #begin(place: Place): Place {
    const begun = this.#machine.begin(place);
    if (begun.age !== place.age)
      for (const old of this.#allowed.keys()) if (old.age !== begun.age) this.#allowed.delete(old);
    return begun;
  }

  #after(place: Place, token: number): Place {
    const text = this.#tree.texts[token] ?? "";
    let next: Place | null = text === "" ? null : place;
    for (let i = 0; next !== null && i < text.length; i++) next = this.#machine.after(next, text.charCodeAt(i));
    if (next === null)
      throw new ConstraintError(`token ${token} came, which is not allowed here`, {
        hint: "check the model's logits: if all allowed tokens have −Infinity, any token may come",
      });
    return next;
  }

  /** Bits of the tokens that may come at a place. Throws ConstraintError if there is none, and the text may not end. */
  #allowedAt(place: Place): Uint32Array {
    const known = this.#allowed.get(place);
    const allowed = known ?? this.#find(place);
    this.#allowed.delete(place);
    this.#allowed.set(place, allowed);
    if (this.#allowed.size > MOST_KEPT_SETS)
      for (const oldest of this.#allowed.keys()) {
        this.#allowed.delete(oldest);
        break;
      }
    return allowed;
  }

  #find(place: Place): Uint32Array {
    const { vocabulary, bytes, depths, skips, tokens, first } = this.#tree;
    const machine = this.#machine;
    const allowed = new Uint32Array(Math.ceil(vocabulary / 32));
    // Places on the way to the node, the first before its first byte.
    const path: Place[] = [place];
    let any = place.end;
    for (let node = 0; node < bytes.length;) {
      const depth = depths[node]!;
      const next = machine.after(path[depth]!, bytes[node]!);
      if (next === null) {
        node = skips[node]!;
        continue;
      }
      path[depth + 1] = next;
      for (let i = first[node]!; i < first[node + 1]!; i++) {
        const token = tokens[i]!;
        allowed[token >>> 5]! |= 1 << (token & 31);
        any = true;
      }
      node++;
    }
    if (!any) throw new ConstraintError("the model has no token that could continue its text");
    return allowed;
  }
}
