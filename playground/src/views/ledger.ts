// The cost of the model, layer by layer, next to the cost of the same model with nothing skipped.
import type { LedgerTable } from "../compiler/ledger.js";
import { field, h } from "../dom.js";
import type { Source } from "../source.js";
import { bytes, flop, percent, short } from "./numbers.js";
import type { View, ViewContext } from "./view.js";

export function ledgerView({ compiler }: ViewContext): View {
  let extents: Readonly<Record<string, number>> = {};
  let last: Source | null = null;
  const sizes = h("div", { class: "bar" });
  const note = h("p", { class: "note" });
  const place = h("div", { class: "scroll" });
  const panel = h("div", {}, sizes, note, place);

  async function show(source: Source): Promise<void> {
    last = source;
    const table = await compiler.call("ledger", { ...source, extents });
    if (!table || last !== source) return;
    drawSizes(table);
    const { total, tokens } = table;
    const share = total.executed.flops / total.dense.flops;
    note.textContent =
      `${flop(total.executed.flops / tokens)} a token, ${percent(share)} of dense ` +
      `(${flop(total.dense.flops / tokens)}); ` +
      `${short(total.parameters)} parameters; a cache of ${bytes(total.executed.cache)}, dense ` +
      `${bytes(total.dense.cache)}.`;
    place.replaceChildren(tableOf(table));
  }

  /** Draws a field for each open axis, and keeps the field being edited. */
  function drawSizes({ axes }: LedgerTable): void {
    const key = JSON.stringify(axes.map(({ name, bound }) => [name, bound]));
    if (sizes.dataset["key"] === key) return;
    sizes.dataset["key"] = key;
    const label = { batch: "sequences", sequence: "tokens", free: "extent" };
    sizes.replaceChildren(
      ...axes.map(({ name, role, extent, bound }) => {
        const input = h("input", { type: "number", min: 1, max: bound, value: extent, step: 1 });
        input.addEventListener("change", () => {
          extents = { ...extents, [name]: input.valueAsNumber };
          if (last) void show(last);
        });
        return field(`${name} (${label[role]})`, input);
      }),
    );
  }
  return { id: "ledger", label: "Ledger", panel, show };
}

function tableOf({ rows, total }: LedgerTable): HTMLTableElement {
  const head = ["", "operations", "of dense", "memory traffic", "of dense", "cache", "parameters"];
  const most = Math.max(1, ...rows.map((r) => r.executed.flops));
  const cells = (
    { executed, dense, parameters }: LedgerTable["total"],
    meter: boolean,
  ): readonly HTMLTableCellElement[] => {
    const bar = h("span", { class: "meter" });
    bar.style.width = `${(100 * executed.flops) / most}%`;
    return [
      h(
        "td",
        {},
        executed.flops === 0 ? "–" : short(executed.flops),
        meter ? h("span", { class: "track", "aria-hidden": true }, bar) : null,
      ),
      h("td", {}, ratio(executed.flops, dense.flops)),
      h("td", {}, executed.bytes === 0 ? "–" : bytes(executed.bytes)),
      h("td", {}, ratio(executed.bytes, dense.bytes)),
      h("td", {}, executed.cache === 0 ? "–" : bytes(executed.cache)),
      h("td", {}, parameters === 0 ? "–" : short(parameters)),
    ];
  };
  return h(
    "table",
    {},
    h(
      "caption",
      { class: "hidden" },
      "Operations, bytes, cache and parameters of each layer, and their share of the dense model's",
    ),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ...head.map((text) => h("th", { scope: "col" }, text === "" ? h("span", { class: "hidden" }, "layer") : text)),
      ),
    ),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.name), ...cells(row, true)))),
    h("tfoot", {}, h("tr", {}, h("th", { scope: "row" }, "total"), ...cells(total, false))),
  );
}

const ratio = (executed: number, dense: number): string => (dense === 0 ? "–" : (executed / dense).toFixed(3));
