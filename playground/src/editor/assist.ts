// Completion and documentation in the editor, from the language server in the compiler's worker.
import {
  autocompletion,
  type Completion,
  type CompletionContext,
  type CompletionResult,
} from "@codemirror/autocomplete";
import type { Extension, Text } from "@codemirror/state";
import { type EditorView, hoverTooltip } from "@codemirror/view";
import { h } from "../dom.js";
import type { CompilerCalls } from "../worker/protocol.js";
import type { Remote } from "../worker/remote.js";

/** The URI of the text. */
const uri = "playground:///model.mod";

interface Position {
  readonly line: number;
  readonly character: number;
}
interface Range {
  readonly start: Position;
  readonly end: Position;
}
interface Edit {
  readonly range: Range;
  readonly newText: string;
}

/** The used parts of the server's answers. */
interface Item {
  readonly label: string;
  readonly kind: number;
  readonly detail: string;
  readonly documentation?: { readonly value: string };
  readonly textEdit: Edit;
  readonly additionalTextEdits?: readonly Edit[];
}
interface Items {
  readonly items: readonly Item[];
}
interface Help {
  readonly contents: { readonly value: string };
  readonly range: Range;
}

/** Maps the protocol's kind of a completion to the editor's; specific kinds rank before general kinds. */
const KINDS: ReadonlyMap<number, { readonly type: string; readonly boost: number }> = new Map([
  [3, { type: "function", boost: 0 }],
  [5, { type: "property", boost: 2 }],
  [6, { type: "variable", boost: 3 }],
  [7, { type: "class", boost: 1 }],
  [10, { type: "property", boost: 3 }],
  [14, { type: "keyword", boost: -2 }],
  [21, { type: "constant", boost: 1 }],
  [25, { type: "type", boost: -1 }],
]);

export function assist(compiler: Remote<CompilerCalls>): Extension {
  let version = 0;
  /** The text that the server has. */
  let known: Text | null = null;
  const ask = async (method: string, doc: Text, at: number): Promise<unknown> => {
    const line = doc.lineAt(at);
    if (!known?.eq(doc)) {
      const text = doc.toString();
      const textDocument = { uri, languageId: "modc", version: ++version, text };
      const message =
        known === null
          ? { method: "textDocument/didOpen", params: { textDocument } }
          : { method: "textDocument/didChange", params: { textDocument, contentChanges: [{ text }] } };
      known = doc;
      void compiler.call("lsp", message);
    }
    const position = { line: line.number - 1, character: at - line.from };
    return compiler.call("lsp", { method, params: { textDocument: { uri }, position } });
  };
  const complete = async (context: CompletionContext): Promise<CompletionResult | null> => {
    const typed = context.matchBefore(/[A-Za-z_]\w*|\./);
    if (!context.explicit && typed === null) return null;
    const { doc } = context.state;
    // Marked boundary: the protocol defines the type of the answer.
    const found = (await ask("textDocument/completion", doc, context.pos)) as Items | null;
    const [first] = found?.items ?? [];
    if (!first || context.aborted) return null;
    const options = found!.items.map((item): Completion => {
      const { label, kind, detail, documentation, textEdit, additionalTextEdits = [] } = item;
      return {
        label,
        ...KINDS.get(kind),
        detail: detail.length > 60 ? `${detail.slice(0, 58)} …` : detail,
        apply: (view, _, from, to) => insert(view, textEdit.newText, additionalTextEdits, from, to),
        ...(documentation && {
          info: () => h("div", { class: "help" }, h("code", {}, detail), ...marked(documentation.value)),
        }),
      };
    });
    return { from: offsetOf(doc, first.textEdit.range.start), options, validFor: /^\w*$/ };
  };
  const hover = hoverTooltip(async ({ state: { doc } }, at) => {
    // Marked boundary, as above.
    const help = (await ask("textDocument/hover", doc, at)) as Help | null;
    if (!help) return null;
    const dom = h("div", { class: "help" }, ...marked(help.contents.value));
    const { start, end } = help.range;
    return { pos: offsetOf(doc, start), end: offsetOf(doc, end), above: true, create: () => ({ dom }) };
  });
  return [autocompletion({ override: [complete], icons: false }), hover];
}

const offsetOf = (doc: Text, { line, character }: Position): number =>
  Math.min(doc.length, doc.line(Math.min(doc.lines, line + 1)).from + character);

/** Replaces a word by its completion, and inserts the import that the completion needs. */
function insert(view: EditorView, text: string, more: readonly Edit[], from: number, to: number): void {
  const { doc } = view.state;
  const others = more.map(({ range, newText }) => ({
    from: offsetOf(doc, range.start),
    to: offsetOf(doc, range.end),
    insert: newText,
  }));
  const before = others.reduce((sum, e) => (e.from <= from ? sum + e.insert.length - (e.to - e.from) : sum), 0);
  view.dispatch({
    changes: [...others, { from, to, insert: text }],
    selection: { anchor: from + before + text.length },
    userEvent: "input.complete",
  });
}

/** Renders the parts of Markdown that the server writes: code blocks, lists, and inline code. */
function marked(text: string): readonly Node[] {
  return text.split(/\n\n(?!\n)/).map((part): Node => {
    const code = /^```\w*\n([\s\S]*)\n```$/.exec(part);
    if (code) return h("code", {}, code[1]!);
    if (part.startsWith("- "))
      return h("div", {}, ...part.split("\n").map((line) => h("div", {}, ...words(line.replace(/^- /, "")))));
    return h("div", {}, ...words(part));
  });
}

const words = (text: string): readonly (Node | string)[] =>
  text.split(/(`[^`\n]+`)/).map((part) => (/^`.+`$/.test(part) ? h("b", {}, part.slice(1, -1)) : part));
