// Opens a generator for one caller: its options, its caches side by side, and another device in place of a lost one.
import { type Device, InputError, openDevice } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import { openResponse } from "../../runtime/weights/fetched.js";
import { isResponse } from "../../runtime/weights/input.js";
import { ContiguousCaches } from "../engine/caches/contiguous.js";
import { checkOptions, expectOptions } from "../engine/check.js";
import { Core, type Opened } from "../engine/core.js";
import { placeOn } from "../engine/place.js";
import { Recovery } from "../engine/recovery.js";
import { Generator } from "./generator.js";
import type { GeneratorOptions, WeightsInput } from "../types.js";

/**
 * Loads a compiled generation and its weights onto a device. Both programs share weights and caches. Throws what `load`
 * throws, and InputError for an unknown option.
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
  const limits = checkOptions(generation, options);
  const { weightsOf, onRecovered } = options;
  const recover =
    options.recover === undefined && !weightsOf
      ? async () => ({ device: await openDevice() })
      : (options.recover ?? null);
  // Keep the response: all programs read the weights, and so does a replacement device.
  const response = isResponse(weights) ? await openResponse(weights, { keep: true, signal: options.signal }) : null;
  const open = async (model: Generation, on: Device, own: GeneratorOptions): Promise<Opened> => {
    const caches = new ContiguousCaches(model);
    const place = await placeOn(model, on, response ?? weights, caches, { ...own, ...limits });
    return { generation: model, caches, place };
  };
  try {
    const opened = await open(generation, device, options);
    if (response && !recover) await response.close();
    const recovery = new Recovery({
      recover,
      open(model, on, signal) {
        const { weightsOf: _, signal: __, ...others } = options; // on the device that was lost
        return open(model, on, { ...others, ...(signal && { signal }) });
      },
      mostInVain: 1, // after two losses without an answer between them a third device would be lost too
      onRecovered,
    });
    const pace = { ahead: () => limits.ahead, chunk: () => limits.chunk };
    return new Generator(new Core({ opened, pace, recovery }), false, () => response?.close());
  } catch (error) {
    await response?.close();
    throw error;
  }
}
