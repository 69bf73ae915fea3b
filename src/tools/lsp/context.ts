// What requests are answered from: the texts of the project, settings, and the place or text that a request is about.
import type { CostHints } from "./cost-hints.js";
import type { Project } from "../../language/editor/project.js";
import type { Text } from "../../language/editor/text.js";
import type { Settings } from "./settings.js";

/** What a request is answered from. */
export interface Context {
  readonly project: Project;
  readonly settings: Settings;
  /** What calls cost, of the text as it is or of one before it. */
  readonly costs: (file: string) => CostHints;
  /** Makes sure that the facts of a file are those of its text now. */
  readonly checked: (file: string) => void;
  /** Makes sure that everything is known of which block is given to which parameter, in all phases and models. */
  readonly reviewed: (file: string) => void;
}

/** A request that cannot be done, with the reason in a sentence; no fault of anyone. */
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

/** Requests by method; each takes the parameters that the protocol says for it. */
export type Requests = Readonly<Record<string, (context: Context, params: never) => unknown>>;
