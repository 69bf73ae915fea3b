// What generates for a package: a generator, which has one call at a time, or an engine, which has several.
import type { Generator, GeneratorOptions } from "../generate/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Device } from "../../runtime/device/device.js";
import type { WeightsInput } from "../../runtime/weights/input.js";

/** Generates for one call at a time, as `Generator` does, or for several. */
export type TextGenerator = Pick<Generator, "generation" | "generate" | "dispose">;

export interface BatchOptions extends Pick<
  GeneratorOptions,
  "live" | "weightsOf" | "signal" | "onProgress" | "recover"
> {
  readonly maxBatch: number;
}

/** The part of the runtime that packages for several callers include. */
export interface EnginePart {
  openBatch(
    generation: Generation,
    device: Device,
    weights: WeightsInput,
    options: BatchOptions,
  ): Promise<TextGenerator>;
}
