// Draws a plan as SVG: for each variant the training operations per token and the memory per device, compared with the
// dense model.
import { formatBytes } from "../../runtime/device/errors.js";
import { withPrefix } from "../../ground/base/shown.js";
import { escape } from "../train/report/html.js";
import type { BudgetPlan, Operations, PlannedVariant } from "./plan.js";

const WIDTH = 720;
const LABEL = 190;
const BAR = 14;
const ROW = 2 * BAR + 14;
const COLORS = { executed: "#2563eb", dense: "#cbd5e1" };

interface Panel {
  readonly title: string;
  readonly rows: readonly { readonly name: string; readonly value: Operations }[];
  readonly format: (value: number) => string;
}

/** One panel for operations, and one for each memory layout if the model has an objective. */
export function drawnPlan(plan: BudgetPlan): string {
  const panels = panelsOf(plan);
  const heights = panels.map((panel) => 34 + ROW * panel.rows.length);
  const height = heights.reduce((sum, h) => sum + h, 44);
  let top = 40;
  const parts = panels.map((panel, i) => {
    const part = drawn(panel, top);
    top += heights[i]!;
    return part;
  });
  return `<!-- Made by modc. -->
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"
  font-family="system-ui, sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="12" y="24" font-size="16" font-weight="600">${escape(plan.model)}</text>
<rect x="${WIDTH - 230}" y="14" width="12" height="12" fill="${COLORS.executed}"/>
<text x="${WIDTH - 212}" y="24">as it is</text>
<rect x="${WIDTH - 140}" y="14" width="12" height="12" fill="${COLORS.dense}"/>
<text x="${WIDTH - 122}" y="24">nothing skipped</text>
${parts.join("\n")}
</svg>
`;
}

const nameOf = ({ set }: PlannedVariant, model: string): string =>
  Object.entries(set)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ") || model;

function panelsOf({ model, variants }: BudgetPlan): readonly Panel[] {
  const operations: Panel = {
    title: "operations of training, a token",
    rows: variants.map((v) => ({ name: nameOf(v, model), value: v.training })),
    format: (value) => withPrefix(value, 3),
  };
  const layouts = variants[0]?.memory ?? [];
  const memory = layouts.map(({ sharding, precision, recompute, devices }, i): Panel => {
    const where = devices === 1 ? "" : ` on ${devices} devices`;
    return {
      title: `memory of a device: ${sharding}${where}, ${precision}${recompute ? ", recomputed" : ""}`,
      rows: variants.map((v) => ({
        name: nameOf(v, model),
        value: { executed: v.memory[i]!.use.total, dense: v.memory[i]!.dense.total },
      })),
      format: formatBytes,
    };
  });
  return [operations, ...memory];
}

function drawn({ title, rows, format }: Panel, top: number): string {
  const most = Math.max(...rows.flatMap(({ value }) => [value.executed, value.dense]), 1);
  const toWidth = (value: number): string => (((WIDTH - LABEL - 100) * value) / most).toFixed(1);
  const bars = rows.map(({ name, value }, i) => {
    const y = top + 24 + ROW * i;
    const bar = (of: "executed" | "dense", at: number): string =>
      `<rect x="${LABEL}" y="${at}" width="${toWidth(value[of])}" height="${BAR - 2}" fill="${COLORS[of]}"/>` +
      `<text x="${LABEL + 6 + Number(toWidth(value[of]))}" y="${at + BAR - 4}">${escape(format(value[of]))}</text>`;
    return (
      `<text x="${LABEL - 8}" y="${y + BAR + 2}" text-anchor="end">${escape(name)}</text>` +
      bar("executed", y) +
      bar("dense", y + BAR)
    );
  });
  return [`<text x="12" y="${top + 14}" font-weight="600">${escape(title)}</text>`, ...bars].join("\n");
}
