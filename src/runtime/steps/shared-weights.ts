// Finds weights that two programs store alike, which their sessions can share.
import type { Program } from "../program/program.js";
import { slotSizes } from "./buffers.js";
import { texturesIn } from "../device/held-textures.js";

/** Maps each slot of `program` to the slot of `owner` with the same weights in the same layouts. */
export function sharedWeightSlots(program: Program, owner: Program): ReadonlyMap<number, number> {
  const owned = new Map([...weightsBySlot(owner)].map(([slot, held]) => [held, slot]));
  return new Map(
    [...weightsBySlot(program)].flatMap(([slot, held]): [number, number][] => {
      const slotOfOwner = owned.get(held);
      return slotOfOwner === undefined ? [] : [[slot, slotOfOwner]];
    }),
  );
}

/** Bytes of the slots that `program` can share. */
export function sharedWeightBytes(program: Program, owner: Program): number {
  const sizeOf = slotSizes(program);
  return [...sharedWeightSlots(program, owner).keys()].reduce(
    (sum, slot) => sum + sizeOf(Number(program.slots[slot]!.bytes), slot),
    0,
  );
}

/** A key of the contents of each weight slot. */
function weightsBySlot(program: Program): ReadonlyMap<number, string> {
  const textures = texturesIn(program);
  const textsBySlot = new Map<number, string[]>();
  for (const { path, slots } of program.weights)
    for (const { slot, form, layout, part } of slots) {
      const weightText = JSON.stringify([path, form, layout, part, textures?.has(slot) ?? false]);
      textsBySlot.set(slot, [...(textsBySlot.get(slot) ?? []), weightText]);
    }
  return new Map([...textsBySlot].map(([slot, texts]) => [slot, texts.toSorted().join("\n")]));
}
