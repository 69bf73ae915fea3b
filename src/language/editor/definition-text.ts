// Describes a definition by declaration text, documentation, and the values seen in checks.
import { documentedOf, functionDocs, parameterText, type Documented } from "../check/documented.js";
import type { Span } from "../diagnostics/span.js";
import type { Definition } from "../names/definitions.js";
import type { Seen } from "./facts.js";
import type { Project } from "./project.js";

export interface DefinitionText {
  /** The declaration's text. */
  readonly signature: string;
  readonly doc: string | null;
  readonly parameters: Documented["parameters"];
}

export function textOfDefinition(project: Project, definition: Definition): DefinitionText {
  const text = project.textOf(definition.name.span.file) ?? "";
  const of = ({ start, end }: Span): string => oneLine(text.slice(start, end));
  const name = definition.name.text;
  const plain = (signature: string, doc: string | null = null): DefinitionText => ({ signature, doc, parameters: [] });
  const shown: { readonly [K in Definition["kind"]]: (it: Extract<Definition, { kind: K }>) => DefinitionText } = {
    block: ({ node }) => documentedOf(node, text),
    const: ({ node }) => documentedOf(node, text),
    parameter: ({ node }) => plain(parameterText(node, text), node.doc),
    "sub-block": ({ node }) => plain(`${name}: ${of(node.value.span)}`, node.doc),
    weight: ({ node }) => plain(`${node.kind} ${name}: ${of(node.type.span)}`, node.doc),
    function: ({ node }) => plain(headOf(text.slice(node.span.start, node.span.end)), node.doc),
    input: ({ node }) => plain(`${name}: ${of(node.type.span)}`),
    axis: ({ bound }) => plain(`axis ${name}${bound ? ` <= ${of(bound.span)}` : ""}`),
    local: ({ value }) => plain(`${name} = ${of(value.span)}`),
    each: ({ list }) => plain(`${name} in ${of(list.span)}`),
    loss: () => plain(`loss ${name}`),
    result: ({ type }) => plain(`${name}: ${of(type.span)}`),
  };
  return (shown[definition.kind] as (it: Definition) => DefinitionText)(definition); // by its kind
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
export const routeMembers: ReadonlyMap<string, DefinitionText> = new Map(
  [
    ["mask", "mask: bool[B, T]", "Whether each token was chosen."],
    ["index", "index: u32[B, K]", "The chosen tokens, in order of position."],
    ["count", "count: u32[B]", "How many were chosen."],
  ].map(([name, signature, doc]) => [name!, { signature: signature!, doc: doc!, parameters: [] }]),
);

/** The phases, which are compile-time booleans. */
export const phases: ReadonlyMap<string, DefinitionText> = new Map(
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
