// The routing heat map: a column for each token, a row for each layer; a cell is filled if the layer computed the
// token.
import type { Layer } from "../device/protocol.js";
import { h } from "../dom.js";
import { percent } from "./numbers.js";

/** For each route, with all tokens first: whether a token took it; null if unknown. */
export type Computed = readonly (boolean | null)[];

/** Width of a token. */
export const CELL = 14;
const ROW = 18;

export class HeatMap {
  readonly element: HTMLElement;
  readonly #canvas = h("canvas", { class: "heat", role: "img" });
  readonly #names = h("div", { class: "heat-names", "aria-hidden": true });
  readonly #shares = h("ul", { class: "hidden" });
  readonly #scroll = h(
    "div",
    { class: "heat-scroll", tabindex: 0, role: "region", "aria-label": "Routing heat map" },
    this.#canvas,
  );
  #layers: readonly Layer[] = [];
  readonly #columns: { readonly text: string; readonly computed: Computed | null }[] = [];

  constructor() {
    this.element = h("div", { class: "heat-map", hidden: true }, this.#names, this.#scroll, this.#shares);
    new ResizeObserver(() => this.#draw()).observe(this.#scroll);
    new MutationObserver(() => this.#draw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /** Clears the map. */
  start(layers: readonly Layer[]): void {
    this.#layers = layers;
    this.#columns.length = 0;
    this.element.hidden = layers.length === 0;
    this.#names.replaceChildren(
      h("span", {}, ""),
      ...layers.map(({ path, routed }) => h("span", { class: routed ? "routed" : null, title: path }, path)),
    );
    this.#draw();
  }

  /** Adds a token and the layers that computed it; null: a call of `fill` follows. */
  add(text: string, computed: Computed | null): void {
    this.#columns.push({ text, computed });
    this.#draw();
    this.#scroll.scrollLeft = this.#scroll.scrollWidth;
  }

  /** Sets the layers that computed the last token. */
  fill(computed: Computed): void {
    const last = this.#columns.pop();
    if (last) this.#columns.push({ text: last.text, computed });
    this.#draw();
  }

  /** For each layer, the share of tokens that it computed, among the tokens for which this is known. */
  shares(): readonly { readonly layer: Layer; readonly share: number; readonly tokens: number }[] {
    return this.#layers.map((layer) => {
      const known = this.#columns.flatMap(({ computed }) => computed?.[layer.axis] ?? []);
      return {
        layer,
        share: known.length === 0 ? 0 : known.filter(Boolean).length / known.length,
        tokens: known.length,
      };
    });
  }

  #draw(): void {
    const width = Math.max(1, this.#columns.length) * CELL;
    const height = (this.#layers.length + 1) * ROW;
    const scale = devicePixelRatio || 1;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    this.#canvas.style.width = `${width}px`;
    this.#canvas.style.height = `${height}px`;
    const context = this.#canvas.getContext("2d");
    if (!context) return;
    context.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const [text, full, routed, empty] = [colour("--text"), colour("--accent"), colour("--routed"), colour("--border")];
    context.font = `11px ${colour("--mono")}`;
    context.textAlign = "center";
    this.#columns.forEach(({ text: shown, computed }, column) => {
      const x = column * CELL;
      context.fillStyle = text;
      context.fillText(visible(shown), x + CELL / 2, ROW - 5);
      this.#layers.forEach((layer, row) => {
        const took = computed?.[layer.axis] ?? null;
        const y = (row + 1) * ROW;
        context.fillStyle = took === true ? (layer.routed ? routed : full) : empty;
        if (took === true) context.fillRect(x + 1, y + 1, CELL - 2, ROW - 3);
        else if (took === false) context.fillRect(x + CELL / 2 - 1.5, y + ROW / 2 - 2, 3, 3);
      });
    });
    this.#describe();
  }

  /** Updates the text alternative. */
  #describe(): void {
    const shares = this.shares().filter(({ layer }) => layer.routed);
    this.#canvas.setAttribute(
      "aria-label",
      `Which of ${this.#layers.length} layers computed each of ${this.#columns.length} tokens`,
    );
    this.#shares.replaceChildren(
      ...shares.map(({ layer, share, tokens }) =>
        h("li", {}, `${layer.path} computed ${percent(share)} of ${tokens} tokens`),
      ),
    );
  }
}

/** The text with one column for each character. */
export function visible(text: string): string {
  if (text === "\n") return "↵";
  if (text === " ") return "␣";
  return Array.from(text.trim())[0] ?? "·";
}
