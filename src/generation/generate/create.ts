// Opens a generator for one caller: its options, its caches, and another device in place of a lost one.
import { type Device, InputError, openDevice } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import { openResponse } from "../../runtime/weights/fetched.js";
import { isResponse } from "../../runtime/weights/input.js";
import { checkOptions, expectOptions } from "../engine/check.js";
import { coreOf, openOn } from "../engine/layout.js";
import { limitsOf } from "../engine/options.js";
import { Recovery } from "../engine/recovery.js";
import { reporterOf } from "../engine/report.js";
import { Generator } from "./generator.js";
import type { GeneratorOptions, WeightsInput } from "../types.js";

/**
 * Loads a compiled generation and its weights onto a device. Its programs share weights and caches. Throws what `load`
 * throws, and InputError for an invalid option.
 */
export async function createGenerator(
  generation: Generation,
  device: Device,
  weights?: WeightsInput,
  options: GeneratorOptions = {},
): Promise<Generator> {
  if (typeof generation?.prompt !== "object")
    throw new InputError(
      "generation",
      "the first argument of createGenerator is no generation",
      "give the `generation` that compileGeneration returns, which is null if the source has errors",
    );
  expectOptions(options);
  const { ahead } = checkOptions(generation, options);
  const limits = limitsOf(generation, options);
  const { chunk } = limits;
  const { weightsOf, signal, recover: wanted, onRecovered, draft = "off", live } = options;
  const recover = wanted === undefined && !weightsOf ? async () => ({ device: await openDevice() }) : (wanted ?? null);
  // Keep the response: all programs read the weights, and so does a replacement device.
  const response = isResponse(weights) ? await openResponse(weights, { keep: true, signal }) : null;
  try {
    const { opened, reopen } = await openOn(generation, device, response ?? weights, { ...limits, ahead }, options);
    if (response && !recover) await response.close();
    const recovery = new Recovery({
      recover,
      open: reopen,
      mostInVain: 1, // after two losses without an answer between them a third device would be lost too
      onRecovered,
    });
    const drafted = draft === "off" ? null : { guessed: 0, right: 0 };
    const report = reporterOf({
      drafted(guessed, right) {
        drafted!.guessed += guessed;
        drafted!.right += right;
      },
    });
    const pace = { ahead: () => ahead, chunk: () => chunk };
    const core = coreOf({ opened, pace, recovery }, { draft, report, ran() {} });
    return new Generator(core, { close: () => response?.close(), drafted, ...(live && { live }) });
  } catch (error) {
    await response?.close();
    throw error;
  }
}
