// Infers the extents of a run's axes from the shapes of its inputs, and checks live parameters, lengths and other
// options.
import { inspect, percentHint } from "../../ground/base/shown.js";
import { lengthsByAxis } from "../../ground/size/lengths.js";
import { bug } from "../../ground/base/invariant.js";
import { PROMISES, type Program, type RunPromise, type SizeText } from "../program/program.js";
import { MAX_EXTENT } from "../../ground/size/counts.js";
import type { Axis } from "../../ground/size/axes.js";
import { evaluateSize } from "../../ground/size/size.js";
import {
  compare,
  ONE,
  parseDecimal,
  parseRational,
  rational,
  toNumber,
  multiply,
  negate,
  ZERO,
  type Rational,
} from "../../ground/numerics/rational.js";
import { BeyondBoundError, InputError } from "../device/errors.js";
import type { FlatInput } from "./inputs.js";
import { inputAxes } from "../steps/sizes.js";
import { rationalOf, sizeOfText } from "../../ground/size/parse-size.js";

/** A live parameter's value: a number, or text such as `12.5%`, `1/8`, `0.125`. */
export type LiveValue = number | string;

/**
 * Extents of all input axes. Throws InputError if shapes contradict each other, the program or a bound. `where` says in
 * messages what gives `given`.
 */
export function inferExtents(
  program: Pick<Program, "inputs">,
  axes: readonly Axis[],
  inputs: ReadonlyMap<string, Pick<FlatInput, "shape">>,
  given: Readonly<Record<string, number>> = {},
  where = "`extents`",
): ReadonlyMap<string, number> {
  const extents = new Map(checkMax(axes, given, "extents"));
  const givenBy = new Map([...extents.keys()].map((axis) => [axis, where]));
  const byName = new Map(inputAxes(axes).map((a) => [a.name, a]));
  for (const input of program.inputs) {
    const { shape } = inputs.get(input.name)!;
    if (shape.length !== input.shape.length) throw shapeError(input.name, shape, input.shape);
    input.shape.forEach((size, i) => {
      const axis = typeof size === "string" ? byName.get(size) : undefined;
      if (!axis) return;
      checkExtent(input.name, axis, shape[i]!);
      const known = extents.get(axis.name);
      if (known === undefined) {
        extents.set(axis.name, shape[i]!);
        givenBy.set(axis.name, input.name);
      } else if (known !== shape[i])
        throw new InputError(
          input.name,
          `${axis.name} is ${known} in ${givenBy.get(axis.name)!}, but ${shape[i]} in ${input.name}`,
          axis.role === "batch" ? "inputs have an entry for each sequence" : null,
        );
    });
  }
  for (const axis of byName.values())
    if (!extents.has(axis.name))
      throw new InputError(
        axis.name,
        `no input has the axis ${axis.name}, so its size is unknown`,
        `give it in \`extents: { ${axis.name}: … }\``,
      );
  for (const input of program.inputs) checkFixed(input.name, inputs.get(input.name)!.shape, input.shape, extents);
  return extents;
}

function checkExtent(input: string, axis: Axis, extent: number): void {
  if (extent < 1)
    throw new InputError(
      input,
      `${axis.name} is 0 in ${input}: it must be at least 1`,
      axis.role === "sequence" ? "for an empty sequence, set its entry in `lengths` to 0" : null,
    );
  if (axis.bound !== null && extent > axis.bound)
    throw new BeyondBoundError(input, `${axis.name} is ${extent} in ${input}: it must not exceed ${axis.bound}`, {
      axis: axis.name,
      extent,
      bound: axis.bound,
    });
}

/** Dimensions that are not an axis must have the program's extent. */
function checkFixed(
  input: string,
  shape: readonly number[],
  sizes: readonly SizeText[],
  extents: ReadonlyMap<string, number>,
): void {
  sizes.forEach((text, i) => {
    const size = sizeOfText(text);
    const expected =
      typeof size === "number"
        ? size
        : toNumber(
            evaluateSize(
              size,
              (atom) =>
                (atom.kind === "axis" ? extents.get(atom.axis) : undefined) ??
                bug(`the shape of an input depends on ${text}`),
            ),
          );
    if (shape[i] !== expected) throw shapeError(input, shape, sizes);
  });
}

const shapeError = (input: string, shape: readonly number[], expected: readonly SizeText[]): InputError =>
  new InputError(
    input,
    `input ${input} has shape [${shape.join(", ")}], the model takes [${expected.join(", ")}]`,
    shape.length === expected.length - 1 ? `put one sequence in a list: shape [${[1, ...shape].join(", ")}]` : null,
  );

/** The lengths of the sequences by axis; empty if none are given. Throws InputError for lengths that do not fit. */
export function checkLengths(
  value: unknown,
  axes: readonly Axis[],
  extents: ReadonlyMap<string, number>,
): ReadonlyMap<string, Uint32Array> {
  const lengths = lengthsByAxis(value, axes, extents);
  if ("code" in lengths) throw new InputError("lengths", lengths.message, lengths.hint, undefined, lengths.code);
  return lengths;
}

/** Values of all live parameters: the call's, else the session's, which start as the defaults. */
export function checkLive(
  program: Program,
  given: Readonly<Record<string, LiveValue>> | undefined,
  before: ReadonlyMap<string, Rational> | null,
): ReadonlyMap<string, Rational> {
  const values = new Map(before ?? program.live.map((l) => [l.name, rationalOf(l.default)]));
  if (given === undefined) return values;
  for (const name of Object.keys(given)) {
    const parameter = program.live.find((l) => l.name === name);
    if (!parameter)
      throw new InputError(
        name,
        `the model has no live parameter ${name}`,
        program.live.length > 0 ? `it has ${program.live.map((l) => l.name).join(", ")}` : null,
      );
    const value = parseLive(given[name]);
    if (!value || !Number.isFinite(Math.fround(toNumber(value))))
      throw new InputError(
        name,
        `live parameter ${name} is ${inspect(given[name])}: it must be a number such as 0.5, 12.5% or 1/8`,
      );
    if (parameter.kind === "ratio" && (compare(value, ZERO) < 0 || compare(value, ONE) > 0))
      throw new InputError(
        name,
        `live parameter ${name} is ${String(given[name])}: it must be between 0% and 100%`,
        percentHint(toNumber(value)),
      );
    values.set(name, value);
  }
  return values;
}

/** Parses a decimal exactly: 0.29 is 29/100, not the nearest double. */
function parseLive(value: unknown): Rational | null {
  if (typeof value === "number") return Number.isFinite(value) ? parseLive(String(value).replace("e+", "e")) : null;
  if (typeof value !== "string") return null;
  const text = value.trim();
  if (text.startsWith("-")) {
    const positive = parseLive(text.slice(1));
    return positive && negate(positive);
  }
  const percent = text.endsWith("%") ? parseDecimal(text.slice(0, -1)) : null;
  return percent ? multiply(percent, rational(1, 100)) : (parseDecimal(text) ?? parseRational(text));
}

/** A seed is a u32. */
export function checkSeed(seed: number): number {
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff)
    throw new InputError("seed", `seed is ${inspect(seed)}: it must be a whole number from 0 to 4294967295`);
  return seed;
}

/** Checks the number of runs that may be on the device at once. */
export function checkInFlight(count = 1): number {
  if (!Number.isSafeInteger(count) || count < 1 || count > 8)
    throw new InputError(null, `inFlight is ${inspect(count)}: it must be 1 to 8`);
  return count;
}

/** Checks that the promises of a run are known ones. */
export function checkPromises(given: readonly RunPromise[] = []): readonly RunPromise[] {
  if (!Array.isArray(given))
    throw new InputError(
      "promises",
      `promises is ${inspect(given)}: it must be a list`,
      `such as \`promises: ["${PROMISES[0]}"]\``,
    );
  for (const word of given)
    if (!PROMISES.includes(word))
      throw new InputError(
        "promises",
        `there is no promise ${inspect(word)}`,
        `the promises are ${PROMISES.join(", ")}`,
      );
  return given;
}

/** Extents by axis; throws InputError for a name that is not an axis, and for an extent beyond the axis's bound. */
export function checkMax(
  axes: readonly Axis[],
  max: Readonly<Record<string, number>> | undefined,
  what = "max",
): ReadonlyMap<string, number> {
  if (max !== undefined && (typeof max !== "object" || max === null))
    throw new InputError(
      null,
      `${what} is ${inspect(max)}: it must be an object with sizes by axis`,
      `give \`${what}: { ${inputAxes(axes)[0]?.name ?? "T"}: 8 }\``,
    );
  const extents = new Map(Object.entries(max ?? {}));
  const known = inputAxes(axes);
  for (const [name, extent] of extents) {
    const axis = known.find((a) => a.name === name);
    if (!axis)
      throw new InputError(
        null,
        `${what}: the model has no axis ${name}`,
        `it has ${known.map((a) => a.name).join(", ") || "none"}`,
      );
    if (!Number.isInteger(extent) || extent < 1 || extent > MAX_EXTENT)
      throw new InputError(
        null,
        `${what}: ${name} is ${inspect(extent)}: it must be a whole number from 1 to ${MAX_EXTENT}`,
      );
    if (axis.bound !== null && extent > axis.bound)
      throw new InputError(null, `${what}: ${name} is ${extent}: the model allows ${axis.bound}`);
  }
  return extents;
}
