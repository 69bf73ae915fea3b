// Tunings files: tunings measured on one device, with one driver, for one version of the kernels.
import { ModcError, type FaultOptions } from "../../../ground/base/errors.js";
import { kernelsDigest } from "../../../ground/embedded.js";
import { format, itself, object, Reader, version, type Read, type Refuse } from "../../../runtime/program/reader.js";
import { readTarget } from "../../../runtime/program/read-target.js";
import type { Target } from "../../../runtime/program/target.js";
import { families, misfitOf, type FamilyName, type Tunings } from "./index.js";

export const TUNINGS_FORMAT = "modc-tunings";
export const TUNINGS_VERSION = 1;

/** The device by its adapter (`GPUAdapterInfo`); the driver with its version, if known. */
export interface Adapter {
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly driver: string;
}

/** The file that `modc tune` writes, and that `compile` accepts as `tunings`. */
export interface TuningsFile {
  readonly format: typeof TUNINGS_FORMAT;
  readonly version: typeof TUNINGS_VERSION;
  /** Digest of the measured kernels' code: tunings are not valid for other code. Comments do not count. */
  readonly kernels: string;
  readonly adapter: Adapter;
  /** The target of the device. */
  readonly target: Target;
  readonly tunings: Tunings;
}

/**
 * Why tunings are refused. `invalid`: not a file of `modc tune`. `stale`: for other kernels. `foreign`: for another
 * device.
 */
export type TuningsFault = "invalid" | "stale" | "foreign";

export class TuningsError extends ModcError<"tunings"> {
  override readonly name = "TuningsError";

  constructor(
    readonly fault: TuningsFault,
    message: string,
    hint: string | null = null,
    options: FaultOptions = {},
  ) {
    super("tunings", message, { ...options, hint });
  }
}

/** A file for these kernels. */
export const tuningsFile = (adapter: Adapter, target: Target, tunings: Tunings): TuningsFile => ({
  format: TUNINGS_FORMAT,
  version: TUNINGS_VERSION,
  kernels: kernelsDigest,
  adapter: { name: adapter.name, vendor: adapter.vendor, architecture: adapter.architecture, driver: adapter.driver },
  target,
  tunings,
});

export const printTunings = (file: TuningsFile): string => `${JSON.stringify(file, null, 1)}\n`;

/** Limit of the file's size, more than all shapes of a model need. */
const MOST_CHARACTERS = 4 * 1024 * 1024;

const noTunings: Refuse = (what, options) =>
  new TuningsError("invalid", `not a file of tunings: ${what}`, "`modc tune` writes one", options);

/**
 * Reads the text of a file. Throws TuningsError for anything that `modc tune` would not have written, and for tunings
 * of other kernels.
 */
export const parseTunings = (text: string): TuningsFile => readFile(Reader.parse(text, noTunings, MOST_CHARACTERS));

/** Checks parsed data as `parseTunings` does. */
export const checkTunings = (data: unknown): TuningsFile => readFile(new Reader(data, noTunings));

function readFile(root: Reader): TuningsFile {
  const { kernels, ...at } = object({
    format: format(TUNINGS_FORMAT),
    version: version(TUNINGS_VERSION),
    kernels: readName,
    adapter: itself,
    target: itself,
    tunings: itself,
  })(root);
  if (kernels !== kernelsDigest)
    throw new TuningsError(
      "stale",
      "the tunings were measured with other kernels than this version of modc has",
      "run `modc tune` again",
    );
  const [target, tunings] = [readTarget(at.target), readTunings(at.tunings)];
  const misfit = misfitOf(tunings, target);
  if (misfit !== null) at.tunings.fail(`do not fit their own target: ${misfit}`);
  return { ...at, kernels, adapter: readAdapter(at.adapter), target, tunings };
}

const readName: Read<string> = (r) => r.string(1000);
const readAdapter = object({ name: readName, vendor: readName, architecture: readName, driver: readName });

function readTunings(r: Reader): Tunings {
  const names = Object.keys(families) as readonly FamilyName[]; // the keys of the total table
  r.fields(names);
  // a field for each family, read by it
  return Object.fromEntries(names.map((name) => [name, families[name].read(r.get(name))])) as unknown as Tunings;
}

/** Throws TuningsError where a target cannot run the tunings, for example for lack of subgroups. */
export function expectFit(tunings: Tunings, target: Target): void {
  const misfit = misfitOf(tunings, target);
  if (misfit !== null)
    throw new TuningsError(
      "foreign",
      `the tunings do not fit the target: ${misfit}`,
      "measure them on this kind of device with `modc tune`",
    );
}

/** Whether tunings were measured on this adapter, with this driver. */
export const isOf = (file: TuningsFile, adapter: Adapter): boolean =>
  (["name", "vendor", "architecture", "driver"] as const).every((field) => file.adapter[field] === adapter[field]);

/** Sixteen hexadecimal digits: FNV-1a (Fowler, Noll, Vo) of the tunings' JSON, 32 bits twice. Not cryptographic. */
export function tuningsDigest(tunings: Tunings): string {
  const text = JSON.stringify(ordered(tunings));
  return [0x811c9dc5, 0x050c5d1f].map((offset) => fnv1a(text, offset).toString(16).padStart(8, "0")).join("");
}

function fnv1a(text: string, offset: number): number {
  let hash = offset;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** The value with sorted object fields. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, v]) => [name, ordered(v)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
