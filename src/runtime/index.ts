// The runtime: runs compiled programs on a WebGPU device, in Node or in a page, without the compiler.
export { Device, openDevice, type DeviceInfo, type DeviceKind, type DeviceLimit, type OpenDeviceOptions } from "./device.js";
export * from "./errors.js";
export type { LiveValue } from "./extents.js";
export { initialValues, initialWeights } from "./init.js";
export type { InputValue, Nested, NumberArray } from "./inputs.js";
export type { DeviceClass, Target } from "../program/target.js";
export type { Program } from "../program/program.js";
export { parseProgram, printProgram, ProgramError } from "../program/serialize.js";
export type { OutputSelection, Result } from "./outputs.js";
export { load, type Inputs, type LoadOptions, type Results, type RunOptions, Session, type SessionEvent } from "./session.js";
export type { WeightsInput } from "./weights.js";
export { converts, fileDtype, fromBytes, toBytes, type Words } from "./weights/convert.js";
export { matchWeights, readWeight, type Matched } from "./weights/match.js";
export { readSafetensors, writeSafetensors, type TensorToWrite } from "./weights/safetensors.js";
export type { TensorEntry, WeightSource } from "./weights/source.js";
