// The runtime of a built package: it loads and runs a compiled model, without the compiler.
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
export { DeviceLostError, InputError, NoDeviceError, RuntimeError } from "../../runtime/device/errors.js";
