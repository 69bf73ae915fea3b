// Computes sizes exactly in the graph, on integers. A size is a fraction whose parts are constants or tensors: i64[1],
// or i64[B] if sequences differ.
import type { OpenAtom } from "../../../ground/size/size-function.js";
import { toExpr, type Atom, type Size, type SizeFunction } from "../../../ground/size/size.js";
import type { Name } from "./graph.js";
import type { Shorthand } from "./shorthand.js";

/** A constant, or the name of a tensor. */
export type Whole = bigint | Name;

/** den is positive. */
export interface Fraction {
  readonly num: Whole;
  readonly den: Whole;
}

const isNumber = (x: Whole): x is bigint => typeof x === "bigint";
const magnitude = (x: bigint): bigint => (x < 0n ? -x : x);
const modulo = (a: bigint, b: bigint): bigint => ((a % b) + b) % b;

export class Sizes {
  constructor(
    private readonly at: Shorthand,
    private readonly atom: (atom: OpenAtom) => Fraction,
  ) {}

  /** The value of a size. */
  of(size: Size): Fraction {
    return toExpr(size).terms.reduce<Fraction>(
      (sum, { coefficient, atoms }) =>
        this.#add(
          sum,
          atoms.reduce<Fraction>((product, { atom }) => this.#times(product, this.#atom(atom)), coefficient),
        ),
      { num: 0n, den: 1n },
    );
  }

  /** The size as a tensor i64[1] or i64[B]; fractions are truncated. */
  whole(size: Size): Name {
    return this.named(this.#quotient(this.of(size)));
  }

  floor(size: Size): Name {
    return this.named(this.#floor(this.of(size)));
  }

  /** The size as a tensor f32[1] or f32[B]. */
  float(size: Size): Name {
    const { num, den } = this.of(size);
    const { at } = this;
    if (isNumber(num) && isNumber(den)) return at.graph.constant("f32", [1], [Math.fround(Number(num) / Number(den))]);
    const above = at.cast(this.named(num), "f32");
    return den === 1n ? above : at.div(above, at.cast(this.named(den), "f32"));
  }

  named(x: Whole): Name {
    return isNumber(x) ? this.at.graph.ints(x) : x;
  }

  #atom(atom: Atom): Fraction {
    switch (atom.kind) {
      case "axis":
      case "rows":
      case "live":
        return this.atom(atom);
      default:
        return this.#applied(
          atom.kind,
          atom.args.map((arg) => this.of(arg)),
        );
    }
  }

  #applied(fn: SizeFunction, args: readonly Fraction[]): Fraction {
    const [a, b] = [args[0]!, args.at(-1)!];
    const whole = (num: Whole): Fraction => ({ num, den: 1n });
    switch (fn) {
      case "floor":
        return whole(this.#floor(a));
      case "ceil":
        return whole(this.#floor({ num: this.#plus(a.num, this.#plus(a.den, -1n)), den: a.den }));
      // Rounds half away from zero.
      case "round": {
        const { num, den } = a;
        const half = { num: this.#plus(this.#product(2n, this.#abs(num)), den), den: this.#product(2n, den) };
        return whole(this.#product(this.#sign(num), this.#floor(half)));
      }
      case "min":
      case "max":
        return args.reduce((x, y) => {
          const [left, right, den] = this.#alike(x, y);
          return { num: this.#either(fn, left, right), den };
        });
      case "mod": {
        const [left, right, den] = this.#alike(a, b);
        return { num: this.#modulo(left, right), den };
      }
      // a / b = (a.num · b.den) / (a.den · b.num); 0 if b is 0.
      case "div": {
        const [num, den] = [this.#product(a.num, b.den), this.#product(a.den, b.num)];
        if (isNumber(den))
          return den === 0n ? whole(0n) : { num: this.#product(num, den < 0n ? -1n : 1n), den: magnitude(den) };
        const none = this.#isZero(den);
        const signed = this.#product(num, this.#sign(den));
        return {
          num: this.at.where(none, this.named(0n), this.named(signed)),
          den: this.at.where(none, this.named(1n), this.named(this.#abs(den))),
        };
      }
      default:
        return fn satisfies never;
    }
  }

  #add(a: Fraction, b: Fraction): Fraction {
    const [left, right, den] = this.#alike(a, b);
    return { num: this.#plus(left, right), den };
  }

  #times(a: Fraction, b: Fraction): Fraction {
    return { num: this.#product(a.num, b.num), den: this.#product(a.den, b.den) };
  }

  /** Brings two fractions to a common denominator. */
  #alike(a: Fraction, b: Fraction): readonly [Whole, Whole, Whole] {
    if (a.den === b.den) return [a.num, b.num, a.den];
    return [this.#product(a.num, b.den), this.#product(b.num, a.den), this.#product(a.den, b.den)];
  }

  #plus(a: Whole, b: Whole): Whole {
    if (isNumber(a) && isNumber(b)) return a + b;
    if (a === 0n) return b;
    if (b === 0n) return a;
    return this.at.add(this.named(a), this.named(b));
  }

  #product(a: Whole, b: Whole): Whole {
    if (isNumber(a) && isNumber(b)) return a * b;
    if (a === 0n || b === 0n) return 0n;
    if (a === 1n) return b;
    if (b === 1n) return a;
    return this.at.mul(this.named(a), this.named(b));
  }

  #either(fn: "min" | "max", a: Whole, b: Whole): Whole {
    if (isNumber(a) && isNumber(b)) return a < b === (fn === "min") ? a : b;
    return this.at[fn](this.named(a), this.named(b));
  }

  #abs(a: Whole): Whole {
    return isNumber(a) ? magnitude(a) : this.at.graph.node("Abs", [a]);
  }

  #sign(a: Whole): Whole {
    return isNumber(a) ? BigInt(Number(a > 0n) - Number(a < 0n)) : this.at.graph.node("Sign", [a]);
  }

  #isZero(a: Name): Name {
    return this.at.equal(a, this.named(0n));
  }

  /** The modulo has the divisor's sign; it is 0 for a divisor of 0. */
  #modulo(a: Whole, b: Whole): Whole {
    if (isNumber(a) && isNumber(b)) return b === 0n ? 0n : modulo(a, b);
    if (isNumber(b)) return b === 0n ? 0n : this.#mod(a, b);
    const none = this.#isZero(b);
    const divisor = this.at.where(none, this.named(1n), b);
    return this.at.where(none, this.named(0n), this.#mod(a, divisor));
  }

  #mod(a: Whole, b: Whole): Name {
    return this.at.graph.node("Mod", [this.named(a), this.named(b)]);
  }

  #floor({ num, den }: Fraction): Whole {
    if (den === 1n) return num;
    if (isNumber(num) && isNumber(den)) return (num - modulo(num, den)) / den;
    return this.at.div(this.at.sub(this.named(num), this.#mod(num, den)), this.named(den));
  }

  #quotient({ num, den }: Fraction): Whole {
    if (den === 1n) return num;
    if (isNumber(num) && isNumber(den)) return num / den;
    return this.at.div(this.named(num), this.named(den));
  }
}
