// Random values for inputs that the page does not give.
import type { ProgramInput } from "../../../src/runtime/program/program.js";
import { initialValues } from "../../../src/runtime/index.js";
import type { GivenValues } from "./protocol.js";

/** Tokens along axes that no given input has. */
const TOKENS = 16;
/** The limit of random whole numbers without one. */
const BELOW = 256;

/**
 * The values of inputs by name: those given, and for the others normally distributed or whole numbers by a seed.
 * `extents`: of axes that are known.
 */
export function filled(
  inputs: readonly ProgramInput[],
  given: Readonly<Record<string, GivenValues>>,
  extents: Readonly<Record<string, number>>,
  seed: number,
): Record<string, GivenValues> {
  const known = new Map(Object.entries(extents));
  for (const { name, shape } of inputs)
    shape.forEach((size, i) => {
      const extent = given[name]?.shape[i];
      if (typeof size === "string" && extent !== undefined) known.set(size, extent);
    });
  return Object.fromEntries(
    inputs.map(({ name, dtype, shape: sizes, below }) => {
      if (given[name]) return [name, given[name]];
      const shape = sizes.map((size) => (typeof size === "number" ? size : (known.get(size) ?? TOKENS)));
      const float = dtype === "f32" || dtype === "f16";
      const high = dtype === "bool" ? 2 : (below ?? BELOW);
      const init = float ? { kind: "normal" as const, std: 1 } : { kind: "uniform" as const, low: 0, high };
      const data = initialValues({ path: `input ${name}`, dtype, shape, init, keys: [], slots: [] }, seed);
      return [name, { shape, data: float ? Float32Array.from(data) : Uint32Array.from(data) }];
    }),
  );
}
