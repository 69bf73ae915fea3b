// What a built package carries: the runtime and the loading of its files, and no compiler.
export {
  createModel,
  type LoadedModel,
  type LoadModelOptions,
  type LoadProgress,
  type ModelGenerateOptions,
  type PackagedModel,
} from "./model.js";
export type { Message, Prompt } from "../generate/prompts.js";
export { PackageError, type PackageErrorCode } from "./errors.js";
export { DeviceLostError, InputError, NoDeviceError, RuntimeError } from "../runtime/errors.js";
