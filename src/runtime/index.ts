// The runtime: runs compiled programs on a WebGPU device, in Node or in a page, without the compiler.
/// <reference path="../ambient.ts" preserve="true" />
export { Device, openDevice } from "./device.js";
export type { DeviceInfo, DeviceKind, DeviceLimit, OpenDeviceOptions } from "./device-info.js";
export * from "./errors.js";
export { ModcError } from "../base/errors.js";
export type { LiveValue } from "./extents.js";
export { initialValues, initialWeights } from "./init.js";
export { memoryOf, type MemoryOptions, type MemoryUse } from "./memory.js";
export type { Inputs, InputValue, Nested, NumberArray } from "./inputs.js";
export type { DeviceClass, Target } from "../program/target.js";
export type { Program } from "../program/program.js";
export { parseProgram, printProgram, ProgramError } from "../program/serialize.js";
export type { OutputSelection, Result, Results } from "./outputs.js";
export type { Profile, ProfiledWork, ProfileOptions, RoutedRows, WorkCost } from "./profile/profile.js";
export { measureRoofline, type Roofline, timeAtBest } from "./profile/roofline.js";
export { chromeTrace, type TraceEvent } from "./profile/trace.js";
export { load } from "./load.js";
export { Session, type LoadOptions } from "./session.js";
export type { RunOptions, SessionEvent } from "./session-options.js";
export type { StateValue } from "./states.js";
export type { WeightsInput } from "./weights.js";
export type { FetchedFile } from "./weights/fetched.js";
export type { Words } from "../base/dtype.js";
export { converts, fileDtype, fromBytes, toBytes } from "./weights/convert.js";
export { matchWeights, readWeight, type Matched } from "./weights/match.js";
export { readSafetensors, writeSafetensors, type TensorToWrite } from "./weights/safetensors.js";
export type { TensorEntry, WeightSource } from "./weights/source.js";
