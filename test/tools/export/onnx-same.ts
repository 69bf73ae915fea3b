// Whether what a runtime of ONNX gives is what the reference says.
import { expect } from "vitest";
import type { Evaluation } from "../../../src/compiler/reference/evaluate.js";
import { furthest } from "../../end-to-end/model.js";

/** Of the largest value: one side computes in 32 bits. */
const TOLERANCE = 1e-4;

/** A result as the runtimes' scripts give it. */
export interface Ran {
  readonly shape: readonly number[];
  readonly data: readonly (number | string)[];
}

export function expectClose(actual: readonly (number | string)[], wanted: ArrayLike<number>, what: string): void {
  const expected = Array.from(wanted);
  const largest = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
  const { ratio, text } = furthest(actual.map(Number), expected, TOLERANCE * largest, 0);
  expect(ratio, `${what} ${text}`).toBeLessThan(1);
}

/** Results within the tolerance, choices exactly. */
export function expectSame(ran: Readonly<Record<string, Ran>>, { outputs }: Evaluation, what: string): void {
  for (const [name, { data, shape }] of Object.entries(ran)) {
    const wanted = outputs.get(name)!;
    expect(shape, `${what} ${name}`).toEqual(wanted.shape);
    if (wanted.dtype === "f32") expectClose(data, wanted.data, `${what} ${name}`);
    else expect(data.map(Number), `${what} ${name}`).toEqual(Array.from(wanted.data));
  }
}
