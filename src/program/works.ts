// Reading the metadata of a program's steps (operators, source lines, costs), as untrusted input.
import type { ProgramOrigin, ProgramWork } from "./program.js";
import type { Reader } from "./reader.js";
import type { Symbols } from "./symbols.js";

/** One of `works`; `origins`: how many places there are. */
export function readWork(r: Reader, symbols: Symbols, origins: number): ProgramWork {
  r.fields(["ops", "main", "flops", "bytes"]);
  const operators = r.get("ops").list((o) => {
    o.fields(["op", "origin"]);
    return { op: o.get("op").string(), origin: o.get("origin").orNull((n) => n.index(origins)) };
  });
  return {
    ops: operators,
    main: r.get("main").index(operators.length),
    flops: symbols.size(r.get("flops")),
    bytes: symbols.size(r.get("bytes")),
  };
}

export function readOrigin(r: Reader): ProgramOrigin {
  r.fields(["path", "file", "line"]);
  return { path: r.get("path").string(), file: r.get("file").string(), line: r.get("line").integer(0) };
}
