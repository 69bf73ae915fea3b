// Describes a definition by declaration text, documentation, and the values seen in checks.
import { documentedOf, functionDocs, parameterText, type Documented } from "../check/documented.js";
import type { Span } from "../diagnostics/span.js";
import type { Definition } from "../names/definitions.js";
import type { Seen } from "./facts.js";
import type { Project } from "./project.js";

export interface Told {
  /** The declaration's text. */
  readonly signature: string;
  readonly doc: string | null;
  readonly parameters: Documented["parameters"];
}

export function told(project: Project, definition: Definition): Told {
  const text = project.textOf(definition.name.span.file) ?? "";
  const of = ({ start, end }: Span): string => oneLine(text.slice(start, end));
  const name = definition.name.text;
  const plain = (signature: string, doc: string | null = null): Told => ({ signature, doc, parameters: [] });
  switch (definition.kind) {
    case "block":
    case "const":
      return documentedOf(definition.node, text);
    case "parameter":
      return plain(parameterText(definition.node, text), definition.node.doc);
    case "sub-block":
      return plain(`${name}: ${of(definition.node.value.span)}`, definition.node.doc);
    case "weight":
      return plain(`${definition.node.kind} ${name}: ${of(definition.node.type.span)}`, definition.node.doc);
    case "function":
      return plain(headOf(text.slice(definition.node.span.start, definition.node.span.end)), definition.node.doc);
    case "input":
      return plain(`${name}: ${of(definition.node.type.span)}`);
    case "axis":
      return plain(`axis ${name}${definition.bound ? ` <= ${of(definition.bound.span)}` : ""}`);
    case "local":
      return plain(`${name} = ${of(definition.value.span)}`);
    case "each":
      return plain(`${name} in ${of(definition.list.span)}`);
    case "loss":
      return plain(`loss ${name}`);
    case "result":
      return plain(`${name}: ${of(definition.type.span)}`);
    default:
      return definition satisfies never;
  }
}

/** The values of a definition in checks, or of its name at one binding. */
export function seenOf(project: Project, definition: Definition, at: Span = definition.name.span): readonly Seen[] {
  const fn = definition.kind === "axis" ? definition.fn.name.span.start : null;
  for (const { facts, start } of project.factsAt(at.file, fn ?? at.start)) {
    const seen = fn === null ? facts.seen(at.file, start) : facts.axisOf(at.file, start, definition.name.text);
    if (seen.length > 0) return seen;
  }
  return [];
}

export const builtinDocs: ReadonlyMap<string, Documented> = new Map(functionDocs().map((d) => [d.name, d]));

/** The members of a route and of a choice. */
export const routeMembers: ReadonlyMap<string, Told> = new Map(
  [
    ["mask", "mask: bool[B, T]", "Whether each token was chosen."],
    ["index", "index: u32[B, K]", "The chosen tokens, in order of position."],
    ["count", "count: u32[B]", "How many were chosen."],
  ].map(([name, signature, doc]) => [name!, { signature: signature!, doc: doc!, parameters: [] }]),
);

/** The phases, which are compile-time booleans. */
export const phases: ReadonlyMap<string, Told> = new Map(
  [
    ["train", "Whether the program is compiled to train: the objective with its losses."],
    ["generate", "Whether the program is compiled by the causal rule: no token depends on later ones."],
  ].map(([name, doc]) => [name!, { signature: `${name!}: bool`, doc: doc!, parameters: [] }]),
);

export const oneLine = (text: string, longest = 120): string => {
  const line = text.trim().replaceAll(/\s+/g, " ");
  return line.length > longest ? `${line.slice(0, longest - 2)} …` : line;
};

/** The text of a function up to its body. */
const headOf = (text: string): string =>
  oneLine(text.slice(0, text.indexOf("{") === -1 ? undefined : text.indexOf("{")), 400);
