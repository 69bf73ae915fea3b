// Builds literals: exact numbers, and strings with their escapes resolved.
import type { IToken } from "../../../grammar/tokens.js";
import { divide, parseDecimal, rational } from "../../ground/numerics/rational.js";
import type { Expr, Text } from "./ast.js";
import type { Builder } from "./builder.js";
import { MAX_DIGITS } from "./limits.js";

const NUMBER = /^\d+(\.\d+)?([eE][+-]?\d+)?$/;

/** Builds `12`, `1e-5`, `12.5%`; reports a malformed number and uses 1 instead. */
export function numberLiteral(builder: Builder, token: IToken): Expr {
  const span = builder.tokenSpan(token);
  const ratio = token.image.endsWith("%");
  const text = ratio ? token.image.slice(0, -1) : token.image;
  const match = NUMBER.exec(text);
  if (!match) {
    builder.report("malformed-number", { text: token.image.slice(0, 80), advice: advice(text) }, span);
    return builder.expr({ kind: "number", value: rational(1), form: "int", span });
  }
  const digits = text.replace(/[eE].*/, "").length + Math.abs(Number(match[2]?.slice(1) ?? "0"));
  if (digits > MAX_DIGITS) {
    builder.report("number-too-long", { digits, limit: MAX_DIGITS }, span);
    return builder.expr({ kind: "number", value: rational(1), form: "int", span });
  }
  const value = builder.need(parseDecimal(text));
  if (ratio) return builder.expr({ kind: "number", value: divide(value, rational(100)), form: "ratio", span });
  return builder.expr({
    kind: "number",
    value,
    form: match[1] === undefined && match[2] === undefined ? "int" : "float",
    span,
  });
}

function advice(text: string): string {
  if (/^\.\d+$/.test(text)) return `write \`0${text}\`: there are digits on both sides of the point`;
  if (/^\d+\.$/.test(text)) return `write \`${text}0\`: there are digits on both sides of the point`;
  if (/^[\d_]+$/.test(text)) return `write \`${text.replaceAll("_", "")}\`: digits are not grouped`;
  if (/^0[xXbBoO]/.test(text)) return "numbers are decimal";
  const unit = /^(\d+)([KkMmGg])$/.exec(text);
  if (unit) return `write \`${unit[1]} * ${unit[2] === "k" || unit[2] === "K" ? "1024" : "1024 ^ 2"}\` or the digits`;
  return "a name begins with a letter or `_`, and a product needs its `*`: `2 * x`";
}

const ESCAPES: Readonly<Record<string, string>> = { '"': '"', "\\": "\\", n: "\n", t: "\t" };

/** The value of a string literal; reports an unknown escape and keeps it as text. */
export function stringLiteral(builder: Builder, token: IToken): Text {
  const { image } = token;
  const quote = image[0] ?? "";
  const span = builder.tokenSpan(token);
  let value = "";
  let ended = false;
  for (let i = 1; i < image.length; i++) {
    const c = image[i]!;
    if (c === quote) {
      ended = true;
      break;
    }
    if (c !== "\\") {
      value += c;
      continue;
    }
    const next = image[i + 1] ?? "";
    const code = next === "u" ? /^\{([0-9A-Fa-f]{1,6})\}/.exec(image.slice(i + 2, i + 10)) : null;
    const point = code ? Number.parseInt(code[1]!, 16) : -1;
    if (code && point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff)) {
      value += String.fromCodePoint(point);
      i += 1 + code[0].length;
    } else if (next !== "" && Object.hasOwn(ESCAPES, next)) {
      value += ESCAPES[next]!;
      i++;
    } else if (next !== "") {
      const length =
        next === "u" ? 2 + (/^\{[^}"]{0,20}\}?/.exec(image.slice(i + 2))?.[0].length ?? 0) : 1 + next.length;
      const escape = image.slice(i, i + length);
      const start = token.startOffset + i;
      if (quote === '"') builder.report("bad-escape", { escape: `\`${escape}\`` }, builder.span(start, start + length));
      value += escape;
      i += length - 1;
    }
  }
  if (!ended && quote === '"') builder.report("unterminated-string", { quote }, span);
  return { value, span };
}
