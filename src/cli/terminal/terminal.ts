// Standard output and error: results on the one, everything else on the other.
import { escapeText } from "../../size/shown.js";
import { io, type Output } from "./io.js";

/**
 * Prints a line of results. What came from files in it does not steer a terminal: it is escaped here, where it is
 * printed, as in whatever else is said; in JSON the escapes are JSON's own.
 */
export const out = (text: string): void => outPainted(escapeText(text));

/** A line whose colours are modc's own; everything else in it is escaped. */
export const outPainted = (text: string): void => void io().stdout.write(`${text}\n`);

/** Prints what a command makes, byte for byte where it goes to a file or a pipe. */
export const outRaw = (text: string): void => void io().stdout.write(io().stdout.isTTY ? escapeText(text) : text);

/** Prints a result as JSON: numbers that JSON lacks as the strings "NaN", "Infinity" and "-Infinity". */
export const outJson = (value: unknown): void => out(JSON.stringify(value, finite, 1));

/** The same on one line. */
export const outJsonLine = (value: unknown): void => out(JSON.stringify(value, finite));

const finite = (_key: string, v: unknown): unknown => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v);

/** Says something beside the results. */
export const say = (text: string): void => sayPainted(escapeText(text));

/** The same of a text whose colours are modc's own; everything else in it is escaped. */
export const sayPainted = (text: string): void => void io().stderr.write(`${text}\n`);

export const error = (message: string, hint: string | null): void =>
  sayPainted(
    `${paint("31;1", "error")}: ` +
      `${escapeText(message)}${hint === null ? "" : `\n  ${paint("36;1", "hint")}: ${escapeText(hint)}`}`,
  );

/** Whether standard error may be coloured: a terminal, and NO_COLOR (https://no-color.org) not set. */
export const useColor = (stream: Output = io().stderr): boolean =>
  !io().env["NO_COLOR"] && (Boolean(stream.isTTY) || Boolean(io().env["FORCE_COLOR"]));

const paint = (style: string, text: string): string => (useColor() ? `\u001b[${style}m${text}\u001b[0m` : text);

/** Columns a table or strip may take. */
export const columns = (): number => Math.max(40, Math.min(io().stdout.columns ?? 100, 160));

const QUIET_MS = 1000;

/**
 * Tells on standard error what is going on once it takes longer than a second: a line kept up to date in a terminal,
 * elsewhere one for each stage, and none twice.
 */
export class Progress {
  readonly #start = Date.now();
  #shown = "";
  #stage = "";
  readonly #said = new Set<string>();
  #ended = false;

  /**
   * `stage` is what is being done; `detail` how far it is; `begun` what is said of it where lines are not kept up to
   * date.
   */
  report(stage: string, detail = "", begun = stage): void {
    if (this.#ended || Date.now() - this.#start < QUIET_MS) return;
    if (io().stderr.isTTY) {
      this.clear();
      this.#shown = escapeText(detail === "" ? stage : `${stage} ${detail}`);
      io().stderr.write(this.#shown);
    } else if (stage !== this.#stage && !this.#said.has(begun)) {
      say(`${begun} …`);
      this.#said.add(begun);
    }
    this.#stage = stage;
  }

  /** Says no more: what follows is for standard output, which a terminal shows in the same lines. */
  end(): void {
    this.clear();
    this.#ended = true;
  }

  clear(): void {
    if (this.#shown !== "") io().stderr.write("\r\u001b[K");
    this.#shown = "";
  }
}
