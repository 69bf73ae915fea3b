// `sequence` and `rows`: a fixed axis as a sequence, and rows of a sequence by computed places.
import { axisSize, printSize } from "../../../ground/size/size.js";
import { plainAlong } from "../tensors/entries.js";
import { sharedAxis } from "../tensors/makers.js";
import { ERROR, type Builtin } from "../model/context.js";
import { isBatch, isSequence, sequenceDims, sequenceOf, typeOf } from "../model/types.js";
import { printType } from "../model/values.js";
import { requireDtype, requiredArg, tensorArg } from "./arguments.js";

/** The name that users see for the axis that `sequence` makes. */
const TOKENS = "N";

export const sequence: Builtin = {
  params: [{ name: "x" }],
  doc:
    "sequence(x: any[B, n, ...]) -> any[B, N, ...]\nA fixed axis as a sequence of n tokens, with positions from 0: " +
    "the patches of a picture, learned queries. Calls with the same n make the same axis.",
  apply(emitter, args, span) {
    const whole = tensorArg(emitter, args, "sequence", "x");
    const { span: at } = requiredArg(args, "x");
    const x = whole && plainAlong(emitter, whole, [1], "made a sequence", at);
    if (!x) return ERROR;
    const [batch, n] = x.type.shape;
    const what = "`sequence`";
    if (batch === undefined || n === undefined || !isBatch(emitter, batch) || typeof n !== "number") {
      const needs = "a tensor [B, n, …] whose second axis is fixed";
      emitter.report("wrong-rank", { what, needs, found: printType(x.type) }, at);
      return ERROR;
    }
    if (sequenceDims(emitter, x.type.shape).length > 0) {
      emitter.report("several-sequences", { what, found: printType(x.type) }, at);
      return ERROR;
    }
    const name = sharedAxis(emitter, printSize(batch), `sequence ${n}`, n, { kind: "fixed", tokens: n }, TOKENS);
    const type = typeOf(x.type.dtype, x.type.shape.with(1, axisSize(name)));
    return { kind: "tensor", value: emitter.emit("sequence", [x], { axis: name }, type, span) };
  },
};

export const rows: Builtin = {
  params: [{ name: "x" }, { name: "index" }],
  doc:
    "rows(x: any[B, S, ...], index: u32[B, ...]) -> any[B, ..., ...]\nRows of the same sequence, by their places on " +
    "the axis of x: the shape of the index, then that of a row. As in `table[index]`, an index outside reads the " +
    "nearest row, and a negative i32 counts from the end. Zeros for a sequence without rows. Differentiable in x.",
  apply(emitter, args, span) {
    const x = tensorArg(emitter, args, "rows", "x");
    const index = tensorArg(emitter, args, "rows", "index");
    const at = { x: requiredArg(args, "x").span, index: requiredArg(args, "index").span };
    if (!x || !index || !requireDtype(emitter, index, ["u32", "i32"], "rows", "index", at.index)) return ERROR;
    const plain = plainAlong(
      emitter,
      index,
      index.type.shape.map((_, dim) => dim),
      "read by `rows`",
      at.index,
    );
    if (!plain) return ERROR;
    const { shape } = x.type;
    if (!sequenceOf(emitter, shape[1] ?? 1)) {
      emitter.report("not-a-sequence", { what: "`x` of `rows`", found: printType(x.type) }, at.x);
      return ERROR;
    }
    for (const [name, value] of [
      ["x", x],
      ["index", plain],
    ] as const)
      if (sequenceDims(emitter, value.type.shape).length > 1) {
        emitter.report(
          "several-sequences",
          { what: `\`${name}\` of \`rows\``, found: printType(value.type) },
          at[name],
        );
        return ERROR;
      }
    const [batch, ...places] = plain.type.shape;
    if (batch === undefined || !isBatch(emitter, batch)) {
      const needs = "one or more places for each sequence, u32[B, …]";
      emitter.report("wrong-rank", { what: "`index` of `rows`", needs, found: printType(plain.type) }, at.index);
      return ERROR;
    }
    const odd = places.find((size) => typeof size !== "number" && !isSequence(emitter, size));
    if (odd !== undefined) {
      emitter.report("unknown-extent", { what: "`index` of `rows`", size: printSize(odd) }, at.index);
      return ERROR;
    }
    const type = typeOf(x.type.dtype, [...plain.type.shape, ...shape.slice(2)]);
    return { kind: "tensor", value: emitter.emit("rows", [x, plain], {}, type, span) };
  },
};
