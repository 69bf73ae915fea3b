// Opens the data of a run: a text, or records if the objective or the columns of the data ask for them.
import { createHash } from "node:crypto";
import type { RunOrigin } from "../../models/runs/manifest.js";
import type { DataOptions, DataSettings, RecordSettings, TrainingData } from "./data.js";
import { TrainError } from "./errors.js";
import { rowsOf } from "./rows-node.js";
import type { RunModel } from "./run-options.js";
import { findSources, type SourceFile } from "./sources-node.js";
import { openText } from "./text-data-node.js";

export interface OpenDataOptions extends DataOptions {
  /** Folder of the encoded data; created if it does not exist. */
  readonly cache: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** The settings that are given, completed from the run that is resumed or read; null: there is none. */
export function recordSettings(given: RecordSettings, begun: RunOrigin | null): RecordSettings {
  const { chatTemplate = null, labels = {}, learn = null, pack = false } = begun?.records ?? {};
  const all = {
    field: given.field ?? begun?.field ?? undefined,
    chatTemplate: given.chatTemplate ?? chatTemplate ?? undefined,
    labels: given.labels ?? (Object.keys(labels).length > 0 ? labels : undefined),
    learn: given.learn ?? learn ?? undefined,
    pack: given.pack ?? (pack ? true : undefined),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** Opens data for a model. Throws TrainError. */
export async function openData(
  options: OpenDataOptions,
  model: Pick<RunModel, "inputs" | "declared" | "ranges" | "vocabulary">,
  settings: DataSettings,
): Promise<TrainingData> {
  const files = await findSources(options.data);
  if (await areRecords(files, options, model)) {
    const { openRecords } = await import("./records-node.js");
    return openRecords(
      { ...options, files },
      { ...model.declared, vocabulary: model.vocabulary, ranges: model.ranges },
      settings,
    );
  }
  expectText(options.data, options);
  return openText(options, { inputs: model.inputs!, vocabulary: model.vocabulary }, settings);
}

/** Throws TrainError for settings of records, which have no effect on a text; `data` names it. */
export function expectText(data: string, given: RecordSettings): void {
  for (const name of ["chatTemplate", "labels", "learn", "pack"] as const)
    if (given[name] !== undefined)
      throw new TrainError("bad-option", `${name} has no effect: ${data} is a text`, {
        hint: "leave it out: only records have it",
      });
}

/** Columns of chats and of completions, which texts do not have. */
const FORMS = ["messages", "prompt", "completion"] as const;

/**
 * Whether rows are records rather than the documents of a text: the first has no text in the field, but the columns of
 * a record. Throws TrainError.
 */
export async function areRecords(
  files: readonly SourceFile[],
  { field, pack, signal }: Pick<OpenDataOptions, "field" | "pack" | "signal">,
  { inputs }: Pick<RunModel, "inputs">,
): Promise<boolean> {
  if (inputs === null || pack === true) return true;
  const { tokens } = inputs;
  for (const file of files) {
    const { kind } = file;
    if (kind === "text") continue;
    const name = field ?? "text";
    const columns = new Set([name, tokens, "targets"]);
    for await (const row of rowsOf({ ...file, kind }, { hash: createHash("sha256"), columns, signal })) {
      const has = (column: string): boolean => row.columns.includes(column);
      if (typeof row.values[name] === "string" && !has("targets")) return false;
      return has(tokens) || FORMS.some(has);
    }
  }
  return false;
}
