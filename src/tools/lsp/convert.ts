// Converts the editor engine's answers to protocol types.
import type {
  CompletionItem,
  CompletionItemKind,
  Diagnostic as LspDiagnostic,
  DiagnosticSeverity,
  DocumentSymbol,
  FoldingRange,
  Hover as LspHover,
  InlayHint,
  Location,
  SignatureHelp,
  SymbolKind as LspSymbolKind,
  TextEdit,
} from "vscode-languageserver-types";
import type { Severity } from "../../language/diagnostics/codes/define.js";
import type { Diagnostic } from "../../language/diagnostics/diagnostic.js";
import type { Span } from "../../language/diagnostics/span.js";
import type { Completion, CompletionKind } from "../../language/editor/completion.js";
import type { Hint } from "../../language/editor/hints.js";
import type { Hover } from "../../language/editor/hover.js";
import type { Edit } from "../../language/editor/imports.js";
import type { Fold, Symbol, SymbolKind as OwnSymbolKind } from "../../language/editor/outline.js";
import type { Project } from "../../language/editor/project.js";
import type { Signature } from "../../language/editor/signature.js";
import { TOKEN_MODIFIERS, TOKEN_TYPES, type Token } from "../../language/editor/tokens.js";
import { type Text, differenceOf, movedBy } from "../../language/editor/text.js";
import { suggestedAs } from "../../language/diagnostics/diagnostic.js";

export const textEdit = (text: Text, { start, end, text: newText }: Edit): TextEdit => ({
  range: text.rangeOf({ start, end }),
  newText,
});

/** Null for a file that editors cannot open. */
export function location(project: Project, { file, start, end }: Span): Location | null {
  const uri = project.uriOf(file);
  const text = project.textWithOffsetsOf(file);
  return uri === null || text === null ? null : { uri, range: text.rangeOf({ start, end }) };
}

// --- diagnostics

const SEVERITIES: Readonly<Record<Severity, DiagnosticSeverity>> = {
  error: 1 /* Error */,
  warning: 2 /* Warning */,
  note: 3 /* Information */,
};

/** `text`: the text that was checked. */
export function diagnostic(project: Project, text: Text, d: Diagnostic): LspDiagnostic {
  const plain = d.notes.flatMap((n) => (n.span ? [] : [`note: ${n.text}`]));
  const related = d.notes.flatMap((n) => {
    const at = n.span && location(project, n.span);
    return at ? [{ location: at, message: n.text }] : [];
  });
  return {
    range: text.rangeOf(d.span),
    severity: SEVERITIES[d.severity],
    code: d.code,
    source: "modc",
    message: [d.message, ...(d.hint === null ? [] : [`hint: ${d.hint}`]), ...plain].join("\n"),
    ...(d.code === "unread-weight" ? { tags: [1 /* Unnecessary */] } : {}),
    ...(related.length === 0 ? {} : { relatedInformation: related }),
  };
}

// --- hovers and completion

const fence = (code: string): string => `\`\`\`modc\n${code}\n\`\`\``;

export function hover(text: Text, { span, parts }: Hover): LspHover {
  const value = parts
    .map(({ signature, value: shown, axes, doc, parameters }) =>
      [
        fence(signature),
        ...(shown === null ? [] : [`\`${shown}\``]),
        ...(axes.length === 0 ? [] : [axes.map((line) => `- ${line}`).join("\n")]),
        ...(doc === null || doc.trim() === "" ? [] : [doc.trim()]),
        ...parameters.flatMap((p) => (p.doc === null ? [] : [`- \`${p.name}\`: ${p.doc.replaceAll(/\s+/g, " ")}`])),
      ].join("\n\n"),
    )
    .join("\n\n---\n\n");
  return { contents: { kind: "markdown", value }, range: text.rangeOf(span) };
}

const COMPLETIONS: Readonly<Record<CompletionKind, CompletionItemKind>> = {
  block: 7 /* Class */,
  function: 3 /* Function */,
  parameter: 10 /* Property */,
  member: 5 /* Field */,
  variable: 6 /* Variable */,
  constant: 21 /* Constant */,
  keyword: 14 /* Keyword */,
  type: 25 /* TypeParameter */,
  file: 17 /* File */,
};

/** `order` is the index among all completions, which are sorted by relevance. */
export function completion(text: Text, from: number, at: number, c: Completion, order: number): CompletionItem {
  return {
    label: c.label,
    kind: COMPLETIONS[c.kind],
    detail: c.detail,
    ...(c.doc === "" ? {} : { documentation: { kind: "markdown", value: c.doc } }),
    sortText: String(order).padStart(5, "0"),
    filterText: c.label.replace(/:$/, ""),
    insertTextFormat: 1 /* plain text */,
    textEdit: { range: text.rangeOf({ start: from, end: at }), newText: c.apply ?? c.label },
    ...(c.imported ? { additionalTextEdits: [textEdit(text, c.imported)] } : {}),
  };
}

export function signatureHelp({ label, doc, parameters, active }: Signature): SignatureHelp {
  // The search starts after the function's name, because the name may contain a parameter's name.
  let from = label.indexOf("(") + 1;
  const ranges = parameters.map((p): [number, number] => {
    const start = wordsAt(label, p.label, from);
    if (start < 0) return [from, from];
    from = start + p.label.length;
    return [start, from];
  });
  return {
    signatures: [
      {
        label,
        ...(doc === null ? {} : { documentation: { kind: "markdown", value: doc } }),
        parameters: parameters.map((p, i) => ({
          label: ranges[i]!,
          ...(p.doc === null ? {} : { documentation: p.doc }),
        })),
      },
    ],
    activeSignature: 0,
    // With an index beyond the last parameter, no parameter is highlighted.
    activeParameter: active ?? parameters.length,
  };
}

/** The offset of a phrase in a text, starting at `from`, at word boundaries; -1 if absent. */
function wordsAt(text: string, words: string, from: number): number {
  for (let at = text.indexOf(words, from); at >= 0; at = text.indexOf(words, at + 1)) {
    const end = at + words.length;
    if (!isWithinWord(text, at) && !isWithinWord(text, end)) return at;
    if (at >= text.length) break;
  }
  return -1;
}

/** Whether an offset is inside a word. */
const isWithinWord = (text: string, at: number): boolean => /^\w\w$/.test(text.slice(Math.max(0, at - 1), at + 1));

// --- structure

const SYMBOLS: Readonly<Record<OwnSymbolKind, LspSymbolKind>> = {
  model: 2 /* Module */,
  block: 5 /* Class */,
  const: 14 /* Constant */,
  parameter: 7 /* Property */,
  "sub-block": 8 /* Field */,
  weight: 18 /* Array */,
  function: 6 /* Method */,
  loss: 24 /* Event */,
};

export const symbol = (text: Text, s: Symbol): DocumentSymbol => ({
  name: s.name,
  kind: SYMBOLS[s.kind],
  ...(s.detail === "" ? {} : { detail: s.detail }),
  range: text.rangeOf(s.span),
  selectionRange: text.rangeOf(s.nameSpan),
  children: s.children.map((c) => symbol(text, c)),
});

const FOLDS: Readonly<Record<Fold["kind"], string | null>> = {
  code: null,
  comment: "comment",
  imports: "imports",
};

/** A folded bracket range ends one line early, so that the closing bracket stays visible. */
export function fold(text: Text, { start, end, kind }: Fold): FoldingRange | null {
  const startLine = text.positionAt(start).line;
  const endLine = text.positionAt(end).line - (kind === "code" ? 1 : 0);
  const named = FOLDS[kind];
  return endLine <= startLine ? null : { startLine, endLine, ...(named === null ? {} : { kind: named }) };
}

/** Five numbers for each token, relative to the previous token. A token never spans several lines. */
export function semanticTokens(text: Text, tokens: readonly Token[]): readonly number[] {
  const data: number[] = [];
  let [line, character] = [0, 0];
  for (const { start, end, type, modifiers } of tokens) {
    const from = text.positionAt(start);
    const to = text.positionAt(end);
    if (to.line !== from.line) continue; // an erroneous comment over several lines
    const bits = modifiers.reduce((sum, m) => sum | (1 << TOKEN_MODIFIERS.indexOf(m)), 0);
    const column = from.line === line ? from.character - character : from.character;
    data.push(from.line - line, column, to.character - from.character, TOKEN_TYPES.indexOf(type), bits);
    ({ line, character } = from);
  }
  return data;
}

export const inlayHint = (text: Text, { at, label, more, kind }: Hint): InlayHint => ({
  position: text.positionAt(at),
  label,
  ...(kind === "shape" ? { kind: 1 /* Type */ } : { paddingLeft: true }),
  ...(more === "" ? {} : { tooltip: more }),
});

type Texts = ReadonlyMap<string, string>;

/** Diagnostics whose text has changed or disappeared are dropped. */
export function carried(diagnostics: readonly Diagnostic[], then: Texts, now: Texts): readonly Diagnostic[] {
  if (diagnostics.length === 0) return [];
  const moved = moverOf(then, now);
  return diagnostics.flatMap((d) => {
    const span = moved(d.span);
    if (span === null) return [];
    const notes = d.notes.map((note) => ({ ...note, span: note.span && moved(note.span) }));
    return [suggestedAs({ ...d, span, notes }, d)];
  });
}

function moverOf(then: Texts, now: Texts): (span: Span) => Span | null {
  const differences = new Map(
    [...now].flatMap(([file, text]) => {
      const before = then.get(file);
      return before === undefined ? [] : [[file, differenceOf(before, text)] as const];
    }),
  );
  return ({ file, start, end }) => {
    const difference = differences.get(file);
    if (!difference) return null;
    const [from, to] = [movedBy(difference, start), movedBy(difference, end)];
    return from === null || to === null || to - from !== end - start ? null : { file, start: from, end: to };
  };
}
