// Random texts of a form, a byte at a time, and whether a text has a form.
import { compileForm, type Form } from "../../../src/generation/constrain/constraints.js";
import { Machine } from "../../../src/generation/constrain/machine.js";
import type { random } from "../../random.js";

export const machineOf = (form: Form): Machine => new Machine(compileForm(form));

/** Whether the whole text has the form. */
export function has(machine: Machine, text: string): boolean {
  let place = machine.start;
  for (const byte of new TextEncoder().encode(text)) {
    const next = machine.after(place, byte);
    if (next === null) return false;
    place = next;
  }
  return place.end;
}

/** Bytes that bring a text to its end. */
const CLOSING = new Set(Array.from('"}],').map((c) => c.charCodeAt(0)));

/** A random text of the form; null if it did not end within `most` bytes. */
export function walk(machine: Machine, rng: ReturnType<typeof random>, most = 2000): string | null {
  const bytes: number[] = [];
  let place = machine.start;
  for (;;) {
    const open = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => machine.after(place, byte));
    if (open.length === 0 && !place.end) throw new Error("the text cannot go on");
    if (open.length === 0 || (place.end && rng.below(2) === 0))
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
    if (bytes.length >= most) return null;
    const closing = open.filter((byte) => CLOSING.has(byte));
    const from = closing.length > 0 && rng.below(3) === 0 ? closing : open;
    const byte = from[rng.below(from.length)]!;
    bytes.push(byte);
    place = machine.after(place, byte)!;
  }
}
