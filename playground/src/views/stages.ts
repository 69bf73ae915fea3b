// The graph as text after any pass, and the lines that the pass changed.
import { choice, field, h } from "../dom.js";
import { irLanguage, Reader } from "../editor/reader.js";
import type { Source } from "../source.js";
import type { View, ViewContext } from "./view.js";

export function stagesView({ compiler, say }: ViewContext): View {
  /** The selected stage; empty: the last. */
  let [shown, changesOnly] = ["", false];
  let last: Source | null = null;
  const reader = new Reader("Graph after the pass", irLanguage);
  const note = h("p", { class: "note" });
  const again = (): void => void (last && show(last));
  const select = choice([], "", (value) => ((shown = value), again()));
  const drawNames = (names: readonly string[]): void => {
    if (select.options.length === names.length) return;
    select.replaceChildren(
      ...names.map((value, i) =>
        h("option", { value, selected: value === shown }, i === 0 ? `${value} (before any pass)` : `after ${value}`),
      ),
    );
  };
  const only = h("input", { type: "checkbox", onchange: () => ((changesOnly = only.checked), again()) });
  const panel = h(
    "div",
    {},
    h(
      "div",
      { class: "bar" },
      field("Graph", select),
      h("label", { class: "field" }, only, h("span", {}, "changes only")),
    ),
    note,
    reader.element,
  );

  async function show(source: Source): Promise<void> {
    last = source;
    const stage = await compiler.call("stage", { ...source, stage: shown });
    if (!stage || last !== source) return;
    shown = stage.stage;
    drawNames(stage.stages);
    const count = (change: "added" | "removed"): number => stage.lines.filter((l) => l.change === change).length;
    const [added, removed] = [count("added"), count("removed")];
    const fired = stage.fired.map(({ rule, times }) => (times > 1 ? `${rule} × ${times}` : rule)).join(", ");
    const changed = !stage.compared
      ? "too much changed to compare"
      : removed + added === 0
        ? "it changes nothing here"
        : `${removed} lines removed, ${added} added`;
    const what = shown === stage.stages[0] ? "" : ` ${changed}${fired === "" ? "" : `: ${fired}`}.`;
    note.textContent = `${stage.doc}.${what}`;
    const lines = changesOnly ? stage.lines.filter((l) => l.change !== "same") : stage.lines;
    reader.show(
      lines.map(({ text, change }) => `${{ same: " ", added: "+", removed: "-" }[change]} ${text}`).join("\n"),
      lines.map(({ change }) => (change === "same" ? null : change)),
    );
    say(`Graph after ${shown}: ${changed}`);
  }
  return { id: "ir", label: "IR", panel, show };
}
