// Answers the protocol's requests from the current texts.
import type {
  CodeAction,
  CodeActionParams,
  DefinitionParams,
  DocumentFormattingParams,
  DocumentSymbol,
  DocumentSymbolParams,
  FoldingRange,
  FoldingRangeParams,
  HoverParams,
  InlayHint,
  InlayHintParams,
  Location,
  PrepareRenameParams,
  Range,
  ReferenceParams,
  RenameParams,
  SemanticTokens,
  SemanticTokensParams,
  TextEdit,
  WorkspaceEdit,
} from "vscode-languageserver";
import { mendsOf } from "../../language/editor/actions.js";
import { causalHints, shapeHints } from "../../language/editor/hints.js";
import { foldsOf, symbolsOf } from "../../language/editor/outline.js";
import type { Span } from "../../language/diagnostics/span.js";
import { pictureOf, type Picture } from "./picture.js";
import { definitionsAt, referencesAt, renamable, renamingAt } from "../../language/editor/references.js";
import { formatSource } from "../../language/syntax/format/format-source.js";
import type { Text } from "../../language/editor/text.js";
import { tokensOf } from "../../language/editor/tokens.js";
import { placeOf, Refusal, textOf, type Context, type Requests } from "./context.js";
import * as to from "./convert.js";
import { typingRequests } from "./typing.js";
import { programFor } from "../../compiler/compile.js";
import type { ProgramStep } from "../../runtime/program/program.js";
import { forwardGraph } from "../../compiler/forward.js";
import type { Project } from "../../language/editor/project.js";

/** By method. Null is a valid answer and means "no result". */
export const requests = {
  ...typingRequests,

  "textDocument/definition": (context: Context, params: DefinitionParams): Location[] => {
    const place = placeOf(context, params);
    if (!place) return [];
    context.ensureChecked(place.file);
    return locations(context, definitionsAt(context.project, place.file, place.at));
  },

  "textDocument/references": (context: Context, params: ReferenceParams): Location[] => {
    const place = placeOf(context, params);
    if (!place) return [];
    context.ensureReviewed(place.file);
    const declaration = params.context.includeDeclaration;
    return locations(context, referencesAt(context.project, place.file, place.at, { declaration }));
  },

  "textDocument/prepareRename": (context: Context, params: PrepareRenameParams): Range | null => {
    const place = placeOf(context, params);
    if (!place) return null;
    const can = renamable(context.project, place.file, place.at);
    if (can.refused !== undefined) throw new Refusal(can.refused);
    return place.text.rangeOf(can.span);
  },

  "textDocument/rename": (context: Context, params: RenameParams): WorkspaceEdit | null => {
    const place = placeOf(context, params);
    if (!place) return null;
    context.ensureReviewed(place.file);
    const renaming = renamingAt(context.project, place.file, place.at, params.newName);
    if (renaming.refused !== undefined) throw new Refusal(renaming.refused);
    const changes: Record<string, TextEdit[]> = Object.create(null) as Record<string, TextEdit[]>;
    for (const { uri, range } of locations(context, renaming.edits))
      (changes[uri] ??= []).push({ range, newText: params.newName });
    return { changes };
  },

  "textDocument/documentSymbol": ({ project }: Context, params: DocumentSymbolParams): DocumentSymbol[] => {
    const { file, text } = textOf(project, params);
    return text ? symbolsOf(project, file).map((s) => to.symbol(text, s)) : [];
  },

  "textDocument/foldingRange": ({ project }: Context, params: FoldingRangeParams): FoldingRange[] => {
    const { file, text } = textOf(project, params);
    return text ? foldsOf(project, file).flatMap((f) => to.fold(text, f) ?? []) : [];
  },

  "textDocument/semanticTokens/full": (context: Context, params: SemanticTokensParams): SemanticTokens => {
    const { file, text } = textOf(context.project, params);
    return { data: text ? [...to.semanticTokens(text, tokensOf(context.project, file))] : [] };
  },

  "textDocument/formatting": ({ project }: Context, params: DocumentFormattingParams): TextEdit[] | null => {
    const { file, text } = textOf(project, params);
    if (!text) return null;
    const formatted = formatSource(text.text, file).text;
    // A text with syntax errors is not formatted.
    if (formatted === null) throw new Refusal("a file with syntax errors is not formatted");
    return formatted === text.text ? [] : [leastEdit(text, formatted)];
  },

  "textDocument/codeAction": (context: Context, params: CodeActionParams): CodeAction[] => {
    const { project } = context;
    const { file, text } = textOf(project, params);
    if (!text || (params.context.only && !params.context.only.some((k) => "quickfix".startsWith(k)))) return [];
    const [from, end] = [text.offsetAt(params.range.start), text.offsetAt(params.range.end)];
    const known = project.rootsOf(file).flatMap((root) => project.reviewed(root)?.review?.diagnostics ?? []);
    const seen = new Set<string>();
    return known
      .filter(({ span }) => span.file === file && span.start <= end && from <= span.end)
      .flatMap((d) => mendsOf(project, file, d))
      .filter(({ title, edits }) => {
        const key = JSON.stringify([title, edits]);
        return !seen.has(key) && seen.add(key);
      })
      .map(({ title, diagnostic, edits, preferred }) => ({
        title,
        kind: "quickfix",
        diagnostics: [to.diagnostic(project, text, diagnostic)],
        ...(preferred ? { isPreferred: true } : {}),
        edit: { changes: { [params.textDocument.uri]: edits.map((e) => to.textEdit(text, e)) } },
      }));
  },

  "modc/kernels": ({ project }: Context, params: HoverParams): readonly Kernel[] => {
    const { file, text } = textOf(project, params);
    const { line } = params.position;
    return text ? kernelsOf(project, file, { line, ...text.line(line) }) : [];
  },

  "modc/picture": ({ project, settings }: Context, params: DocumentSymbolParams): Picture | null =>
    pictureOf(project, project.fileOf(params.textDocument.uri), settings),

  "textDocument/inlayHint": (context: Context, params: InlayHintParams): InlayHint[] => {
    const { project, settings } = context;
    const { file, text } = textOf(project, params);
    if (!text) return [];
    const [from, end] = [text.offsetAt(params.range.start), text.offsetAt(params.range.end)];
    context.ensureChecked(file);
    const shapes = settings.shapes ? shapeHints(project, file, from, end) : [];
    const causality = settings.causality ? causalHints(project, file, from, end) : [];
    const costs = settings.costs ? context.costs(file).in(file, from, end) : [];
    return [...shapes, ...causality, ...costs].map((h) => to.inlayHint(text, h));
  },
} satisfies Requests;

const locations = ({ project }: Context, spans: readonly Span[]): Location[] =>
  spans.flatMap((s) => to.location(project, s) ?? []);

/** A single edit from the first to the last differing line, so that the editor keeps its cursor position. */
function leastEdit(text: Text, after: string): TextEdit {
  const before = text.text.split("\n");
  const lines = after.split("\n");
  let start = 0;
  while (start < before.length - 1 && start < lines.length - 1 && before[start] === lines[start]) start++;
  let same = 0;
  while (
    same < before.length - start - 1 &&
    same < lines.length - start - 1 &&
    before[before.length - 1 - same] === lines[lines.length - 1 - same]
  )
    same++;
  const from = before.slice(0, start).join("\n").length + (start > 0 ? 1 : 0);
  // The lengths are computed from the start of the tail's first line: the preceding line ending may differ, e.g.
  // `\r\n`.
  const tail = before.slice(before.length - same).join("\n").length;
  const tailAfter = lines.slice(lines.length - same).join("\n").length;
  return {
    range: text.rangeOf({ start: from, end: text.text.length - tail }),
    newText: after.slice(from, after.length - tailAfter),
  };
}

interface Kernel {
  readonly name: string;
  readonly wgsl: string;
  /** The number of program steps that run the kernel for this line. */
  readonly steps: number;
}

/** In execution order; empty if the model has errors. The offsets delimit the line. */
function kernelsOf(
  project: Project,
  file: string,
  { line, start, end }: { readonly line: number; readonly start: number; readonly end: number },
): readonly Kernel[] {
  for (const root of project.rootsOf(file)) {
    const found = project.modelOf(root);
    if (!found) continue;
    const { model, sources } = found;
    const program = programFor({ graph: forwardGraph(model), model, sources });
    const called = found.calls
      .in(file)
      .filter(({ span }) => span.start < end && start < span.end)
      .flatMap(({ calls }) => calls.map(({ path }) => path));
    const paths = new Set(called);
    const isHere = (step: ProgramStep): boolean =>
      step.work !== null &&
      program.works[step.work]!.ops.some(({ origin }) => {
        const source = origin === null ? null : program.origins[origin]!;
        return source !== null && ((source.file === file && source.line === line + 1) || isBelow(source.path, paths));
      });
    const steps = new Map<number, number>();
    for (const step of program.steps)
      if (step.kind === "dispatch" && isHere(step)) steps.set(step.kernel, (steps.get(step.kernel) ?? 0) + 1);
    if (steps.size > 0)
      return [...steps].map(([k, n]) => ({ name: program.kernels[k]!.name, wgsl: program.kernels[k]!.wgsl, steps: n }));
  }
  return [];
}

/** Whether a path equals one of these paths or is a call within one. */
function isBelow(path: string, paths: ReadonlySet<string>): boolean {
  for (let end = path.length; end > 0; end = path.lastIndexOf(".", end - 1))
    if (paths.has(path.slice(0, end))) return true;
  return false;
}
