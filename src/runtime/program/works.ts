// Reads the metadata of a program's steps (operators, source lines, costs), as untrusted input.
import type { ProgramOrigin, ProgramWork, SizeText } from "./program.js";
import { itself, list, object, orNull, placeIn, text, whole, type Read, type Reader } from "./reader.js";

/** Reads an entry of `works`; `origins`: the number of origins. */
export function readWork(r: Reader, size: Read<SizeText>, origins: number): ProgramWork {
  const origin = orNull(placeIn(origins));
  const dense = Object.hasOwn(r.value as object, "denseFlops") ? { denseFlops: size } : {};
  const work = object<Omit<ProgramWork, "main"> & { readonly main: Reader }>({
    ops: list(object({ op: text, origin })),
    main: itself,
    flops: size,
    ...dense,
    bytes: size,
  })(r);
  return { ...work, main: placeIn(work.ops.length)(work.main) };
}

export const readOrigin: Read<ProgramOrigin> = object({ path: text, file: text, line: whole(0) });
