// Reads the printed form of a size back, as it stands in IR text and in compiled programs.
import { parseRational } from "./rational.js";
import { addSizes, applySize, axisSize, liveSize, multiplySizes, normal, rowsSize, sizeOf, type Size, type SizeFunction } from "./size.js";

const TOKEN = /\s*(-?\d+(?:\/\d+)?|[A-Za-z_][A-Za-z0-9_.']*|[()+*,])/y;
const FUNCTIONS: Readonly<Record<string, SizeFunction>> = { __proto__: null as never, ceil: "ceil", floor: "floor", round: "round", min: "min", max: "max", mod: "mod", div: "div" };

/** Throws a SyntaxError that names the text where it is not a size. */
export function parseSize(text: string): Size {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  const end = text.trimEnd().length;
  while (TOKEN.lastIndex < end) {
    const at = TOKEN.lastIndex;
    const m = TOKEN.exec(text);
    if (!m) throw new SyntaxError(`not a size: ${JSON.stringify(text.slice(0, 200))} at ${at}`);
    tokens.push(m[1]!);
  }
  let i = 0;
  const fail = (): never => { throw new SyntaxError(`not a size: ${JSON.stringify(text.slice(0, 200))}`); };
  const expect = (t: string): void => { if (tokens[i++] !== t) fail(); };
  const sum = (depth: number): Size => {
    if (depth > 64) fail();
    let s = product(depth);
    while (tokens[i] === "+") { i++; s = addSizes(s, product(depth)); }
    return s;
  };
  const product = (depth: number): Size => {
    let s = factor(depth);
    while (tokens[i] === "*") { i++; s = multiplySizes(s, factor(depth)); }
    return s;
  };
  const factor = (depth: number): Size => {
    const t = tokens[i++];
    if (t === undefined) return fail();
    const number = parseRational(t);
    if (number) return normal(sizeOf(number));
    if (!/^[A-Za-z_]/.test(t)) return fail();
    if (tokens[i] !== "(") return axisSize(t);
    i++;
    if (t === "rows" || t === "live") {
      const name = tokens[i++] ?? fail();
      expect(")");
      return t === "rows" ? rowsSize(name) : liveSize(name);
    }
    const fn = FUNCTIONS[t];
    if (fn === undefined) return fail();
    const args = [sum(depth + 1)];
    while (tokens[i] === ",") { i++; args.push(sum(depth + 1)); }
    expect(")");
    return applySize(fn, args);
  };
  const s = sum(0);
  if (i !== tokens.length) fail();
  return s;
}
