// Lengths of sequences, as a caller gives them: of the only sequence axis of the inputs, or by the names of axes.
import { inspect } from "../base/shown.js";
import { sequenceAxes, type Axis } from "./axes.js";

/** For each sequence its number of tokens. */
export type LengthList = readonly number[] | Uint32Array | Int32Array;
/** Lengths of the only sequence axis of the inputs, or of one or more axes by name. */
export type Lengths = LengthList | Readonly<Record<string, LengthList>>;

/** Why lengths do not fit the inputs. */
export interface LengthsFault {
  readonly code: "bad-input" | "ambiguous-lengths";
  readonly message: string;
  readonly hint: string | null;
}

const fault = (message: string, hint: string | null = null): LengthsFault => ({ code: "bad-input", message, hint });

/** The lengths by axis; empty if none are given. `extents`: the extents of the batch and of the sequence axes. */
export function lengthsByAxis(
  given: unknown,
  axes: readonly Axis[],
  extents: ReadonlyMap<string, number>,
): ReadonlyMap<string, Uint32Array> | LengthsFault {
  if (given === undefined || given === null) return new Map();
  const known = sequenceAxes(axes);
  const [only, ...others] = known;
  if (only === undefined) return fault("lengths are given, but the model has no sequence axis");
  const batch = axes.find((a) => a.role === "batch");
  const sequences = batch ? extents.get(batch.name)! : 1;
  const list = listOf(given);
  if (list !== null) {
    if (others.length > 0) return ambiguous(known);
    const lengths = checked(list, "lengths", sequences, extents.get(only)!);
    return "code" in lengths ? lengths : new Map([[only, lengths]]);
  }
  if (typeof given !== "object") return fault("lengths is not a list of whole numbers");
  const all = new Map<string, Uint32Array>();
  for (const [axis, value] of Object.entries(given)) {
    if (!known.includes(axis))
      return fault(`lengths: the inputs have no sequences along ${axis}`, `they have ${known.join(" and ")}`);
    const own = listOf(value);
    if (own === null) return fault(`lengths of ${axis} is not a list of whole numbers`);
    const lengths = checked(own, `lengths of ${axis}`, sequences, extents.get(axis)!);
    if ("code" in lengths) return lengths;
    all.set(axis, lengths);
  }
  return all;
}

/** The length of a sequence along an axis; undefined: all tokens. A plain list is of the only axis. */
export function lengthOn(lengths: Lengths | null, axis: string, sequence: number): number | undefined {
  if (lengths === null) return undefined;
  const list = isList(lengths) ? lengths : lengths[axis];
  return list?.[sequence];
}

const isList = (lengths: Lengths): lengths is LengthList => Array.isArray(lengths) || ArrayBuffer.isView(lengths);

/** Plain lengths of inputs with several sequence axes. */
const ambiguous = (axes: readonly string[]): LengthsFault => ({
  code: "ambiguous-lengths",
  message: `lengths name no axis, but the inputs have sequences along ${axes.join(" and ")}`,
  hint: `give them by axis: lengths: { ${axes.map((axis) => `${axis}: […]`).join(", ")} }, --lengths ${axes[0]!}=4,2`,
});

/** A list of values; null for any other value. */
function listOf(value: unknown): readonly unknown[] | null {
  if (Array.isArray(value)) return value;
  // a typed array has numbers by index
  return ArrayBuffer.isView(value) && !(value instanceof DataView) ? Array.from(value as Uint32Array) : null;
}

/** Whole numbers from 0 to the longest. */
function checked(
  list: readonly unknown[],
  name: string,
  sequences: number,
  longest: number,
): Uint32Array | LengthsFault {
  if (list.length !== sequences)
    return fault(`${name} needs an entry for each sequence, ${sequences} in all, not ${list.length}`);
  const lengths = new Uint32Array(sequences);
  for (const [b, n] of list.entries()) {
    if (typeof n !== "number" || !Number.isInteger(n) || n < 0 || n > longest)
      return fault(`${name}[${b}] is ${inspect(n)}: it must be a whole number from 0 to ${longest}`);
    lengths[b] = n;
  }
  return lengths;
}
