// Reading where weights lie on the device, and whether those that share a slot fill it side by side.
import type { EncodingName } from "./encodings/index.js";
import type { PanelLayout, ProgramWeight, ProgramWeightSlot, WeightLayout } from "./program.js";
import type { Reader } from "./reader.js";

/** Reads the layout of a weight of so many values, as untrusted input. */
export function readLayout(r: Reader, elements: number): WeightLayout {
  const kind = r.get("kind").oneOf(["given", "panels"]);
  switch (kind) {
    case "given":
      r.fields(["kind"]);
      return { kind };
    case "panels": {
      r.fields(["kind", "depth", "width", "transposed", "columns", "first", "total", "pairs"]);
      const [depth, width] = [r.get("depth").integer(1), r.get("width").integer(1)];
      if (elements % (depth * width) !== 0)
        r.get("depth").fail(`and width are ${depth} and ${width}, of which ${elements} values are no matrices`);
      const total = r.get("total").integer(width);
      const pairs = r.get("pairs").integer(0, total);
      if (pairs > 0 && total % (2 * pairs) !== 0)
        r.get("pairs").fail(`is ${pairs}: ${total} columns are no multiple of ${2 * pairs}`);
      const columns = r.get("columns").integer(1, 0x7fff_ffff);
      return {
        kind,
        depth,
        width,
        transposed: r.get("transposed").boolean(),
        columns,
        first: r.get("first").integer(0, total - width),
        total,
        pairs,
      };
    }
    default:
      return kind satisfies never;
  }
}

/** Which part of a weight of this shape lies in a slot. */
export function readPart(r: Reader, shape: readonly number[]): NonNullable<ProgramWeightSlot["part"]> {
  r.fields(["axis", "start", "stop"]);
  const axis = r.get("axis").index(shape.length);
  const start = r.get("start").integer(0, shape[axis]);
  return { axis, start, stop: r.get("stop").integer(start, shape[axis]) };
}

/** Values of a weight, or of a part of it. */
export const elementsOf = (shape: readonly number[], part: ProgramWeightSlot["part"]): number =>
  shape.reduce((n, d, axis) => n * (axis === part?.axis ? part.stop - part.start : d), 1);

interface Part {
  readonly at: Reader;
  readonly weight: ProgramWeight;
  readonly form: EncodingName;
  readonly layout: WeightLayout;
  /** How many values of the weight lie there. */
  readonly elements: number;
}

/** A slot holds one weight as given, or weights whose columns follow one another without a gap or an overlap. */
export function checkWeightSlots(list: Reader, weights: readonly ProgramWeight[]): void {
  const slots = new Map<number, Part[]>();
  const places = list.list((r) => r.get("slots").list((s) => s));
  weights.forEach((weight, i) =>
    weight.slots.forEach(({ slot, form, layout, part }, j) => {
      const parts = slots.get(slot) ?? [];
      slots.set(slot, parts);
      parts.push({ at: places[i]![j]!, weight, form, layout, elements: elementsOf(weight.shape, part) });
    }),
  );
  for (const parts of slots.values()) checkParts(parts);
}

function checkParts(parts: readonly Part[]): void {
  const panels = parts.flatMap(({ layout, ...held }) => (layout.kind === "panels" ? [{ ...held, layout }] : []));
  if (panels.length < parts.length && parts.length > 1)
    parts[1]!.at.fail("is a slot that holds another weight already");
  panels.sort((a, b) => a.layout.first - b.layout.first);
  const [head] = panels;
  let next = 0;
  for (const { at, weight, form, layout, elements } of panels) {
    const alike = belongTogether(layout, head!.layout) && weight.dtype === head!.weight.dtype && form === head!.form;
    if (!alike || matricesOf(elements, layout) !== matricesOf(head!.elements, head!.layout))
      at.fail(`cannot share a slot with ${head!.weight.path}`);
    if (layout.first !== next) at.fail(`begins at column ${layout.first} of its slot, where ${next} columns are taken`);
    next += layout.width;
  }
  if (head && next !== head.layout.total)
    head.at.fail(`is in a slot of ${head.layout.total} columns, of which weights fill ${next}`);
}

const belongTogether = (a: PanelLayout, b: PanelLayout): boolean =>
  a.depth === b.depth &&
  a.columns === b.columns &&
  a.total === b.total &&
  a.pairs === b.pairs &&
  a.transposed === b.transposed;

const matricesOf = (elements: number, { depth, width }: PanelLayout): number => elements / (depth * width);
