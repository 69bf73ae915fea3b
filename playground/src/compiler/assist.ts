// Editor assistance: completions at a position of the source, and documentation of a name.
import { libraryFile, librarySources } from "../../../src/check/names/library.js";
import {
  documentedIn,
  functionDocs,
  libraryDocs,
  parameterText,
  type Documented,
} from "../../../src/check/documented.js";
import type { Block, File, Member } from "../../../src/syntax/ast.js";
import { parse } from "../../../src/syntax/parse.js";
import { DTYPES, RESERVED } from "../../../grammar/words.js";
import { FILE } from "./memo.js";

export interface Assist {
  readonly text: string;
  /** An offset into it. */
  readonly at: number;
}

export interface Completion {
  readonly label: string;
  readonly kind: "block" | "function" | "parameter" | "member" | "variable" | "constant" | "keyword" | "type";
  readonly detail: string;
  readonly doc: string;
  /** The text to insert in place of the label. */
  readonly apply?: string;
  /** An additional insertion that imports the name. */
  readonly imported?: { readonly at: number; readonly text: string };
}

/** Documentation of a name. */
export interface Help {
  readonly from: number;
  readonly to: number;
  readonly signature: string;
  readonly doc: string;
  readonly parameters: readonly { readonly name: string; readonly doc: string }[];
}

/** The members of a route. */
const ROUTE_MEMBERS: readonly Completion[] = [
  ["mask", "bool[B, T]", "whether each token was chosen"],
  ["index", "u32[B, K]", "the chosen tokens, in order of position"],
  ["count", "u32[B]", "how many were chosen"],
].map(([label, detail, doc]) => ({ label: label!, kind: "member", detail: detail!, doc: doc! }));

const library = new Map(libraryDocs().map((d) => [d.name, d]));
const functions = new Map(functionDocs().map((d) => [d.name, d]));

interface Read {
  readonly block: Block;
  readonly text: string;
}

const libraryBlocks: ReadonlyMap<string, Read> = new Map(
  [...librarySources.values()].flatMap(({ file, text }) =>
    (libraryFile(file)?.declarations ?? []).flatMap((d): [string, Read][] =>
      d.kind === "block" ? [[d.name.text, { block: d, text }]] : [],
    ),
  ),
);

/** For each declaration, the last source in which it parsed. */
const lastTrees = new Map<string, Read>();

function read(text: string): File {
  const { file } = parse({ file: FILE, text });
  for (const d of file.declarations) if (d.kind === "block") lastTrees.set(d.name.text, { block: d, text });
  return file;
}

/** The word before a position, and the text before the word. */
export function completionsAt({
  text,
  at,
}: Assist): { readonly from: number; readonly options: readonly Completion[] } | null {
  const line = text.slice(text.lastIndexOf("\n", at - 1) + 1, at);
  if (line.includes("//") || (line.match(/"/g)?.length ?? 0) % 2 === 1) return null; // a comment, a string
  const word = /[A-Za-z_]\w*$/.exec(line)?.[0] ?? "";
  const from = at - word.length;
  const before = text.slice(0, from);
  const file = read(text);
  if (/\bimport\s*\{[^}]*$/.test(before)) return { from, options: [...library.values()].map(documented) };
  const owner = /([A-Za-z_]\w*)\s*(?:\[[^\]\n]*\])?\s*\.$/.exec(before)?.[1];
  if (owner !== undefined) return { from, options: membersOf(owner, enclosing(before)) };
  if (before.endsWith(".")) return null;
  const scope = inScope(text, before, file);
  const called = calledAt(before);
  const parameters = called === null ? [] : parametersOf(called, file);
  const importable = [...library.values()]
    .filter((d) => !scope.has(d.name))
    .map((d): Completion => ({
      ...documented(d),
      detail: `${d.kind} of "std", imported with it`,
      imported: importOf(file, d.name),
    }));
  const words: readonly Completion[] = [
    ...RESERVED.map((label) => ({ label, kind: "keyword" as const, detail: "", doc: "" })),
    ...DTYPES.map((label) => ({ label, kind: "type" as const, detail: "", doc: "" })),
  ];
  const seen = new Set<string>();
  const all = [...parameters, ...scope.values(), ...[...functions.values()].map(documented), ...importable, ...words];
  return { from, options: all.filter((c) => !seen.has(c.label) && seen.add(c.label)) };
}

/** Documentation of the name at a position; null: unknown. */
export function helpAt({ text, at }: Assist): Help | null {
  const start = at - (/[A-Za-z_]\w*$/.exec(text.slice(0, at))?.[0].length ?? 0);
  const name = /^[A-Za-z_]\w*/.exec(text.slice(start))?.[0];
  if (name === undefined || text.slice(text.lastIndexOf("\n", start - 1) + 1, start).includes("//")) return null;
  const place = { from: start, to: start + name.length };
  const before = text.slice(0, start);
  const file = read(text);
  const owner = /([A-Za-z_]\w*)\s*(?:\[[^\]\n]*\])?\s*\.$/.exec(before)?.[1];
  if (owner !== undefined) {
    const found = membersOf(owner, enclosing(before)).find((m) => m.label === name);
    return found ? { ...place, signature: `${name}: ${found.detail}`, doc: found.doc, parameters: [] } : null;
  }
  const declared = documentedIn(file, text).find((d) => d.name === name);
  const known = declared ?? (importsOf(file).has(name) ? library.get(name) : undefined);
  if (known) return { ...place, ...helpOf(known) };
  const local = inScope(text, before, file).get(name);
  // A call is of the function, whatever local has its name.
  const isCall = /^\s*\(/.test(text.slice(place.to));
  if (local && !(isCall && local.kind === "variable"))
    return { ...place, signature: `${name}: ${local.detail}`, doc: local.doc, parameters: [] };
  const found = functions.get(name);
  return found ? { ...place, ...helpOf(found) } : null;
}

const helpOf = ({ signature, doc, parameters }: Documented): Omit<Help, "from" | "to"> => ({
  signature,
  doc: doc?.trim() ?? "",
  parameters: parameters.flatMap((p) =>
    p.doc === null ? [] : [{ name: p.name, doc: p.doc.trim().replaceAll(/\s*\n\s*/g, " ") }],
  ),
});

const documented = ({ name, kind, signature, doc }: Documented): Completion => ({
  label: name,
  kind: kind === "function" ? "function" : kind === "const" ? "constant" : "block",
  detail: signature.split("\n")[0]!,
  doc: doc?.trim() ?? "",
});

/** The insertion that adds a library name to the file's imports. */
function importOf(file: File, name: string): { readonly at: number; readonly text: string } {
  const last = file.imports.find((i) => i.from === "std")?.names.at(-1);
  return last ? { at: last.span.end, text: `, ${name}` } : { at: 0, text: `import { ${name} } from "std"\n` };
}

const importsOf = (file: File): ReadonlySet<string> => new Set(file.imports.flatMap((i) => i.names.map((n) => n.text)));

/** The declaration that contains a position, from the last source in which it parsed. */
function enclosing(before: string): Read | null {
  const name = [...before.matchAll(/^(?:block|model)\s+([A-Za-z_]\w*)/gm)].at(-1)?.[1];
  return (name !== undefined && lastTrees.get(name)) || null;
}

/** Names in scope at a position, inner scopes first. */
function inScope(text: string, before: string, file: File): ReadonlyMap<string, Completion> {
  const found = new Map<string, Completion>();
  const add = (c: Completion): void => void (found.has(c.label) || found.set(c.label, c));
  const here = enclosing(before);
  if (here) {
    const { block } = here;
    const body = bodyBefore(before);
    if (body !== null) {
      for (const m of [...body.matchAll(/^\s*([A-Za-z_]\w*)\s*=(?!=)\s*(.*)$/gm)].reverse())
        add({ label: m[1]!, kind: "variable", detail: `= ${m[2]!.trim().slice(0, 60)}`, doc: "" });
      for (const m of body.matchAll(/\bfor\s+([A-Za-z_]\w*)\s+in\s+([^{]*)/g))
        add({ label: m[1]!, kind: "variable", detail: `of ${m[2]!.trim()}`, doc: "" });
      const heading = /([A-Za-z_]\w*)\s*\($/.exec(
        before.slice(0, before.lastIndexOf(body)).replace(/\([^(]*$/, "("),
      )?.[1];
      for (const member of allMembers(block.members))
        if (member.kind === "function" && member.name.text === heading)
          for (const i of member.inputs)
            add({
              label: i.name.text,
              kind: "variable",
              detail: here.text.slice(i.type.span.start, i.type.span.end),
              doc: "",
            });
    }
    for (const c of membersOfBlock(block, here.text)) add(c);
    for (const p of block.params)
      add({ label: p.name.text, kind: "parameter", detail: parameterText(p, here.text), doc: p.doc?.trim() ?? "" });
  }
  for (const d of documentedIn(file, text)) add(documented(d));
  for (const name of importsOf(file)) {
    const d = library.get(name);
    if (d) add(documented(d));
  }
  return found;
}

/** The text of the function body before a position; null outside functions. */
function bodyBefore(before: string): string | null {
  let depth = 0;
  const start = before.search(/(?:^|\n)(?:block|model)\s[^\n]*(?![\s\S]*\n(?:block|model)\s)/);
  for (let i = before.length - 1; i > start; i--) {
    if (before[i] === "}") depth++;
    else if (before[i] === "{" && depth-- === 0) {
      const head = before.slice(Math.max(0, i - 400), i);
      // A function's body follows its inputs and result; `for` and `if` open no scope of their own.
      if (
        /\)\s*(?:->[^{}]*)?$/.test(head) &&
        !/\b(?:for|if)\b[^\n{}]*$/.test(head) &&
        !/^(?:block|model)\b/m.test(head.slice(head.lastIndexOf("\n") + 1))
      )
        return before.slice(i + 1);
      depth = 0;
    }
  }
  return null;
}

const allMembers = (members: readonly Member[]): readonly Member[] =>
  members.flatMap((m) => (m.kind === "member-if" ? [...allMembers(m.then), ...allMembers(m.else)] : [m]));

function membersOfBlock(block: Block, text: string): readonly Completion[] {
  return allMembers(block.members).flatMap((m): Completion[] => {
    if (m.kind === "names" || m.kind === "member-if") return [];
    const doc = m.doc?.trim() ?? "";
    if (m.kind === "sub-block")
      return [
        { label: m.name.text, kind: "member", detail: oneLine(text.slice(m.value.span.start, m.value.span.end)), doc },
      ];
    if (m.kind === "weight" || m.kind === "state")
      return [{ label: m.name.text, kind: "member", detail: text.slice(m.type.span.start, m.type.span.end), doc }];
    return [
      {
        label: m.name.text,
        kind: "function",
        detail: oneLine(text.slice(m.span.start, m.span.end).split("{")[0]!),
        doc,
      },
    ];
  });
}

const oneLine = (text: string): string => text.trim().replaceAll(/\s+/g, " ").slice(0, 80);

/** Completions after `owner.`: members of its block, else those of a route. */
function membersOf(owner: string, here: Read | null): readonly Completion[] {
  const member = here && allMembers(here.block.members).find((m) => m.kind === "sub-block" && m.name.text === owner);
  if (member?.kind !== "sub-block") return ROUTE_MEMBERS;
  const made = [
    ...here!.text.slice(member.value.span.start, member.value.span.end).matchAll(/\b([A-Za-z_]\w*)\s*\(/g),
  ].map((m) => m[1]!);
  return made.flatMap((name) => {
    const own = lastTrees.get(name);
    if (own) return membersOfBlock(own.block, own.text);
    const found = libraryBlocks.get(name);
    return found ? membersOfBlock(found.block, found.text) : [];
  });
}

/** The block whose arguments contain a position; null: none. */
function calledAt(before: string): string | null {
  let depth = 0;
  for (let i = before.length - 1; i >= 0; i--) {
    const c = before[i]!;
    if (")]}".includes(c)) depth++;
    else if ("([{".includes(c) && depth-- === 0)
      return c === "(" ? (/([A-Za-z_]\w*)\s*$/.exec(before.slice(0, i))?.[1] ?? null) : null;
  }
  return null;
}

function parametersOf(name: string, file: File): readonly Completion[] {
  const own = file.declarations.find((d) => d.kind === "block" && d.name.text === name)
    ? lastTrees.get(name)
    : undefined;
  const found = own ?? libraryBlocks.get(name);
  return (found?.block.params ?? []).map((p) => ({
    label: `${p.name.text}:`,
    kind: "parameter",
    detail: parameterText(p, found!.text),
    doc: p.doc?.trim() ?? "",
    apply: `${p.name.text}: `,
  }));
}
