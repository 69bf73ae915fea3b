// Prints to standard output (results) and standard error (everything else), and shows progress.
import { escapeText } from "../../../ground/base/shown.js";
import { EXIT, type ExitCode } from "./exit.js";
import { io, type Output } from "./io.js";
import type { SessionEvent } from "../../../runtime/index.js";
import { plural } from "./units.js";

/**
 * Prints a line of results, with control characters escaped, as they may come from files; in JSON they are escaped by
 * JSON's rules.
 */
export const out = (text: string): void => outPainted(escapeText(text));

/** Prints a line with modc's own colour codes; the caller has escaped the rest. */
export const outPainted = (text: string): void => void io().stdout.write(`${text}\n`);

/** Prints generated text, unchanged if it goes to a file or a pipe. */
export const outRaw = (text: string): void => void io().stdout.write(io().stdout.isTTY ? escapeText(text) : text);

/** Prints a result as JSON: numbers that JSON lacks as the strings "NaN", "Infinity" and "-Infinity". */
export const outJson = (value: unknown): void => out(JSON.stringify(value, finite, 1));

/** The same on one line. */
export const outJsonLine = (value: unknown): void => out(JSON.stringify(value, finite));

const finite = (_key: string, v: unknown): unknown => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v);

/** Prints the result of a command, as JSON with --json, else as text. */
export function printReport(
  { json: asJson }: { readonly json?: boolean | undefined },
  { json, text }: { readonly json: unknown; readonly text: string },
): ExitCode {
  if (asJson) outJson(json);
  else out(text);
  return EXIT.fine;
}

/** Prints a message on standard error. */
export const say = (text: string): void => sayPainted(escapeText(text));

/** The same with modc's own colour codes; the caller has escaped the rest. */
export const sayPainted = (text: string): void => void io().stderr.write(`${text}\n`);

/** The same, less bright than the rest where there are colours. */
export const sayDim = (text: string): void => sayPainted(paint("2", escapeText(text)));

export const error = (message: string, hint: string | null): void =>
  sayPainted(
    `${paint("31;1", "error")}: ` +
      `${escapeText(message)}${hint === null ? "" : `\n  ${paint("36;1", "hint")}: ${escapeText(hint)}`}`,
  );

/** Whether a person reads along on a terminal that draws over what stands there; one that calls itself dumb does not. */
export const drawsOver = (stream: Output): boolean => Boolean(stream.isTTY) && io().env["TERM"] !== "dumb";

/**
 * Whether what goes to a stream, standard error unless said, may be coloured: where it is a terminal or FORCE_COLOR
 * asks for it, and NO_COLOR (https://no-color.org) is not set.
 */
export const useColor = (stream: Output = io().stderr): boolean =>
  !io().env["NO_COLOR"] && (drawsOver(stream) || forced(io().env["FORCE_COLOR"]));

/** As Node and others read it, "0" and "false" ask for none. */
const forced = (value: string | undefined): boolean => Boolean(value) && value !== "0" && value !== "false";

const paint = (style: string, text: string): string => (useColor() ? `\u001b[${style}m${text}\u001b[0m` : text);

/** The width for tables and strips. */
export const columns = (): number => Math.max(40, Math.min(io().stdout.columns ?? 100, 160));

const QUIET_MS = 1000;

/**
 * Shows progress on standard error once work takes longer than a second: an updated line in a terminal, else one line
 * for each stage, without repetitions.
 */
export class Progress {
  readonly #start = Date.now();
  #shown = "";
  #stage = "";
  readonly #said = new Set<string>();
  #ended = false;
  #paused = false;

  /** `stage`: the current work; `detail`: its progress; `begun`: the line printed outside a terminal. */
  report(stage: string, detail = "", begun = stage): void {
    if (this.#ended || this.#paused || Date.now() - this.#start < QUIET_MS) return;
    if (drawsOver(io().stderr)) {
      this.clear();
      this.#shown = escapeText(detail === "" ? stage : `${stage} ${detail}`);
      io().stderr.write(this.#shown);
    } else if (stage !== this.#stage && !this.#said.has(begun)) {
      say(`${begun} …`);
      this.#said.add(begun);
    }
    this.#stage = stage;
  }

  /** Clears and stops the progress line, as standard output follows in the same terminal. */
  end(): void {
    this.clear();
    this.#ended = true;
  }

  /** Clears the line, and shows none until `resume` where standard output is written to the same terminal. */
  pause(): void {
    this.clear();
    this.#paused = Boolean(io().stdout.isTTY && io().stderr.isTTY);
  }

  resume(): void {
    this.#paused = false;
  }

  clear(): void {
    if (this.#shown !== "") io().stderr.write("\r\u001b[K");
    this.#shown = "";
  }
}

/** The name of the weights stage: loading them, or initializing them if none were passed. */
export const weightsStage = (given: boolean): string => (given ? "loading weights" : "making starting weights");

/** A note on the texts of a model. */
export const LAST_LOOP =
  "note: with --loop-caches last each loop of a token sees the last loop of earlier tokens: the text approximates " +
  "the model's own";

/** Shows the progress of loading; growth of buffers is printed permanently. `given`: whether weights were passed. */
export function showLoading(event: SessionEvent, progress: Progress, { given }: { readonly given: boolean }): void {
  switch (event.kind) {
    case "grow":
      say(`note: ${event.message}`);
      break;
    case "kernels":
      progress.report(
        "compiling",
        `${plural(event.total, "kernel")}, ${event.done} done`,
        `compiling ${plural(event.total, "kernel")}`,
      );
      break;
    case "weights":
      progress.report(weightsStage(given), `${event.done}/${event.total}`);
      break;
    default:
      event satisfies never;
  }
}
