// A form of the model's parameters, whose values override the source's defaults.
import type { Parameter } from "./compiler/checked.js";
import { h } from "./dom.js";

type Given = Readonly<Record<string, string>>;

export class ParameterForm {
  readonly element: HTMLDetailsElement;
  readonly #grid = h("div", { class: "grid" });
  readonly #small: HTMLButtonElement;
  readonly #reset: HTMLButtonElement;
  readonly #change: (set: Given) => void;
  #sizes: Given | null = null;
  #given: Given = {};
  #shown = "";

  constructor(change: (set: Given) => void) {
    this.#change = change;
    this.#small = h(
      "button",
      { type: "button", hidden: true, onclick: () => this.#take(this.#sizes ?? {}) },
      "Sizes that fit a page",
    );
    this.#reset = h("button", { type: "button", hidden: true, onclick: () => this.#take({}) }, "As written");
    this.element = h(
      "details",
      { class: "parameters" },
      h("summary", {}, "Parameters"),
      h("div", { class: "buttons" }, this.#small, " ", this.#reset),
      this.#grid,
    );
  }

  /** Smaller sizes for running a large example in a page. */
  set small(sizes: Given | null) {
    this.#sizes = sizes;
    this.#small.hidden = sizes === null;
    this.element.open = sizes !== null;
  }

  show(parameters: readonly Parameter[], given: Given): void {
    this.#given = given;
    this.#reset.hidden = Object.keys(given).length === 0;
    this.element.hidden = parameters.length === 0;
    const key = JSON.stringify([parameters, given]);
    if (
      key === this.#shown ||
      (this.#grid.contains(document.activeElement) && this.#shown !== "" && sameNames(key, this.#shown))
    )
      return;
    this.#shown = key;
    this.#grid.replaceChildren(
      ...parameters.map(({ name, usual, doc }) => {
        const value = Object.hasOwn(given, name) ? given[name]! : "";
        const input = h("input", {
          value,
          placeholder: usual,
          title: doc,
          class: value === "" ? "" : "given",
          spellcheck: "false",
          autocomplete: "off",
        });
        input.addEventListener("change", () => this.#set(name, input.value.trim()));
        return h("label", {}, name, input);
      }),
    );
  }

  #set(name: string, value: string): void {
    const { [name]: _, ...others } = this.#given;
    this.#take(value === "" ? others : { ...others, [name]: value });
  }

  #take(set: Given): void {
    this.#shown = "";
    this.#change(set);
  }
}

/** Whether two states of the form have the same fields, so that the focused field can be kept. */
function sameNames(a: string, b: string): boolean {
  const names = (text: string): string =>
    (JSON.parse(text) as readonly [readonly Parameter[], Given])[0].map((p) => p.name).join();
  return names(a) === names(b);
}
