// The manifest of a checkpoint: written last, and read as untrusted input.
import { parseJson, type Json, type JsonObject } from "../../runtime/weights/formats/json.js";
import { SessionError } from "../../language/diagnostics/errors.js";

/** The manifest's file name in a checkpoint's folder. */
export const MANIFEST = "manifest.json";
export const MODEL = "model.safetensors";
export const STATE = "state.safetensors";
export const TUNINGS = "tunings.json";
const FORMAT = "modc-checkpoint";
const VERSION = 1;

/** The limit on the size of a manifest. */
export const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;

export type Setting = string | number | boolean | null;
export type Settings = Readonly<Record<string, Setting>>;

export interface ManifestFile {
  /** A file name in the checkpoint's folder, not a path. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** The data and the parameters with which the run was started, which are the defaults when it is resumed. */
export interface RunOrigin {
  /** A path from the root, or a package. */
  readonly data: string;
  readonly tokenizer: string | null;
  readonly field: string | null;
  /** Parameters that were set explicitly, as expressions. */
  readonly set: Readonly<Record<string, string>>;
  /** How rows become records; null in checkpoints written before this field existed. */
  readonly records: {
    readonly chatTemplate: string | null;
    readonly labels: Readonly<Record<string, readonly string[]>>;
    readonly learn: "answers" | "all" | null;
    readonly pack: boolean;
  } | null;
}

export interface Manifest {
  /** The number of completed steps. */
  readonly step: number;
  readonly model: string;
  readonly parameters: Readonly<Record<string, string>>;
  /**
   * The model's source files: the name of each in imports, and the file in this folder with its text; the root file
   * first.
   */
  readonly sources: readonly { readonly path: string; readonly file: string }[];
  /** Training settings: optimiser, schedules, sizes of a step, seeds. */
  readonly settings: Settings;
  /** Other facts on which the exact numbers depend: device, driver, tunings. */
  readonly machine: Readonly<Record<string, string>>;
  readonly data: { readonly digest: string; readonly position: { readonly epoch: number; readonly window: number } };
  /** Null in checkpoints written before this field existed. */
  readonly begun: RunOrigin | null;
  /**
   * Validation loss at this step, under the rule that selects the best checkpoint; null if it was not measured, or
   * predictors kept what they should skip.
   */
  readonly validation: number | null;
  /** Number of validations since the best that could have been better; 0 in checkpoints older than this field. */
  readonly unimproved: number;
  /** Bytes that training takes on the device; null in checkpoints older than this field. */
  readonly memory: number | null;
  /** Live parameters that training set: their values at this step, with which it was validated. */
  readonly live: Readonly<Record<string, number>>;
  /** Paths of weights that no step changes because the trained loss does not depend on them. */
  readonly unused: readonly string[];
  /** The other files in the folder. */
  readonly files: readonly ManifestFile[];
}

export const printManifest = (manifest: Manifest): string =>
  `${JSON.stringify({ format: FORMAT, version: VERSION, ...manifest }, null, 1)}\n`;

/**
 * Parses and validates a manifest. Throws SessionError if a field is missing or of the wrong type, or refers to a file
 * outside the folder. `place` is the checkpoint, for messages.
 */
export function parseManifest(text: string, place: string): Manifest {
  const fail = (what: string): never => {
    throw new SessionError(`${place}: ${MANIFEST} ${what}`);
  };
  let json: Json;
  try {
    json = parseJson(text);
  } catch (cause) {
    return fail(`is broken: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  const record = (value: Json | undefined, name: string): JsonObject =>
    value instanceof Map ? value : fail(`has no ${name}`);
  const list = (value: Json | undefined, name: string): readonly Json[] =>
    // `Array.isArray` drops readonly
    Array.isArray(value) ? (value as readonly Json[]) : fail(`has no list of ${name}`);
  const string = (value: Json | undefined, name: string): string =>
    typeof value === "string" ? value : fail(`has no ${name}`);
  const whole = (value: Json | undefined, name: string): number =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : fail(`has no ${name}`);
  const fileName = (value: Json | undefined): string => {
    const name = string(value, "name of a file");
    return /^[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)+$/.test(name) && name !== MANIFEST
      ? name
      : fail(`names ${JSON.stringify(name)}, which is not a file of a checkpoint`);
  };
  const orNull = (value: Json | undefined, name: string): string | null =>
    value === null ? null : string(value, name);
  const learnOf = (value: Json | undefined): "answers" | "all" | null =>
    value === null || value === "answers" || value === "all" ? value : fail("has no answers or all to learn");
  const recordsOf = (records: JsonObject): RunOrigin["records"] => ({
    chatTemplate: orNull(records.get("chatTemplate"), "name of a chat template"),
    labels: recordOf(record(records.get("labels"), "labels"), (value) =>
      Array.isArray(value) ? value.map((label) => string(label, "label")) : fail("has no list of labels"),
    ),
    learn: learnOf(records.get("learn")),
    pack: records.get("pack") === true,
  });
  const begunOf = (begun: JsonObject): RunOrigin => ({
    data: string(begun.get("data"), "name of a text"),
    tokenizer: orNull(begun.get("tokenizer"), "name of a tokenizer"),
    field: orNull(begun.get("field"), "name of a field"),
    set: recordOf(record(begun.get("set"), "parameters that were given"), (value) =>
      string(value, "value of a parameter"),
    ),
    records: (begun.get("records") ?? null) === null ? null : recordsOf(record(begun.get("records"), "records")),
  });
  const root = record(json, "object");
  if (root.get("format") !== FORMAT) fail(`is not one of modc's`);
  if (root.get("version") !== VERSION)
    fail(`has version ${JSON.stringify(root.get("version") ?? null)}, this modc reads ${VERSION}`);
  const data = record(root.get("data"), "data");
  const position = record(data.get("position"), "position in the data");
  const validation = root.get("validation");
  const files = list(root.get("files"), "files").map((entry) => {
    const file = record(entry, "description of a file");
    const sha256 = string(file.get("sha256"), "hash of a file");
    return {
      name: fileName(file.get("name")),
      bytes: whole(file.get("bytes"), "size of a file"),
      sha256: /^[0-9a-f]{64}$/.test(sha256) ? sha256 : fail("has an invalid hash"),
    };
  });
  const names = new Set(files.map((file) => file.name));
  if (names.size < files.length) fail("names a file twice");
  for (const needed of [MODEL, STATE]) if (!names.has(needed)) fail(`does not list ${needed}`);
  return {
    step: whole(root.get("step"), "step"),
    model: string(root.get("model"), "model"),
    parameters: recordOf(record(root.get("parameters"), "parameters"), (value) =>
      string(value, "value of a parameter"),
    ),
    sources: list(root.get("sources"), "sources").map((entry) => {
      const source = record(entry, "description of a source");
      const file = fileName(source.get("file"));
      return names.has(file)
        ? { path: string(source.get("path"), "name of a source"), file }
        : fail(`does not list ${file}`);
    }),
    settings: recordOf(record(root.get("settings"), "settings"), (value) =>
      value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean"
        ? value
        : fail("has a setting that is not a plain value"),
    ),
    machine: recordOf(record(root.get("machine"), "machine"), (value) => string(value, "name of a machine")),
    data: {
      digest: string(data.get("digest"), "digest of the data"),
      position: { epoch: whole(position.get("epoch"), "epoch"), window: whole(position.get("window"), "window") },
    },
    begun: (root.get("begun") ?? null) === null ? null : begunOf(record(root.get("begun"), "beginning")),
    validation: validation === null || typeof validation === "number" ? validation : fail("has no validation loss"),
    // Checkpoints written before these fields existed do not have them.
    unimproved: whole(root.get("unimproved") ?? 0, "number of validations since the best"),
    memory: (root.get("memory") ?? null) === null ? null : whole(root.get("memory"), "number of bytes on the device"),
    live: recordOf(record(root.get("live") ?? new Map(), "values of live parameters"), (value) =>
      typeof value === "number" && Number.isFinite(Math.fround(value))
        ? value
        : fail("has a live parameter that is not a number"),
    ),
    unused: list(root.get("unused"), "unused weights").map((path) => string(path, "path of a weight")),
    files,
  };
}

/** A record without a prototype, because keys are arbitrary. */
function recordOf<T>(from: JsonObject, value: (json: Json) => T): Readonly<Record<string, T>> {
  const record = Object.create(null) as Record<string, T>; // filled below
  for (const [name, json] of from) record[name] = value(json);
  return record;
}
