// Writes sequence-dependent sizes, such as the k of a `top`, as exact Python expressions in the sequence length n.
import type { Model, Value } from "../../language/check/model/model.js";
import { multiply, rational, type Rational } from "../../ground/numerics/rational.js";
import { toExpr, type Atom, type Size, type Term } from "../../ground/size/size.js";
import type { Holes } from "./text.js";
import { countedBy, sizeOfTop } from "./outline.js";
import { refuse, type Place } from "./refused.js";

/** Formats a rational number as Python. */
export const pythonRatio = ({ num, den }: Rational): string => (den === 1n ? `${num}` : `Fraction(${num}, ${den})`);

/** The k of a `top` as a Python function: `lambda n: …`. */
export function countOfTop(model: Model, value: Value<"top"> | Value<"top_tokens">, holes: Holes): string {
  const k = sizeOfTop(model, value) ?? refuse("this choice", value);
  return `lambda n: ${new SizeWriter(countedBy(model, value), value, holes).whole(k)}`;
}

/** A size as a value: an integer (`sizeText`) or a possibly fractional number (`realText`). */
export const sizeText = (size: Size, along: string, place: Place, holes: Holes): string =>
  new SizeWriter(along, place, holes).whole(size);

export const realText = (size: Size, along: string, place: Place, holes: Holes): string =>
  new SizeWriter(along, place, holes).real(size);

/** Whether a size may be smaller for a longer sequence. */
export const mayFall = (size: Size): boolean =>
  typeof size !== "number" &&
  size.terms.some(
    ({ coefficient, atoms }) =>
      (coefficient.num < 0n && atoms.length > 0) ||
      atoms.some(
        ({ atom }) => atom.kind === "mod" || atom.kind === "div" || ("args" in atom && atom.args.some(mayFall)),
      ),
  );

const isLive = ({ atom }: Term["atoms"][number]): boolean => atom.kind === "live";

const withoutLive = (term: Term): Term => ({ ...term, atoms: term.atoms.filter((factor) => !isLive(factor)) });

class SizeWriter {
  constructor(
    /** The axis whose length is n. */
    private readonly along: string,
    private readonly place: Place,
    private readonly holes: Holes,
  ) {}

  /** An integer size. */
  whole(size: Size): string {
    if (typeof size === "number") return this.holes.add(String(size), "k");
    return this.#sum(size.terms.map((term) => [term.coefficient, this.#product(this.#wholeAtoms(term))]));
  }

  /** A size as a Python number or a tensor. */
  real(size: Size): string {
    if (typeof size === "number") return this.whole(size);
    if (size.terms.every((term) => term.coefficient.den === 1n && !term.atoms.some(isLive))) return this.whole(size);
    const terms = size.terms.map((term) => {
      const share = this.#share(term);
      const factors = this.#wholeAtoms(withoutLive(term));
      return this.#product([...(share === null ? [] : [`float(${share})`]), ...factors]) ?? "1";
    });
    return terms.join(" + ");
  }

  /** Adds integer terms, with their signs. */
  #sum(terms: readonly (readonly [Rational, string | null])[]): string {
    const texts = terms.map(([{ num, den }, product], i) => {
      if (den !== 1n) this.#fail();
      const size = num < 0n ? -num : num;
      const text = product === null ? String(size) : size === 1n ? product : `${size} * ${product}`;
      return (num < 0n ? (i === 0 ? "-" : " - ") : i === 0 ? "" : " + ") + text;
    });
    return texts.length === 0 ? "0" : texts.join("");
  }

  #product(factors: readonly string[]): string | null {
    return factors.length === 0 ? null : factors.join(" * ");
  }

  #wholeAtoms({ atoms }: Term): readonly string[] {
    return atoms.map(({ atom }) => this.#atom(atom));
  }

  #atom(atom: Atom): string {
    switch (atom.kind) {
      case "axis":
        return atom.axis === this.along ? "n" : this.#fail();
      case "ceil":
      case "floor":
      case "round":
        return this.#rounded(atom.kind, atom.args[0]!);
      case "max":
      case "min": {
        const name = atom.kind === "max" ? "larger" : "smaller";
        return atom.args.map((arg) => this.whole(arg)).reduce((a, b) => `mt.${name}(${a}, ${b})`);
      }
      case "mod": {
        const [a, b] = atom.args.map((arg) => this.whole(arg));
        return `mt.modulo(${a!}, ${b!})`;
      }
      default:
        return this.#fail();
    }
  }

  /**
   * A rounded size: a share times one number, optionally with live parameters and a constant; otherwise a rounded sum.
   */
  #rounded(fn: "ceil" | "floor" | "round", size: Size): string {
    const { terms } = toExpr(size);
    const constant = terms.find(({ atoms }) => atoms.length === 0);
    const shares = terms.filter((term) => term !== constant);
    const isAnyLive = shares.some(({ atoms }) => atoms.some(isLive));
    const numbers = [...new Set(shares.map((term) => this.#product(this.#wholeAtoms(withoutLive(term))) ?? "1"))];
    if (numbers.length === 1 && (isAnyLive || !constant)) {
      const share = shares.map((term) => this.#share(term) ?? this.#ratio(term.coefficient)).join(" + ");
      return `mt.${fn}_of(${share}, ${numbers[0]!}${constant ? `, plus=${pythonRatio(constant.coefficient)}` : ""})`;
    }
    if (isAnyLive) this.#fail();
    const den = terms.reduce((all, { coefficient }) => lcm(all, coefficient.den), 1n);
    const sum = terms.map((term): readonly [Rational, string | null] => [
      multiply(term.coefficient, rational(den)),
      this.#product(this.#wholeAtoms(term)),
    ]);
    return `mt.${fn}_of(${pythonRatio(rational(1n, den))}, ${this.#sum(sum)})`;
  }

  /** The coefficient multiplied by the term's live parameters; null if the product is 1. */
  #share({ coefficient, atoms }: Term): string | null {
    const live = atoms.flatMap(({ atom }) => (atom.kind === "live" ? [`run.live["${atom.name}"]`] : []));
    const isOne = coefficient.num === 1n && coefficient.den === 1n;
    const factor = isOne ? [] : [this.#ratio(coefficient)];
    return this.#product([...factor, ...live]);
  }

  #ratio(coefficient: Rational): string {
    return this.holes.add(pythonRatio(coefficient), "capacity");
  }

  #fail(): never {
    return refuse("this number of tokens", this.place);
  }
}

function lcm(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b];
  while (y !== 0n) [x, y] = [y, x % y];
  return (a / x) * b;
}
