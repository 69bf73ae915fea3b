// A text that a grammar holds: which tokens may come next, after those so far.
import type { AllowedTokens } from "../sampling/constrained.js";
import type { TokenConstraint } from "../types.js";
import { ConstraintError } from "./errors.js";
import type { Grammar } from "./grammar.js";
import { Machine, type Place } from "./machine.js";
import type { TokenTree } from "./vocabulary.js";

/** Sets of allowed tokens that are kept: one takes a bit for each token. */
const MOST_KEPT = 256;

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
    if (this.#allowed.size > MOST_KEPT)
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
