// The source editor: CodeMirror with the language, diagnostics and assistance.
import { closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, indentOnInput, indentUnit } from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import type { Problem } from "../compiler/checked.js";
import { h } from "../dom.js";
import type { CompilerCalls } from "../worker/protocol.js";
import type { Remote } from "../worker/remote.js";
import { assist } from "./assist.js";
import { colours, modcLanguage } from "./language.js";
import { style } from "./style.js";

/**
 * A host element for an editor. In a shadow tree, CodeMirror uses style sheets instead of style elements, which the
 * page's content security policy refuses.
 */
export function shadowHost(className: string): { readonly element: HTMLElement; readonly root: ShadowRoot } {
  const element = h("div", { class: className });
  return { element, root: element.attachShadow({ mode: "open" }) };
}

export class Editor {
  readonly element: HTMLElement;
  readonly #view: EditorView;

  constructor(compiler: Remote<CompilerCalls>, text: string, onChange: () => void) {
    const { element, root } = shadowHost("editor");
    this.element = element;
    const extensions = [
      lineNumbers(),
      lintGutter(),
      history(),
      drawSelection(),
      indentUnit.of("  "),
      indentOnInput(),
      bracketMatching(),
      closeBrackets(),
      highlightActiveLine(),
      highlightSelectionMatches(),
      modcLanguage,
      colours,
      style,
      assist(compiler),
      // Tab moves the focus to the next element, as everywhere on a page.
      keymap.of([
        ...closeBracketsKeymap,
        ...defaultKeymap,
        ...searchKeymap,
        ...historyKeymap,
        ...completionKeymap,
        ...lintKeymap,
      ]),
      EditorView.contentAttributes.of({
        "aria-label": "Source of the model",
        tabindex: "0",
        spellcheck: "false",
        autocapitalize: "off",
      }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) onChange();
      }),
    ];
    this.#view = new EditorView({ state: EditorState.create({ doc: text, extensions }), root, parent: root });
  }

  get text(): string {
    return this.#view.state.doc.toString();
  }
  set text(text: string) {
    this.#view.dispatch({
      changes: { from: 0, to: this.#view.state.doc.length, insert: text },
      selection: { anchor: 0 },
      scrollIntoView: true,
    });
  }

  /** Underlines diagnostics. A diagnostic outside the source is shown at the source's beginning. */
  showProblems(problems: readonly Problem[]): void {
    const { length } = this.#view.state.doc;
    const diagnostics = problems.map(({ severity, code, message, more, at }): Diagnostic => ({
      from: Math.min(at?.from ?? 0, length),
      to: Math.min(at?.to ?? 0, length),
      severity: severity === "note" ? "info" : severity,
      message: [message, ...more].join("\n"),
      source: code,
    }));
    this.#view.dispatch(setDiagnostics(this.#view.state, diagnostics));
  }

  /** Selects a range and scrolls to it. */
  reveal({ from, to }: { readonly from: number; readonly to: number }): void {
    const { length } = this.#view.state.doc;
    this.#view.dispatch({
      selection: { anchor: Math.min(from, length), head: Math.min(to, length) },
      scrollIntoView: true,
    });
    this.#view.focus();
  }
}
