// The forms of weights that `load` accepts.
import type { Words } from "../../ground/base/dtype.js";
import type { ProgramWeight } from "../program/program.js";
import type { FetchedFile } from "./fetched.js";
import type { WeightSource } from "./formats/source.js";

/**
 * Weights for `load`: where a safetensors file is, what `fetch` gave of it, its bytes or those of a GGUF file, an
 * opened source, or a function that gives each weight's values. Without any, weights start from the seed that is given
 * instead.
 *
 * In a page a text is an address. In Node it is one if it begins with `http:`, `https:` or `file:`, else the path of a
 * safetensors or GGUF file, a folder or an index of shards. A download is safetensors: it is read as a stream, and its
 * header is checked against the model before its tensors are allocated. A response can be read only once.
 */
export type WeightsInput =
  | ArrayBuffer
  | Uint8Array
  | string
  | { readonly href: string }
  | FetchedFile
  | WeightSource
  | ((weight: ProgramWeight) => Words | Promise<Words>);

/**
 * Weights of several files: what lies under the path of a block is read from a file or folder of its own, by the
 * `names` of the model that stands there: `{ teacher: "Qwen3-8B", student: "routed" }`. An object with `href` is an
 * address, not a block of that name.
 */
export type BlockWeights = Readonly<Record<string, WeightsInput>>;

/** Whether weights are given by block. */
export function isByBlock(input: WeightsInput | BlockWeights): input is BlockWeights {
  if (typeof input !== "object" || input === null) return false;
  const prototype: unknown = Object.getPrototypeOf(input);
  const isPlain = prototype === null || prototype === Object.prototype;
  return isPlain && !["href", "tensors", "headers"].some((name) => Object.hasOwn(input, name));
}

/** Whether the input is a response of `fetch`. */
export const isResponse = (input: unknown): input is FetchedFile =>
  typeof input === "object" && input !== null && "headers" in input && "bodyUsed" in input && "status" in input;

/** Whether the weights are to be downloaded. */
export const isFarOff = (input: WeightsInput): boolean =>
  isResponse(input) || /^https?:/i.test(typeof input === "string" ? input : "href" in input ? input.href : "");
