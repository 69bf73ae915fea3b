// The model as a diagram: blocks from top to bottom, routed blocks in clusters, with shapes, costs and skip
// connections.
import type { Picture } from "../compiler/layout.js";
import type { Part } from "../compiler/picture.js";
import { h, s } from "../dom.js";
import type { Source } from "../source.js";
import { flop, percent } from "./numbers.js";
import type { View, ViewContext } from "./view.js";

export function pictureView({ compiler, reveal }: ViewContext): View {
  const drawing = h("div", { class: "scroll" });
  const note = h("p", { class: "note" });
  const legend = h(
    "div",
    { class: "legend", "aria-hidden": true },
    h("span", {}, h("i", { class: "routed" }), "only the chosen tokens"),
    h("span", {}, h("i", { class: "skip" }), "every other token skips"),
    h("span", {}, h("i", { class: "choice" }), "the choice of tokens"),
    h("span", {}, h("i", {}), "data and its shape"),
  );
  let scale = 1;
  let drawn: { readonly svg: SVGSVGElement; readonly picture: Picture } | null = null;
  const resize = (to: number): void => {
    scale = Math.min(3, Math.max(0.15, to));
    drawn?.svg.setAttribute("width", String(drawn.picture.width * scale));
    drawn?.svg.setAttribute("height", String(drawn.picture.height * scale));
  };
  const fit = (): void => {
    if (drawn)
      resize(
        Math.min(
          (drawing.clientWidth - 20) / drawn.picture.width,
          (drawing.clientHeight - 8) / drawn.picture.height,
          1.2,
        ),
      );
  };
  const zoom = h(
    "div",
    { class: "zoom", role: "group", "aria-label": "Size of the picture" },
    h("button", { type: "button", class: "icon", "aria-label": "Smaller", onclick: () => resize(scale / 1.25) }, "−"),
    h("button", { type: "button", class: "icon", "aria-label": "Larger", onclick: () => resize(scale * 1.25) }, "+"),
    h("button", { type: "button", onclick: fit }, "Fit"),
  );
  const panel = h("div", { class: "pictured" }, note, legend, drawing, zoom);
  return {
    id: "picture",
    label: "Picture",
    panel,
    async show(source: Source) {
      const picture = await compiler.call("picture", source);
      if (!picture) return;
      legend.hidden = !picture.parts.some((p) => p.kind === "route");
      if (picture.tooMany !== null) {
        note.textContent =
          `${picture.model} has ${picture.tooMany} parts, too many to draw: set a smaller depth under Parameters ` +
          "to see its shape.";
        drawing.replaceChildren();
        drawn = null;
        return;
      }
      note.textContent =
        `${picture.model}: ${describe(picture)}. Bars show the share of all operations; ` +
        "choose a part to see its source.";
      const other = drawn?.picture.model !== picture.model || drawn.picture.parts.length !== picture.parts.length;
      drawn = { svg: draw(picture, reveal), picture };
      drawing.replaceChildren(drawn.svg);
      resize(other ? 1 : scale);
      // Scroll to the model's input first.
      if (other) drawing.scrollTo((picture.parts.find((p) => p.kind === "input")?.x ?? 0) - drawing.clientWidth / 2, 0);
    },
  };
}

function describe({ parts, clusters }: Picture): string {
  const routes = parts.filter((p) => p.kind === "route").length;
  const blocks = parts.filter((p) => p.cluster === null && (p.kind === "block" || p.kind === "routed")).length;
  const counts = [
    ...(blocks > 0 ? [`${blocks} block${blocks === 1 ? "" : "s"}`] : []),
    ...(clusters.length > 0 ? [`${clusters.length} routed block${clusters.length === 1 ? "" : "s"}`] : []),
    ...(routes > clusters.length ? [`${routes} route${routes === 1 ? "" : "s"}`] : []),
  ];
  return counts.length === 0 ? "no blocks" : counts.join(", ");
}

function draw(picture: Picture, reveal: ViewContext["reveal"]): SVGSVGElement {
  const svg = s("svg", {
    class: "picture",
    width: picture.width,
    height: picture.height,
    viewBox: `0 0 ${picture.width} ${picture.height}`,
    role: "group",
    "aria-label": `Picture of ${picture.model}`,
  });
  svg.append(
    s(
      "defs",
      {},
      s(
        "marker",
        {
          id: "arrow",
          viewBox: "0 0 8 8",
          refX: 7,
          refY: 4,
          markerWidth: 7,
          markerHeight: 7,
          orient: "auto-start-reverse",
        },
        s("path", { d: "M0 0L8 4L0 8z" }),
      ),
    ),
  );
  for (const { x, y, width, height } of picture.clusters)
    svg.append(s("rect", { class: "cluster", x: x - width / 2, y: y - height / 2, width, height, rx: 8 }));
  for (const wire of picture.wires)
    svg.append(
      s("path", {
        class: `wire ${wire.kind}`,
        d: pathOf(wire.points),
        "marker-end": "url(#arrow)",
        "aria-hidden": true,
      }),
    );
  // Draws labels after all wires, so that no wire crosses a label.
  for (const { x, y, width, height, title, cost } of picture.clusters)
    svg.append(
      labelAt(cost ? `${title}, ${percent(cost.share)} of all operations` : title, 11, {
        class: "sub",
        x: x - width / 2 + 8,
        y: y - height / 2 + 14,
      }),
    );
  for (const { label, shape } of picture.wires)
    if (label) svg.append(labelAt(shape, 10, { class: "shape", x: label.x, y: label.y + 3, "text-anchor": "middle" }));
  for (const part of picture.parts) svg.append(drawPart(part, picture, reveal));
  return svg;
}

/** A text in a rectangle of the page's colour. `size` is the font size in CSS; letters are 0.6 times as wide. */
function labelAt(
  text: string,
  size: number,
  at: { readonly class: string; readonly x: number; readonly y: number } & Readonly<
    Record<string, string | number | true>
  >,
): SVGGElement {
  const width = text.length * size * 0.6;
  const left = at["text-anchor"] === "middle" ? at.x - width / 2 : at.x;
  return s(
    "g",
    { class: "label" },
    s("rect", { x: left - 2, y: at.y - size, width: width + 4, height: size + 3 }),
    s("text", at, text),
  );
}

function drawPart(part: Picture["parts"][number], picture: Picture, reveal: ViewContext["reveal"]): SVGGElement {
  const { x, y, width, height, kind, cost, at } = part;
  const left = x - width / 2;
  const top = y - height / 2;
  const go = at ? (): void => reveal(at) : null;
  const group = s("g", {
    class: `part ${kind}`,
    role: go ? "button" : "img",
    tabindex: go ? 0 : null,
    "aria-label": spoken(part, picture),
    ...(go && {
      onclick: go,
      onkeydown: (event: KeyboardEvent) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        go();
      },
    }),
  });
  group.append(s("rect", { x: left, y: top, width, height, rx: kind === "route" || kind === "sign" ? height / 2 : 6 }));
  if (cost)
    group.append(
      s("rect", {
        class: "cost",
        x: left + 1,
        y: top + height - 5,
        width: Math.max(1, (width - 2) * Math.min(1, cost.share)),
        height: 4,
      }),
    );
  const lines = linesOf(part);
  lines.forEach((text, i) =>
    group.append(
      i > 0 ? " " : "", // spaces between words, for screen readers
      s(
        "text",
        { class: i > 0 ? "sub" : null, x, y: y + (i - (lines.length - 1) / 2) * 17 + 4, "text-anchor": "middle" },
        text,
      ),
    ),
  );
  return group;
}

/** The lines of text in a part. */
const linesOf = ({ kind, title, subtitle, cost }: Part): readonly string[] =>
  [kind === "put" ? "put" : title, subtitle, cost ? `${flop(cost.flops)} ${percent(cost.share)}` : ""].filter(
    (text) => text !== "",
  );

/** The description of a part for screen readers: text, kind, and the targets of its output. */
function spoken(part: Part, { wires, parts }: Picture): string {
  const { id, kind, cost } = part;
  const named = new Map(parts.map((p) => [p.id, p.title]));
  const next = wires
    .filter((w) => w.from === id)
    .map((w) => `${named.get(w.to) ?? ""}${w.kind === "skip" ? " for tokens that skip" : ""}`);
  const what = {
    input: "input",
    output: "result",
    block: "block",
    routed: "block of chosen tokens",
    operation: "operation",
    route: "choice of tokens",
    put: "adds to the chosen tokens",
    sign: "of both",
  }[kind];
  return [
    `${linesOf(part).join(" ")}${cost ? " of all operations" : ""}`,
    what,
    next.length > 0 ? `to ${[...new Set(next)].join(", ")}` : "",
  ]
    .filter((text) => text !== "")
    .join(", ");
}

/** A smooth line through the points of the layout. */
function pathOf(points: readonly { readonly x: number; readonly y: number }[]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M${first.x} ${first.y}`;
  rest.forEach((point, i) => {
    const next = rest[i + 1];
    path += next
      ? `Q${point.x} ${point.y} ${(point.x + next.x) / 2} ${(point.y + next.y) / 2}`
      : `L${point.x} ${point.y}`;
  });
  return path;
}
