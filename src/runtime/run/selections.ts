// Selections of outputs, with the steps that they need and their offsets in the staging buffer, cached by selection and
// size.
import type { Program, ProgramOutput } from "../program/program.js";
import { copiesOf, neededSteps, type OutputSelection, placeOutputs, type ReadPlace, selectOutputs } from "./outputs.js";
import type { Resolved } from "./resolver.js";
import type { SizeTable } from "../steps/sizes.js";
import type { Copy } from "../steps/staging.js";

/** The offsets of selected outputs in the staging buffer at some sizes. */
export interface Placed {
  readonly resolved: Resolved;
  readonly places: readonly ReadPlace[];
  readonly copies: readonly Copy[];
  readonly bytes: number;
}

export class Selection {
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
