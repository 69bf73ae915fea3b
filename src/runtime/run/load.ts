// Loads a program as a session: checks it, allocates buffers, compiles kernels and reads weights; on failure everything
// is freed.
import { expectProgram } from "../program/expect.js";
import type { Program } from "../program/program.js";
import type { Device } from "../device/device.js";
import { InputError } from "../device/errors.js";
import { checkSeed } from "./extents.js";
import { checkRequirements } from "../device/requirements.js";
import { Session, type LoadOptions } from "./session.js";
import { expectWeights } from "./weights-expected.js";
import { locateWeights, type WeightsInput } from "../weights/weights.js";

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
