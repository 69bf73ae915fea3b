// The context for answering requests: the project, the settings, and the place or text that a request refers to.
import type { CostHints } from "./cost-hints.js";
import type { Project } from "../../language/editor/project.js";
import type { Text } from "../../language/editor/text.js";
import type { Settings } from "./settings.js";

/** The context for answering a request. */
export interface Context {
  readonly project: Project;
  readonly settings: Settings;
  /** Costs of calls in the current text, or in an earlier version. */
  readonly costs: (file: string) => CostHints;
  /** Ensures that the facts about a file belong to its current text. */
  readonly checked: (file: string) => void;
  /** Ensures that all phases and models are reviewed, so that the blocks passed to each parameter are known. */
  readonly reviewed: (file: string) => void;
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
  const text = project.placesOf(file);
  return text && { file, text, at: text.offsetAt(position) };
}

export const textOf = (
  project: Project,
  { textDocument }: { readonly textDocument: { readonly uri: string } },
): { readonly file: string; readonly text: Text | null } => {
  const file = project.fileOf(textDocument.uri);
  return { file, text: project.placesOf(file) };
};

/** Requests by method; each takes the parameters specified by the protocol. */
export type Requests = Readonly<Record<string, (context: Context, params: never) => unknown>>;
