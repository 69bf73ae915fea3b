// The experts of each token: a column for each token, a row with the number of each expert that it takes in a mixture;
// and the load of each expert.
import { mixtureLoad } from "../../../src/tools/train/loads.js";
import type { Chosen, Mixture } from "../device/protocol.js";
import { h } from "../dom.js";
import { CELL, visible } from "./heat.js";
import { percent } from "./numbers.js";

const ROW = 15;

export class ExpertMap {
  readonly element: HTMLElement;
  readonly #canvas = h("canvas", { class: "heat", role: "img" });
  readonly #names = h("div", { class: "heat-names", "aria-hidden": true });
  readonly #scroll = h(
    "div",
    { class: "heat-scroll", tabindex: 0, role: "region", "aria-label": "Experts of each token" },
    this.#canvas,
  );
  readonly #loads = h("ul", { class: "loads", "aria-label": "Load of each expert" });
  readonly #columns: { readonly text: string; readonly chosen: Chosen | null }[] = [];
  #mixtures: readonly Mixture[] = [];

  constructor() {
    this.element = h("div", { hidden: true }, h("div", { class: "heat-map" }, this.#names, this.#scroll), this.#loads);
    new ResizeObserver(() => this.#draw()).observe(this.#scroll);
    new MutationObserver(() => this.#draw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /** Clears the map. */
  start(mixtures: readonly Mixture[]): void {
    this.#mixtures = mixtures;
    this.#columns.length = 0;
    this.element.hidden = mixtures.length === 0;
    this.#draw();
  }

  /** Adds a token and its experts; null: a call of `fill` follows. */
  add(text: string, chosen: Chosen | null): void {
    this.#columns.push({ text, chosen });
    this.#draw();
    this.#scroll.scrollLeft = this.#scroll.scrollWidth;
  }

  /** Sets the experts of the last token. */
  fill(chosen: Chosen): void {
    const last = this.#columns.pop();
    if (last) this.#columns.push({ text: last.text, chosen });
    this.#draw();
  }

  /** For each mixture, the most experts of any token, at least 1. */
  #rows(): readonly number[] {
    return this.#mixtures.map((_, m) =>
      this.#columns.reduce((most, { chosen }) => Math.max(most, chosen?.[m]?.length ?? 0), 1),
    );
  }

  #draw(): void {
    const rows = this.#rows();
    const width = Math.max(1, this.#columns.length) * CELL;
    const height = ROW + rows.reduce((sum, n) => sum + n * ROW + GAP, 0);
    const scale = devicePixelRatio || 1;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    this.#canvas.style.width = `${width}px`;
    this.#canvas.style.height = `${height}px`;
    this.#describe(rows);
    const context = this.#canvas.getContext("2d");
    if (!context) return;
    context.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    context.font = `10px ${style.getPropertyValue("--mono").trim()}`;
    context.textAlign = "center";
    this.#columns.forEach(({ text, chosen }, column) => {
      const x = column * CELL;
      context.fillStyle = style.getPropertyValue("--text").trim();
      context.fillText(visible(text), x + CELL / 2, ROW - 4);
      let y = ROW;
      this.#mixtures.forEach(({ experts }, m) => {
        (chosen?.[m] ?? []).forEach((expert, j) => {
          context.fillStyle = `hsl(${Math.round((360 * expert) / experts)} 70% 78%)`;
          context.fillRect(x + 0.5, y + j * ROW + 0.5, CELL - 1, ROW - 1);
          context.fillStyle = "#10151c";
          context.fillText(String(expert), x + CELL / 2, y + (j + 1) * ROW - 4, CELL);
        });
        y += rows[m]! * ROW + GAP;
      });
    });
  }

  /** Updates names, loads, and the text alternative. */
  #describe(rows: readonly number[]): void {
    const names = this.#mixtures.map(({ path }, m) => {
      const name = h("span", { title: path }, path);
      name.style.height = name.style.lineHeight = `${rows[m]! * ROW + GAP}px`;
      return name;
    });
    const head = h("span", {}, "");
    head.style.height = `${ROW}px`;
    this.#names.replaceChildren(head, ...names);
    this.#canvas.setAttribute("aria-label", `Experts of ${this.#columns.length} tokens in each mixture`);
    this.#loads.replaceChildren(...this.#mixtures.map((mixture, m) => this.#load(mixture, m)));
  }

  #load({ path, experts }: Mixture, m: number): HTMLElement {
    const chosen = Array.from({ length: experts }, () => 0);
    for (const column of this.#columns) for (const e of column.chosen?.[m] ?? []) chosen[e]!++;
    const { shares, largest, idle } = mixtureLoad(path, { chosen, wished: null });
    const cells = shares.map((share, e) => {
      const cell = h("i", { title: `expert ${e}: ${percent(share)}`, class: idle.includes(e) ? "idle" : null });
      cell.style.backgroundColor = `rgba(var(--heat), ${Math.min(0.9, (share * experts) / 2)})`;
      return cell;
    });
    const most = shares.indexOf(Math.max(...shares));
    const without = idle.length === 0 ? "" : `; nothing for ${idle.length} of ${experts}`;
    return h(
      "li",
      {},
      h("span", { class: "path" }, path),
      h("span", { class: "cells", "aria-hidden": true }, ...cells),
      h("span", {}, `expert ${most} has ${percent(shares[most]!)}, ${largest.toFixed(1)} times the mean${without}`),
    );
  }
}

/** Pixels between two mixtures. */
const GAP = 4;
