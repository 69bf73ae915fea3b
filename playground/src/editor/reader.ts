// A read-only text view for the IR and kernels. Only visible lines are in the page, so the text may be long.
import { defaultKeymap } from "@codemirror/commands";
import { StreamLanguage } from "@codemirror/language";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension, RangeSetBuilder } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { shadowHost } from "./editor.js";
import { colours } from "./language.js";
import { style } from "./style.js";

export type LineMark = "added" | "removed";

const WGSL =
  /^(?:alias|array|atomic|bitcast|break|case|const|const_assert|continue|continuing|default|diagnostic|discard|else|enable|fn|for|if|let|loop|override|ptr|requires|return|struct|switch|var|while)$/;
const WGSL_TYPE = /^(?:bool|f16|f32|i32|u32|vec[234][fhiu]?|mat[234]x[234][fh]?)$/;

export const wgslLanguage = StreamLanguage.define({
  name: "wgsl",
  token(stream) {
    if (stream.eatSpace()) return null;
    if (stream.match("//")) return (stream.skipToEnd(), "comment");
    if (stream.match(/^@\w+/)) return "atom";
    if (stream.match(/^(?:0[xX][0-9a-fA-F]+[iu]?|\d[\d.eE]*[fhiu]?)/)) return "number";
    const word = stream.match(/^[A-Za-z_]\w*/) as RegExpMatchArray | null; // `match` with a pattern returns its match
    if (!word) return (stream.next(), "operator");
    if (WGSL.test(word[0])) return "keyword";
    return WGSL_TYPE.test(word[0]) ? "typeName" : stream.peek() === "(" ? "function" : "variableName";
  },
  tokenTable: { function: tags.function(tags.variableName) },
});

export const irLanguage = StreamLanguage.define({
  name: "modc-ir",
  token(stream) {
    if (stream.eatSpace()) return null;
    if (stream.match(/^\/\/.*/)) return "comment";
    if (stream.match(/^"(?:[^"\\]|\\.)*"/)) return "string";
    if (stream.match(/^%\d+/)) return "atom";
    if (stream.sol() && stream.match(/^(?:graph|axis|live|input|state|starts|result|loss|observe|update)\b/))
      return "keyword";
    if (stream.match(/^(?:f32|f16|u32|i32|bool)(?=\[)/)) return "typeName";
    if (stream.match(/^[A-Za-z_][\w-]*/)) return stream.match(/^(?= [{(]|\()/) === null ? "variableName" : "function";
    if (stream.match(/^\d[\d.]*/)) return "number";
    return (stream.next(), "operator");
  },
  tokenTable: { function: tags.function(tags.variableName) },
});

export class Reader {
  readonly element: HTMLElement;
  readonly #view: EditorView;
  readonly #extensions: readonly Extension[];

  constructor(label: string, language: Extension) {
    const { element, root } = shadowHost("code");
    this.element = element;
    this.#extensions = [
      lineNumbers(),
      language,
      colours,
      style,
      search({ top: true }),
      highlightSelectionMatches(),
      keymap.of([...searchKeymap, ...defaultKeymap]),
      EditorState.readOnly.of(true),
      EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
    ];
    this.#view = new EditorView({ root, parent: root });
  }

  show(text: string, marks: readonly (LineMark | null)[] = []): void {
    const state = EditorState.create({ doc: text });
    const builder = new RangeSetBuilder<Decoration>();
    marks.forEach((mark, i) => {
      if (mark !== null) builder.add(state.doc.line(i + 1).from, state.doc.line(i + 1).from, LINES[mark]);
    });
    const decorations: DecorationSet = builder.finish();
    this.#view.setState(
      EditorState.create({ doc: text, extensions: [...this.#extensions, EditorView.decorations.of(decorations)] }),
    );
  }

  get text(): string {
    return this.#view.state.doc.toString();
  }

  /** Shows a line, counted from 1. */
  scrollTo(line: number): void {
    const { from } = this.#view.state.doc.line(line);
    this.#view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
  }
}

const LINES: Readonly<Record<LineMark, Decoration>> = {
  added: Decoration.line({ class: "line-added", attributes: { "aria-label": "added" } }),
  removed: Decoration.line({ class: "line-removed", attributes: { "aria-label": "removed" } }),
};
