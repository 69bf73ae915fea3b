// Functions of rows in the order of a sequence: `earlier` and `later`. On a route these are the chosen rows alone.
import { ERROR, type Builtin, type BuiltinParam } from "../model/context.js";
import { plainEverywhere } from "../tensors/entries.js";
import { integerArg, requiredArg, tensorArg } from "./arguments.js";
import { sequenceDim } from "./attention.js";

const SHIFTED: readonly BuiltinParam[] = [{ name: "x" }, { name: "n" }];

const shifted = (name: "earlier" | "later", doc: string): Builtin => ({
  params: SHIFTED,
  doc,
  apply(emitter, args, span) {
    const at = requiredArg(args, "x").span;
    const given = tensorArg(emitter, args, name, "x");
    const x = given && plainEverywhere(emitter, given, "shifted along", at);
    const along = x && sequenceDim(emitter, name, x, at);
    const n = integerArg(emitter, args, name, "n", 1, 1);
    if (!x || !along || n === null) return ERROR;
    const by = name === "earlier" ? n : -n;
    return { kind: "tensor", value: emitter.emit("shift", [x], { dim: along.dim, by }, x.type, span) };
  },
});

const earlier = shifted(
  "earlier",
  "earlier(x: any[B, T, ...], n) -> the type of x\n" +
    "For each row the row n before it on the sequence axis of x, n at least 1; zeros before the first row. On a route " +
    "it is the chosen row n before. `for j in 1..w { c = c + earlier(x, j) * weight[:, w - 1 - j] }` is a short " +
    "convolution.",
);

const later = shifted(
  "later",
  "later(x: any[B, T, ...], n) -> the type of x\n" +
    "For each row the row n behind it on the sequence axis of x, n at least 1; zeros behind the sequence's end. It " +
    "reads later tokens, so a model that generates cannot use it.",
);

export const recurrences: ReadonlyMap<string, Builtin> = new Map([
  ["earlier", earlier],
  ["later", later],
]);
