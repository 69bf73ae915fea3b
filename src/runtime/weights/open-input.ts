// Opens what `load` is given as weights: a path, an address, a response or bytes. Packages leave it out.
import type { ProgramWeight } from "../program/program.js";
import { inNode } from "../device/device.js";
import { WeightsError } from "../device/errors.js";
import { isGguf } from "./gguf/magic.js";
import type { FetchOptions } from "./fetched.js";
import { isResponse, type WeightsInput } from "./input.js";
import { readSafetensors } from "./formats/safetensors.js";
import type { WeightSource } from "./formats/source.js";

/**
 * Opens a place, a response or bytes; null where the input is already open. Throws WeightsError for what is none of
 * the kinds.
 */
export async function openInput(
  input: Exclude<WeightsInput, (weight: ProgramWeight) => unknown>,
  options: FetchOptions,
): Promise<WeightSource | null> {
  const unchecked: unknown = input; // what a caller without types gives
  const fields = typeof unchecked === "object" && unchecked !== null ? unchecked : {};
  const known =
    typeof unchecked === "string" ||
    fields instanceof ArrayBuffer ||
    fields instanceof Uint8Array ||
    isResponse(fields) ||
    ("href" in fields && typeof fields.href === "string") ||
    ("tensors" in fields && "read" in fields && typeof fields.read === "function");
  if (!known)
    throw new WeightsError(
      `these are not weights: ${fields === unchecked ? Object.prototype.toString.call(unchecked) : String(unchecked)}`,
      {
        hint: "give a path or URL, a response of fetch, bytes, an opened source, or a function of each weight's values",
      },
    );
  if (input instanceof ArrayBuffer || input instanceof Uint8Array) {
    const gguf = isGguf(input instanceof Uint8Array ? input : new Uint8Array(input));
    return gguf ? (await import("./gguf/weights.js")).readGguf(input) : readSafetensors(input);
  }
  if (isResponse(input)) return (await import("./fetched.js")).openResponse(input, options);
  if (typeof input !== "string" && !("href" in input)) return null;
  const address = typeof input === "string" ? input : input.href;
  if (inNode() && (/^file:/i.test(address) || (typeof input === "string" && !/^https?:/i.test(address))))
    return (await import("./weights-node.js")).openWeights(address);
  return (await import("./fetched.js")).fetchWeights(address, options);
}
