// Loads a program as a session: checks it, allocates buffers, compiles kernels and reads weights; on failure everything
// is freed.
import { expectProgram } from "../program/expect.js";
import type { Program } from "../program/program.js";
import type { Device } from "../device/device.js";
import { InputError, UnsupportedError } from "../device/errors.js";
import { checkSeed } from "./extents.js";
import { Session, type LoadOptions } from "./session.js";
import { expectWeights } from "./weights-expected.js";
import { locateWeights, type WeightsInput } from "../weights/weights.js";
import { PINS, printShape, sameShape, subgroupWidth, type Requirements, type Target } from "../program/target.js";

/**
 * Loads a program on a device: checks that it fits, creates all buffers, compiles all kernels, reads the weights.
 * Throws ProgramError for anything but a program, UnsupportedError or LimitError before anything is allocated,
 * WeightsError before any weight is read if a checkpoint does not fit, OutOfMemoryError, KernelError, DeviceLostError.
 *
 * If no weights are passed, `options.seed` initializes them; passing it shows that this is intended. Without both,
 * throws WeightsError, unless all weights start as ones or zeros, or another session has already loaded them.
 */
export async function load(
  program: Program,
  device: Device,
  weights?: WeightsInput,
  options: LoadOptions = {},
): Promise<Session> {
  expectProgram(program);
  if (typeof device?.info !== "object")
    throw new InputError(
      "device",
      "the device was not returned by `openDevice`",
      "to use your own GPUDevice, call openDevice({ device })",
    );
  if (device.lostError) throw device.lostError;
  options.signal?.throwIfAborted();
  checkRequirements(program, device);
  if (weights === undefined) expectWeights(program, options);
  const session = new Session(program, device, options);
  const values = await locateWeights(program, weights, checkSeed(options.seed ?? 0), options.signal);
  try {
    await session.prepare(values, options);
    return session;
  } catch (error) {
    session.dispose();
    throw device.lostError ?? error;
  } finally {
    await values.close();
  }
}

/** Throws UnsupportedError if the device lacks a feature that the program's kernels require. */
export function checkRequirements({ requires, target }: Program, { info, target: own }: Device): void {
  const missing: string[] = requires.features.filter((f) => !info.features.includes(f));
  if (requires.subgroupSize !== null && !hasWidth(own, requires, requires.subgroupSize))
    missing.push(`subgroups of ${requires.subgroupSize} (they have ${subgroupWidth(own) ?? "no fixed width"} there)`);
  const least = requires.leastSubgroup ?? 0;
  if (least > (own.subgroups?.[0] ?? 0)) missing.push(`subgroups of ${least} or more`);
  for (const shape of requires.matrices ?? [])
    if (!own.matrices?.some((other) => sameShape(shape, other))) missing.push(`matrix units of ${printShape(shape)}`);
  if (missing.length > 0)
    throw new UnsupportedError(
      `the program was compiled for ${target.device} and needs ${missing.join(" and ")}, which ${info.name} does ` +
        "not have",
      missing.includes("shader-f16")
        ? "compile it in f32"
        : "compile it for this device (`target: device.target` or `modc compile --device`), or for any device",
    );
}

/** Whether all subgroups have this width, or a kernel may request it. */
function hasWidth({ subgroups }: Target, { features }: Requirements, width: number): boolean {
  const [least, most] = subgroups ?? [0, 0];
  return features.includes(PINS) ? least <= width && width <= most : least === width && most === width;
}
