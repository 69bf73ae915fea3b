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

/** Whether the input is a response of `fetch`. */
export const isResponse = (input: unknown): input is FetchedFile =>
  typeof input === "object" && input !== null && "headers" in input && "bodyUsed" in input && "status" in input;

/** Whether the weights are to be downloaded. */
export const isFarOff = (input: WeightsInput): boolean =>
  isResponse(input) || /^https?:/i.test(typeof input === "string" ? input : "href" in input ? input.href : "");
