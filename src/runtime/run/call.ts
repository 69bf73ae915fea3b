// Reads one call of `run`: checks and copies its inputs and options before the device is involved.
import type { Program, RunPromise, ProgramOutput } from "../program/program.js";
import type { Axis, RunSizes } from "../../ground/size/axes.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { checkLengths, checkLive, checkPromises, checkSeed, inferExtents } from "./extents.js";
import { flattenAll, packInput, type Inputs } from "./inputs.js";
import type { Resolved } from "./setting.js";
import type { RunOptions } from "./session-options.js";
import type { Words } from "../../ground/base/dtype.js";
import { copiesOf, neededSteps, placeOutputs, selectOutputs, type OutputSelection, type ReadPlace } from "./outputs.js";
import type { SizeTable } from "../steps/sizes.js";
import type { Copy } from "../steps/staging.js";

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

/** The offsets of selected outputs in the staging buffer at some sizes. */
interface Placed {
  readonly resolved: Resolved;
  readonly places: readonly ReadPlace[];
  readonly copies: readonly Copy[];
  readonly bytes: number;
}

class Selection {
  readonly #table: SizeTable;
  readonly outputs: readonly ProgramOutput[];
  /** For each step, whether the outputs need it. */
  readonly needed: Uint8Array;
  #placed: Placed | null = null;

  constructor(program: Program, table: SizeTable, options: OutputSelection) {
    this.#table = table;
    this.outputs = selectOutputs(program, options);
    this.needed = neededSteps(program, this.outputs);
  }

  at(resolved: Resolved): Placed {
    if (this.#placed?.resolved === resolved) return this.#placed;
    const { places, bytes } = placeOutputs(this.outputs, this.#table, resolved.values, resolved.sizes);
    return (this.#placed = { resolved, places, copies: copiesOf(places, resolved.sizes.batch), bytes });
  }
}

export class Selections {
  readonly #program: Program;
  readonly #table: SizeTable;
  readonly #known = new Map<string, Selection>();

  constructor(program: Program, table: SizeTable) {
    this.#program = program;
    this.#table = table;
  }

  /** The selection for these options. Throws InputError for a name that is not an output. */
  of(options: OutputSelection): Selection {
    const key = JSON.stringify([options.outputs, options.observe]);
    let known = this.#known.get(key);
    if (!known) this.#known.set(key, (known = new Selection(this.#program, this.#table, options)));
    return known;
  }
}
