// Reads records whose texts are scored: the same forms as training reads, from lines of JSON.
import type { DataRow } from "../rows-node.js";
import { TrainError } from "../errors.js";
import type { ScoredText } from "./passes.js";
import { kindOf } from "./questions.js";
import { continuedAt, expectFits, scoredText, tokensAt, type TextLimits } from "./texts.js";

export interface RecordLimits extends TextLimits {
  /** The column with the text of a record. */
  readonly field: string;
  /** Texts are cut after so many tokens; null: not. */
  readonly cut: number | null;
  /** The token that ends a text, as in training; null: none. */
  readonly end: number | null;
}

export interface ScoredRecord extends Pick<DataRow, "place" | "values"> {
  /** `text`: of a record with one text; `chosen` and `rejected`: of a preference. */
  readonly texts: Readonly<Record<string, ScoredText>>;
}

/** The columns of a preference. */
const PREFERENCE = ["chosen", "rejected"] as const;

/**
 * The texts of a record, of which the first token is never scored: `{chosen, rejected}`, each a text or tokens, behind
 * `prompt` if there is one; `{tokens}` with `targets` if there are any; `{prompt, completion}`, of which the completion
 * is scored; or a text. Throws TrainError with the line.
 */
export async function recordOf(line: DataRow, limits: RecordLimits): Promise<ScoredRecord> {
  const { place, values } = line;
  const has = (column: string): boolean => Object.hasOwn(values, column) && values[column] !== null;
  if (PREFERENCE.some(has)) {
    const [chosen, rejected] = [await textAt(line, "chosen", limits), await textAt(line, "rejected", limits)];
    return { place, values, texts: { chosen, rejected } };
  }
  const column = ["tokens", "completion", limits.field].find(has);
  if (column !== undefined) return { place, values, texts: { text: await textAt(line, column, limits) } };
  if (has("messages"))
    throw new TrainError("bad-data", `${place}: messages cannot be scored yet`, {
      hint: "write the record as prompt and completion, or as tokens and targets",
    });
  throw new TrainError("bad-data", `${place}: the line has no text to score`, {
    hint:
      `its columns are ${Object.keys(values).join(", ") || "none"}; a record has ${limits.field}, tokens, ` +
      "prompt and completion, or chosen and rejected",
  });
}

/** A column's text, behind the prompt except for the field of a whole text. */
async function textAt({ place, values }: DataRow, column: string, limits: RecordLimits): Promise<ScoredText> {
  const fail = (message: string): never => {
    throw new TrainError("bad-data", `${place}: ${message}`);
  };
  const given = Object.hasOwn(values, column) ? values[column] : fail(`the line has no ${column}`);
  if (Array.isArray(given)) {
    const tokens = wholeNumbers(given, 0) ?? fail(`${column} is a list, but not of tokens`);
    if (tokens.length === 0) fail(`${column} has no tokens`);
    expectFits(place, column, cutTo(tokens, limits), limits);
    const name = column === "tokens" ? "targets" : `${column}_targets`;
    const targets = Object.hasOwn(values, name) ? values[name] : null;
    if (targets === null) return scored(tokens, 1, limits);
    const own = (Array.isArray(targets) && wholeNumbers(targets, -1)) || fail(`${name} is not a list of tokens or −1`);
    if (own.length !== tokens.length) fail(`${name} has ${own.length} numbers, ${column} has ${tokens.length}`);
    expectFits(place, name, cutTo(own, limits), limits);
    return { tokens: cutTo(tokens, limits), targets: Int32Array.from(cutTo(own, limits)) };
  }
  if (typeof given !== "string") return fail(`${column} is ${kindOf(given)}, not a text`);
  const { prompt } = values;
  const behind = column === limits.field || prompt === undefined || prompt === null ? "" : prompt;
  if (typeof behind !== "string") return fail(`prompt is ${kindOf(behind)}, not a text`);
  if (column === "completion" && !Object.hasOwn(values, "prompt")) fail("the line has a completion, but no prompt");
  const { tokens, from } =
    behind === ""
      ? { tokens: await tokensAt(place, given, limits), from: 0 }
      : await continuedAt(place, behind, given, limits);
  const { end } = limits;
  const whole = end === null || tokens.at(-1) === end ? tokens : [...tokens, end];
  if (whole.length === 0) fail(`${column} is empty`);
  expectFits(place, column, cutTo(whole, limits), limits);
  return behind === ""
    ? scored(whole, 1, limits)
    : scoredText(place, column, { tokens: cutTo(whole, limits), from }, limits);
}

const cutTo = (tokens: readonly number[], { cut }: RecordLimits): readonly number[] =>
  cut === null ? tokens : tokens.slice(0, cut);

/** A text that is scored from a token on. */
function scored(whole: readonly number[], from: number, limits: RecordLimits): ScoredText {
  const tokens = cutTo(whole, limits);
  const targets = Int32Array.from(tokens, (_, i) => (i + 1 >= from && i + 1 < tokens.length ? tokens[i + 1]! : -1));
  return { tokens, targets };
}

/** The list if it has whole numbers of at least `least` alone. */
const wholeNumbers = (list: readonly unknown[], least: number): readonly number[] | null =>
  list.every((x): x is number => typeof x === "number" && Number.isInteger(x) && x >= least) ? list : null;
