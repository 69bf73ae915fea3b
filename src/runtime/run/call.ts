// Reads one call of `run`: checks and copies its inputs and options before the device is involved.
import type { Program, RunPromise } from "../program/program.js";
import type { Axis, RunSizes } from "../../ground/size/axes.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { checkLengths, checkLive, checkPromises, checkSeed, inferExtents } from "./extents.js";
import { flattenAll, packInput, type Inputs } from "./inputs.js";
import type { Resolved } from "./resolver.js";
import type { Selection, Selections } from "./selections.js";
import type { RunOptions } from "./session-options.js";
import type { Words } from "../../ground/base/dtype.js";

/** One call of `run`, checked. */
export interface Call {
  readonly resolved: Resolved;
  readonly seed: number;
  readonly selection: Selection;
  readonly promises: readonly RunPromise[];
  /** The words of each input, in the order of the program's inputs. */
  readonly words: readonly Words[];
  readonly signal: AbortSignal | undefined;
}

/** The session's fields that a call is checked against: its program and its default options. */
interface Callee {
  readonly program: Program;
  readonly axes: readonly Axis[];
  readonly live: ReadonlyMap<string, Rational>;
  readonly seed: number;
  readonly selections: Selections;
  /** Resolves the sizes of a run. Throws if they do not fit. */
  resolve(run: RunSizes): Resolved;
}

/** Checks a call and copies its inputs. Throws InputError and LimitError. */
export function readCall(given: Inputs, options: RunOptions, callee: Callee): Call {
  const { program, axes } = callee;
  const inputs = flattenAll(program, given);
  const extents = inferExtents(program, axes, inputs, options.extents);
  const lengths = checkLengths(options.lengths, axes, extents);
  const resolved = callee.resolve({ extents, lengths, live: checkLive(program, options.live, callee.live) });
  return {
    resolved,
    seed: checkSeed(options.seed ?? callee.seed),
    selection: callee.selections.of(options),
    promises: checkPromises(options.promises),
    words: program.inputs.map((input) => packInput(input, inputs.get(input.name)!, resolved.sizes)),
    signal: options.signal,
  };
}
