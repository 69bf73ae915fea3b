// Tabs by the ARIA Authoring Practices: one stop for the Tab key; arrows, Home and End move between tabs.
import { h } from "./dom.js";

export interface Tab {
  readonly id: string;
  readonly label: string;
  readonly panel: HTMLElement;
}

export class Tabs {
  readonly element: HTMLElement;
  #shown: string;
  readonly #buttons: ReadonlyMap<string, HTMLButtonElement>;
  readonly #tabs: readonly Tab[];
  readonly #onShow: (id: string) => void;

  constructor(label: string, tabs: readonly Tab[], onShow: (id: string) => void) {
    this.#tabs = tabs;
    this.#onShow = onShow;
    this.#shown = tabs[0]!.id;
    this.#buttons = new Map(
      tabs.map(({ id, label: text }) => [
        id,
        h(
          "button",
          {
            type: "button",
            role: "tab",
            id: `tab-${id}`,
            "aria-controls": `panel-${id}`,
            onclick: () => this.show(id),
          },
          text,
        ),
      ]),
    );
    const list = h(
      "div",
      { role: "tablist", "aria-label": label, class: "tabs", onkeydown: (event: KeyboardEvent) => this.#move(event) },
      ...this.#buttons.values(),
    );
    for (const { id, panel } of tabs) {
      panel.id = `panel-${id}`;
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", `tab-${id}`);
      panel.tabIndex = 0;
      panel.classList.add("panel");
    }
    this.element = h("div", { class: "tabbed" }, list, ...tabs.map((t) => t.panel));
    this.#mark();
  }

  get shown(): string {
    return this.#shown;
  }

  show(id: string): void {
    if (!this.#buttons.has(id)) return;
    this.#shown = id;
    this.#mark();
    this.#onShow(id);
  }

  #mark(): void {
    for (const { id, panel } of this.#tabs) {
      const shown = id === this.#shown;
      panel.hidden = !shown;
      const button = this.#buttons.get(id)!;
      button.setAttribute("aria-selected", String(shown));
      button.tabIndex = shown ? 0 : -1;
    }
  }

  #move(event: KeyboardEvent): void {
    const at = this.#tabs.findIndex((t) => t.id === this.#shown);
    const count = this.#tabs.length;
    const to = { ArrowRight: (at + 1) % count, ArrowLeft: (at + count - 1) % count, Home: 0, End: count - 1 }[
      event.key
    ];
    if (to === undefined) return;
    event.preventDefault();
    const { id } = this.#tabs[to]!;
    this.show(id);
    this.#buttons.get(id)!.focus();
  }
}
