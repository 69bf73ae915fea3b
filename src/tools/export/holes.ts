// Numbers in the text of a block that may differ between its instances: each becomes a parameter or stays a number.
import { toNumber } from "../../ground/numerics/rational.js";

/** A number as Python writes it, and a word for a parameter that holds it. */
export interface Hole {
  readonly text: string;
  readonly hint: string;
}

const MARK = /⟦(\d+)⟧/g;

/** Numbers in the order in which a text has them. */
export class Holes {
  readonly all: Hole[] = [];

  /** The mark that stands in the text for a number. */
  add(text: string, hint: string): string {
    this.all.push({ text, hint });
    return `⟦${this.all.length - 1}⟧`;
  }
}

/** The text with something in place of each mark. */
export const filled = (text: string, at: (hole: number) => string): string =>
  text.replace(MARK, (_, hole: string) => at(Number(hole)));

/** A number as Python writes it. */
export function pythonNumber(value: number): string {
  if (Number.isNaN(value)) return 'float("nan")';
  if (!Number.isFinite(value)) return value > 0 ? 'float("inf")' : '-float("inf")';
  if (Number.isInteger(value) && Math.abs(value) < 1e16) return value.toFixed(0);
  return Math.abs(value) < 1e-3 ? value.toExponential() : String(value);
}

/** One that is a float also where it is whole. */
export const pythonFloat = (value: number): string =>
  /^-?\d+$/.test(pythonNumber(value)) ? `${pythonNumber(value)}.0` : pythonNumber(value);

/** The holes that a text has marks for. */
export const marksIn = (text: string): readonly number[] => [...text.matchAll(MARK)].map(([, hole]) => Number(hole));

/** A number of an instance as the texts that a hole may have for it. */
export const numberTexts = (number: Parameters<typeof toNumber>[0]): readonly string[] => [
  pythonNumber(toNumber(number)),
  pythonFloat(toNumber(number)),
  number.den === 1n ? `${number.num}` : `Fraction(${number.num}, ${number.den})`,
];
