// The list of diagnostics below the editor, each with a link to its position.
import type { Checked } from "./compiler/checked.js";
import { h } from "./dom.js";
import { short } from "./views/numbers.js";

export class ProblemList {
  readonly element: HTMLElement;
  readonly #state = h("div", { class: "state", role: "status", "aria-live": "polite" });
  readonly #list = h("ul", { class: "problems", "aria-label": "Errors, warnings and notes" });
  readonly #reveal: (at: { readonly from: number; readonly to: number }) => void;

  constructor(reveal: (at: { readonly from: number; readonly to: number }) => void) {
    this.#reveal = reveal;
    this.element = h("div", {}, this.#list, this.#state);
  }

  show({ problems, model, weights }: Checked): void {
    const count = (severity: string): number => problems.filter((p) => p.severity === severity).length;
    const [errors, warnings] = [count("error"), count("warning")];
    this.#list.replaceChildren(
      ...problems.map(({ severity, code, message, more, explain, at }) =>
        h(
          "li",
          { class: severity },
          h(
            "button",
            { type: "button", disabled: at === null, onclick: () => at && this.#reveal(at) },
            h("b", {}, `${severity} `),
            `${at === null ? "in the parameters: " : ""}${message} `,
            h("small", {}, more.join(" · ")),
          ),
          h("details", {}, h("summary", {}, `What ${code} means`), h("pre", {}, explain)),
        ),
      ),
    );
    const found = [
      ...(errors > 0 ? [`${errors} error${errors === 1 ? "" : "s"}`] : []),
      ...(warnings > 0 ? [`${warnings} warning${warnings === 1 ? "" : "s"}`] : []),
    ];
    const size =
      weights === null ? "" : `${model?.name ?? "the model"} compiles: ${short(weights)} numbers in its weights`;
    this.#say([...found, ...(size === "" ? [] : [size])].join("; "), errors > 0 ? "bad" : warnings > 0 ? "warned" : "");
  }

  /** Shows an error of the playground itself, not of the source. */
  fail(message: string): void {
    this.#say(message, "bad");
  }

  #say(text: string, tone: string): void {
    this.#state.className = `state ${tone}`;
    // Setting the same text again would make screen readers repeat it.
    if (this.#state.textContent !== text) this.#state.textContent = text;
  }
}
