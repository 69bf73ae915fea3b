// The symbol tree of a file, and its foldable ranges.
import { lex } from "../syntax/lex.js";
import { Diagnostics } from "../diagnostics/diagnostic.js";
import type { Span } from "../diagnostics/span.js";
import type { Block, Declaration, Fn, Member, Stmt } from "../syntax/ast.js";
import type { Project } from "./project.js";
import { oneLine } from "./definition-text.js";

export type SymbolKind = "model" | "block" | "const" | "parameter" | "sub-block" | "weight" | "function" | "loss";

export interface Symbol {
  readonly name: string;
  readonly kind: SymbolKind;
  readonly detail: string;
  readonly span: Span;
  readonly nameSpan: Span;
  readonly children: readonly Symbol[];
}

export function symbolsOf(project: Project, file: string): readonly Symbol[] {
  const text = project.textOf(file) ?? "";
  const of = ({ start, end }: Span): string => oneLine(text.slice(start, end), 80);
  const member = (m: Member): readonly Symbol[] => {
    switch (m.kind) {
      case "sub-block":
        return [{ ...placed(m), kind: "sub-block", detail: of(m.value.span), children: [] }];
      case "weight":
      case "state":
        return [{ ...placed(m), kind: "weight", detail: of(m.type.span), children: [] }];
      case "function":
        return [{ ...placed(m), kind: "function", detail: "", children: lossesOf(m) }];
      case "member-if":
        return [...m.then, ...m.else].flatMap(member);
      case "names":
        return [];
      default:
        return m satisfies never;
    }
  };
  const block = (d: Block): Symbol => ({
    ...placed(d),
    kind: d.model ? "model" : "block",
    detail: "",
    children: [
      ...d.params.map((p): Symbol => ({ ...placed(p), kind: "parameter", detail: of(p.typeSpan), children: [] })),
      ...d.members.flatMap(member),
    ],
  });
  const declaration = (d: Declaration): Symbol =>
    d.kind === "const" ? { ...placed(d), kind: "const", detail: of(d.value.span), children: [] } : block(d);
  return (project.parsed(file)?.file.declarations ?? []).map(declaration);
}

const placed = ({
  name,
  span,
}: {
  readonly name: { readonly text: string; readonly span: Span };
  readonly span: Span;
}): Pick<Symbol, "name" | "span" | "nameSpan"> => ({ name: name.text, span, nameSpan: name.span });

function lossesOf(fn: Fn): readonly Symbol[] {
  const inside = (body: readonly Stmt[]): readonly Symbol[] =>
    body.flatMap((s): readonly Symbol[] => {
      if (s.kind === "loss") return [{ ...placed(s), kind: "loss", detail: "", children: [] }];
      if (s.kind === "for") return inside(s.body);
      return s.kind === "if" ? [...inside(s.then), ...inside(s.else)] : [];
    });
  return inside(fn.body);
}

export interface Fold {
  readonly start: number;
  readonly end: number;
  readonly kind: "code" | "comment" | "imports";
}

/** Folds multi-line brackets, multi-line comments, and the imports. */
export function foldsOf(project: Project, file: string): readonly Fold[] {
  const text = project.textOf(file);
  const lexed = text === null ? null : lex({ file, text }, new Diagnostics());
  if (text === null || lexed === null) return [];
  const folds: Fold[] = [];
  const open: { readonly close: string; readonly at: number }[] = [];
  for (const { image, startOffset } of lexed.tokens) {
    const close = { "(": ")", "[": "]", "{": "}" }[image];
    if (close !== undefined) open.push({ close, at: startOffset });
    else if (image === ")" || image === "]" || image === "}") {
      while (open.length > 0 && open.at(-1)!.close !== image) open.pop();
      const begun = open.pop();
      if (begun) folds.push({ start: begun.at, end: startOffset, kind: "code" });
    }
  }
  for (let i = 0; i < lexed.comments.length;) {
    let last = i;
    const isNext = (a: number): boolean =>
      /^\s*\n[ \t]*$/.test(text.slice(lexed.comments[a]!.end, lexed.comments[a + 1]!.start)) && aloneAt(a + 1);
    const aloneAt = (a: number): boolean => {
      const { start } = lexed.comments[a]!;
      return text.slice(text.lastIndexOf("\n", start - 1) + 1, start).trim() === "";
    };
    while (aloneAt(i) && last + 1 < lexed.comments.length && isNext(last)) last++;
    if (last > i) folds.push({ start: lexed.comments[i]!.start, end: lexed.comments[last]!.end, kind: "comment" });
    i = last + 1;
  }
  const imports = project.parsed(file)?.file.imports ?? [];
  const [first, last] = [imports[0], imports.at(-1)];
  if (first && last && first !== last) folds.push({ start: first.span.start, end: last.span.end, kind: "imports" });
  return folds.filter(({ start, end }) => text.slice(start, end).includes("\n"));
}
