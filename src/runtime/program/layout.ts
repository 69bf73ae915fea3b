// Reads the layouts of weights in slots, and checks that the weights of a shared slot fill it without gaps.
import type { EncodingName } from "./encodings/index.js";
import type { PanelLayout, ProgramWeight, ProgramWeightSlot, WeightLayout } from "./program.js";
import { flag, object, placeIn, variant, whole, type Reader } from "./reader.js";

/** Reads the layout of a weight of `elements` values, as untrusted input. */
export function readLayout(r: Reader, elements: number): WeightLayout {
  const layout = variant({
    given: {},
    panels: {
      depth: whole(1),
      width: whole(1),
      transposed: flag,
      columns: whole(1, 0x7fff_ffff),
      first: whole(0),
      total: whole(1),
      pairs: whole(0),
    },
  })(r);
  if (layout.kind === "given") return layout;
  const { depth, width, total, pairs } = layout;
  if (elements % (depth * width) !== 0)
    r.get("depth").fail(
      `and width are ${depth} and ${width}, which do not divide the ${elements} values into matrices`,
    );
  whole(width)(r.get("total"));
  whole(0, total - width)(r.get("first"));
  whole(0, total)(r.get("pairs"));
  if (pairs > 0 && total % (2 * pairs) !== 0)
    r.get("pairs").fail(`is ${pairs}: ${total} columns are not a multiple of ${2 * pairs}`);
  return layout;
}

/** Reads the part of a weight of this shape that a slot holds. */
export function readPart(r: Reader, shape: readonly number[]): NonNullable<ProgramWeightSlot["part"]> {
  const part = object({ axis: placeIn(shape.length), start: whole(0), stop: whole(0) })(r);
  whole(0, shape[part.axis])(r.get("start"));
  whole(part.start, shape[part.axis])(r.get("stop"));
  return part;
}

/** Number of values of a weight or of a part of a weight. */
export const elementsOf = (shape: readonly number[], part: ProgramWeightSlot["part"]): number =>
  shape.reduce((n, d, axis) => n * (axis === part?.axis ? part.stop - part.start : d), 1);

interface Part {
  readonly at: Reader;
  readonly weight: ProgramWeight;
  readonly form: EncodingName;
  readonly layout: WeightLayout;
  /** Number of the weight's values in the slot. */
  readonly elements: number;
}

/**
 * Checks that a slot holds one row-major weight, or weights whose columns follow each other without a gap or an
 * overlap.
 */
export function checkWeightSlots(list: Reader, weights: readonly ProgramWeight[]): void {
  const slots = new Map<number, Part[]>();
  const slotLists = list.list((r) => r.get("slots").list((s) => s));
  weights.forEach((weight, i) =>
    weight.slots.forEach(({ slot, form, layout, part }, j) => {
      const parts = slots.get(slot) ?? [];
      slots.set(slot, parts);
      parts.push({ at: slotLists[i]![j]!, weight, form, layout, elements: elementsOf(weight.shape, part) });
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
