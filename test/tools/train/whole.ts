// What tests of checkpoints share: checks that a checkpoint is complete, and catches the expected fault.
import { expect } from "vitest";
import { readCheckpoint } from "../../../src/tools/train/checkpoint-node.js";
import { TrainError } from "../../../src/tools/train/errors.js";
import { contentsAt, MODEL, stateAt } from "./contents.js";

export async function fault(body: Promise<unknown>): Promise<TrainError> {
  const error = await body.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(TrainError);
  return error as TrainError; // as was expected
}

/** That a checkpoint holds what step `step` had, to the last bit. */
export async function expectWhole(path: string, step: number): Promise<void> {
  const { manifest, state, unused, sources, tunings } = await readCheckpoint(path, MODEL);
  const { settings, machine, data, begun, parameters, validation } = contentsAt(step);
  expect(manifest).toMatchObject({
    step,
    settings,
    machine,
    data,
    begun,
    parameters,
    validation,
    unused: ["never.read"],
  });
  const expected = stateAt(step);
  expect(new Set(state.keys())).toEqual(new Set(expected.keys()));
  for (const [name, { dtype, shape, data }] of expected) {
    const found = state.get(name)!;
    expect([found.dtype, found.shape], name).toEqual([dtype, shape]);
    expect(
      Buffer.from(found.data.buffer, found.data.byteOffset, found.data.byteLength).equals(Buffer.from(data.buffer)),
      `${name} is bit for bit what it was`,
    ).toBe(true);
  }
  expect(unused).toEqual(new Map([["never.read", Float32Array.of(1, 2, 3)]]));
  expect([sources, tunings]).toEqual([contentsAt(step).sources, contentsAt(step).tunings]);
}
