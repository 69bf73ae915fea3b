// The context for answering requests: the project, the settings, and the place or text that a request refers to.
import type { CostHints } from "./costs.js";
import type { Project } from "../../language/editor/project.js";
import type { Text } from "../../language/editor/text.js";

export interface Settings {
  readonly shapes: boolean;
  readonly costs: boolean;
  readonly causality: boolean;
  /** Sizes for which costs are computed; a length of null means the model's greatest length. */
  readonly batch: number;
  readonly length: number | null;
  /** Model parameters, as given by `--set`. */
  readonly set: Readonly<Record<string, string>>;
}

export const DEFAULTS: Settings = { shapes: true, costs: true, causality: true, batch: 1, length: null, set: {} };

/**
 * Reads untrusted settings: `{ inlayHints: { shapes, costs, causality }, batch, length, set }`, or the same under
 * `modc`. Missing or invalid settings keep their earlier values.
 */
export function settingsOf(sent: unknown, before: Settings): Settings {
  const all = fieldsOf(fieldsOf(sent)["modc"] ?? sent);
  const hints = fieldsOf(all["inlayHints"]);
  const flag = (value: unknown, usual: boolean): boolean => (typeof value === "boolean" ? value : usual);
  return {
    shapes: flag(hints["shapes"], before.shapes),
    costs: flag(hints["costs"], before.costs),
    causality: flag(hints["causality"], before.causality),
    batch: isCount(all["batch"]) ? all["batch"] : before.batch,
    length: all["length"] === null ? null : isCount(all["length"]) ? all["length"] : before.length,
    set: "set" in all ? texts(all["set"]) : before.set,
  };
}

/** Copies to an object without prototype, so that no key has a special meaning. */
function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  const fields: Record<string, unknown> = Object.assign(Object.create(null) as object);
  return typeof value === "object" && value !== null ? Object.assign(fields, value) : fields;
}

const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 1;

function texts(value: unknown): Readonly<Record<string, string>> {
  const byName: Record<string, string> = Object.assign(Object.create(null) as object);
  for (const [name, v] of Object.entries(fieldsOf(value)))
    if (typeof v === "string" || typeof v === "number" || typeof v === "boolean") byName[name] = String(v);
  return byName;
}

/** The context for answering a request. */
export interface Context {
  readonly project: Project;
  readonly settings: Settings;
  /** Costs of calls in the current text, or in an earlier version. */
  readonly costs: (file: string) => CostHints;
  /** Ensures that the facts about a file belong to its current text. */
  readonly ensureChecked: (file: string) => void;
  /** Ensures that all phases and models are reviewed, so that the blocks passed to each parameter are known. */
  readonly ensureReviewed: (file: string) => void;
}

/** A request that cannot be fulfilled, with the reason as a sentence. It is not an internal error. */
export class Refusal extends Error {}

interface AtPlace {
  readonly textDocument: { readonly uri: string };
  readonly position: { readonly line: number; readonly character: number };
}

export interface Place {
  readonly file: string;
  readonly text: Text;
  readonly at: number;
}

export function placeOf({ project }: Context, { textDocument, position }: AtPlace): Place | null {
  const file = project.fileOf(textDocument.uri);
  const text = project.textWithOffsetsOf(file);
  return text && { file, text, at: text.offsetAt(position) };
}

export const textOf = (
  project: Project,
  { textDocument }: { readonly textDocument: { readonly uri: string } },
): { readonly file: string; readonly text: Text | null } => {
  const file = project.fileOf(textDocument.uri);
  return { file, text: project.textWithOffsetsOf(file) };
};

/** Requests by method; each takes the parameters specified by the protocol. */
export type Requests = Readonly<Record<string, (context: Context, params: never) => unknown>>;
