// Completion and documentation in the editor, from the compiler.
import {
  autocompletion,
  type Completion,
  type CompletionContext,
  type CompletionResult,
} from "@codemirror/autocomplete";
import type { Extension } from "@codemirror/state";
import { type EditorView, hoverTooltip } from "@codemirror/view";
import type { Help } from "../compiler/assist.js";
import { h } from "../dom.js";
import type { CompilerCalls } from "../worker/protocol.js";
import type { Remote } from "../worker/remote.js";

const KINDS = {
  block: "class",
  function: "function",
  parameter: "property",
  member: "property",
  variable: "variable",
  constant: "constant",
  keyword: "keyword",
  type: "type",
} as const;

export function assist(compiler: Remote<CompilerCalls>): Extension {
  const complete = async (context: CompletionContext): Promise<CompletionResult | null> => {
    const typed = context.matchBefore(/[A-Za-z_]\w*|\./);
    if (!context.explicit && typed === null) return null;
    const found = await compiler.call("complete", { text: context.state.doc.toString(), at: context.pos });
    if (found === null || context.aborted) return null;
    const options = found.options.map(({ label, kind, detail, doc, apply, imported }): Completion => ({
      label,
      type: KINDS[kind],
      detail: detail.length > 60 ? `${detail.slice(0, 58)} …` : detail,
      ...(apply === undefined ? {} : { apply }),
      ...(imported && {
        apply: (view: EditorView, _: Completion, from: number, to: number) => {
          const changes = [
            { from: imported.at, insert: imported.text },
            { from, to, insert: label },
          ];
          view.dispatch({
            changes,
            selection: { anchor: from + imported.text.length + label.length },
            userEvent: "input.complete",
          });
        },
      }),
      ...(doc === "" ? {} : { info: () => h("div", { class: "help" }, h("code", {}, detail), doc) }),
      boost: BOOST[kind],
    }));
    return { from: found.from, options, validFor: /^\w*$/ };
  };
  const hover = hoverTooltip(async (view, at) => {
    const help = await compiler.call("help", { text: view.state.doc.toString(), at });
    return help && { pos: help.from, end: help.to, above: true, create: () => ({ dom: helpBox(help) }) };
  });
  return [autocompletion({ override: [complete], icons: false }), hover];
}

/** Completions specific to the position rank before general ones. */
const BOOST = {
  parameter: 3,
  variable: 3,
  member: 2,
  block: 1,
  constant: 1,
  function: 0,
  type: -1,
  keyword: -2,
} as const;

const helpBox = ({ signature, doc, parameters }: Help): HTMLElement =>
  h(
    "div",
    { class: "help" },
    h("code", {}, signature),
    doc,
    ...parameters.map((p) => h("div", {}, h("b", {}, p.name), `  ${p.doc}`)),
  );
