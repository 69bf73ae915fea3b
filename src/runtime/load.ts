// From a program to a session: checked, allocated, compiled and filled with weights, or nothing left behind.
import { expectProgram } from "../program/expect.js";
import type { Program } from "../program/program.js";
import type { Device } from "./device.js";
import { checkSeed } from "./extents.js";
import { checkRequirements } from "./requirements.js";
import { Session, type LoadOptions } from "./session.js";
import { locateWeights, type WeightsInput } from "./weights.js";

/**
 * Puts a program on a device: checks that it fits, makes all buffers, compiles all kernels, reads the weights. Throws
 * ProgramError for what is no program, UnsupportedError or LimitError before anything is allocated, WeightsError before
 * any weight is read where a checkpoint does not fit, OutOfMemoryError, KernelError, DeviceLostError.
 */
export async function load(
  program: Program,
  device: Device,
  weights?: WeightsInput,
  options: LoadOptions = {},
): Promise<Session> {
  expectProgram(program);
  if (device.lostError) throw device.lostError;
  options.signal?.throwIfAborted();
  checkRequirements(program, device);
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
