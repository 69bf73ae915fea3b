// Renders a model as an HTML page: nested blocks, each with its cost compared with the dense model. The page has no
// scripts.
import { escape } from "../../ground/base/html.js";
import { withoutCalls } from "../../compiler/cost/group.js";
import { withPrefix } from "../../ground/base/shown.js";
import { costsOf, type Cost, type CostSizes, type Pair } from "./costs.js";
import type { Project } from "../../language/editor/project.js";

export interface Picture {
  readonly title: string;
  readonly html: string;
}

interface Part {
  /** The last path segment: `layers.1`, `attn`. */
  readonly name: string;
  readonly block: string;
  readonly executed: Cost;
  readonly dense: Cost;
  readonly parts: Part[];
}

/** Null if every model of the file has errors. */
export function pictureOf(project: Project, file: string, sizes: CostSizes): Picture | null {
  for (const root of project.rootsOf(file)) {
    const found = project.modelOf(root);
    if (!found) continue;
    const { model, calls } = found;
    const { at, total, paths } = costsOf(model, calls, sizes, []);
    const blocks = new Map(model.instances.map((i) => [i.path, i.block]));
    const parts = partsOf(paths, blocks);
    const all = total.dense.flops;
    const title = `${model.name} at ${at}`;
    const html = page(title, [
      lineOf("the whole", total.executed, total.dense, all),
      ...parts.map((p) => box(p, all, 0)),
    ]);
    return { title, html };
  }
  return null;
}

/** Builds the call tree, in call order. A path that does not belong to a call is attributed to the enclosing part. */
function partsOf(paths: ReadonlyMap<string, Pair>, blocks: ReadonlyMap<string, string>): readonly Part[] {
  const made = new Map<string, Part>();
  const above = new Map<string, string>();
  for (const path of [...paths.keys()].sort((a, b) => a.length - b.length)) {
    const block = blocks.get(withoutCalls(path));
    if (block === undefined) continue;
    let parent = path;
    do parent = parent.slice(0, Math.max(0, parent.lastIndexOf(".")));
    while (parent !== "" && !made.has(parent));
    above.set(path, parent);
    made.set(path, {
      name: parent === "" ? path : path.slice(parent.length + 1),
      block,
      ...paths.get(path)!,
      parts: [],
    });
  }
  const roots: Part[] = [];
  for (const path of paths.keys()) {
    const part = made.get(path);
    if (part) (made.get(above.get(path)!)?.parts ?? roots).push(part);
  }
  return roots;
}

/** Parts below this share of the total are left out. */
const LEAST = 0.0005;

function box({ name, block, executed, dense, parts }: Part, all: number, depth: number): string {
  const inner = parts.filter((p) => p.dense.flops >= LEAST * all).map((p) => box(p, all, depth + 1));
  const skips = executed.flops < dense.flops * 0.999;
  const head = lineOf(`<b>${escape(name)}</b> ${escape(block)}`, executed, dense, all);
  const kind = `class="box${skips ? " routed" : ""}"`;
  if (inner.length === 0) return `<div ${kind}>${head}</div>`;
  return `<details ${kind}${depth < 1 ? " open" : ""}><summary>${head}</summary>${inner.join("")}</details>`;
}

/** A line with the name, a bar, and the numbers. The bar shows the share of all operations, and the part executed. */
function lineOf(name: string, executed: Cost, dense: Cost, all: number): string {
  const share = (flops: number): string => (all === 0 ? "0" : ((100 * flops) / all).toFixed(2));
  const of = executed.flops === dense.flops ? "" : ` of ${withPrefix(dense.flops, 3)}`;
  const cache = dense.cache === 0 ? "" : `, cache ${amount(executed.cache, "B")}`;
  return (
    `<span class="line"><span class="name">${name}</span><svg viewBox="0 0 100 4" preserveAspectRatio="none" ` +
    `aria-hidden="true"><rect class="dense" width="${share(dense.flops)}" height="4"/><rect class="ran" width="` +
    `${share(executed.flops)}" height="4"/></svg><span class="cost">${amount(executed.flops, "FLOP")}${of}` +
    `, ${amount(executed.bytes, "B")}${cache}</span></span>`
  );
}

/** For example `132 kFLOP` or `0 FLOP`. */
const amount = (n: number, unit: string): string =>
  n < 1000 ? `${withPrefix(n, 3)} ${unit}` : `${withPrefix(n, 3)}${unit}`;

const STYLE = `:root { color-scheme: light dark }
body { font: 13px/1.5 var(--vscode-font-family, system-ui, sans-serif); margin: 1rem }
h1 { font-size: 1.2em; margin: 0 0 .6rem }
.box { border: 1px solid color-mix(in srgb, currentColor 30%, transparent); border-radius: 6px; margin: .35rem 0;
  padding: .3rem .6rem }
.routed { border-style: dashed }
summary { cursor: pointer }
.line { display: inline-flex; flex-wrap: wrap; gap: .2rem .8rem; align-items: center; width: calc(100% - 1.5rem) }
.name { min-width: 14rem }
svg { flex: 1; min-width: 6rem; height: 6px }
.dense { fill: color-mix(in srgb, currentColor 25%, transparent) }
.ran { fill: light-dark(#1a7f64, #3fb68b) }
.cost { min-width: 18rem; text-align: right; font-variant-numeric: tabular-nums }`;

const page = (title: string, body: readonly string[]): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(title)}</title>
<style>
${STYLE}
</style>
</head>
<body>
<h1>${escape(title)}</h1>
<p>Operations of each block. The pale bar is the same model with nothing skipped; what is routed has a dashed frame.</p>
${body.join("\n")}
</body>
</html>
`;
