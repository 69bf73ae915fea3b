// Loops over experts compile to what the constructs compile to, where they mean the same, and to their own otherwise.
import { describe, expect, it } from "vitest";
import { printProgram } from "../../../src/runtime/program/serialize.js";
import type { CompileOptions } from "../../../src/compiler/compile.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { declaredShare } from "../../../src/ground/size/count-rules.js";
import { compiled, furthest, randomInput, randomWeights, reference } from "../../end-to-end/model.js";
import { optimized } from "../../optimized.js";

const model = (body: string): string => `
import { Linear, SwiGLU, GeluMLP, Nothing } from "std"
block Moe(experts: [block], others: [block], dim: int) {
  router: Linear(dim, len(experts), bias: false)
  second: Linear(dim, len(experts), bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    logits = router(x)
    p = softmax(logits)
    ${body}
  }
}
model Looped(dim: int = 16) {
  moe: Moe([for e in 0..3: SwiGLU(dim, 24)], [for e in 0..3: if e == 1 then GeluMLP(dim, 8) else SwiGLU(dim, 24)], dim)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { x + moe(x) }
  objective(x: f32[B, T <= 64, dim]) { loss square = mean(forward(x) ^ 2) }
}`;

/** A program without its source information. */
function machineOf(body: string, options: CompileOptions = {}): string {
  const { program } = compiled(model(body), { verify: false, ...options });
  return printProgram({ ...program, works: [], origins: [], axes: program.axes.filter((a) => a.role !== "sequence") });
}

const TOP = "chosen = top(p, 2, axis: -1)\n    ";
const MIXTURE = `${TOP}sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)`;
const loop = (line: string, start = "zeros(like: x)"): string => `y = ${start}
    for e in 0..len(experts) { ${line} }
    y`;
const GATED = "experts[e](take(x, r)) * take(p[..., e], r)[..., None]";

const ROOM = `wish = top(p, 2, axis: -1)
    early = top(where(wish.mask, p, -1e9), ceil(50% * T), axis: 1)`;

const SPELLINGS: Readonly<Record<string, readonly [loop: string, construct: string]>> = {
  "routes of a choice": [`${TOP}${loop(`r = chosen[e]; y = put(y, r, ${GATED})`)}`, MIXTURE],
  "columns of its mask": [`${TOP}${loop(`r = those(chosen.mask[..., e]); y = put(y, r, ${GATED})`)}`, MIXTURE],
  "columns that keep their dimension": [
    `${TOP}m = chosen.mask
    ${loop("r = those(m[..., e:e+1][..., 0]); y = put(y, r, take(p[..., e:e+1], r) * experts[e](take(x, r)))")}`,
    MIXTURE,
  ],
  "sums of rows put among zeros": [`${TOP}${loop(`r = chosen[e]; y = y + put(zeros(like: x), r, ${GATED})`)}`, MIXTURE],
  "gates that were put among zeros": [
    `${TOP}w = put(zeros(like: p), chosen, take(p, chosen) / sum(take(p, chosen), axis: -1, keep: true))
    ${loop("r = chosen[e]; y = put(y, r, experts[e](take(x, r)) * take(w[..., e], r)[..., None])")}`,
    `${TOP}w = take(p, chosen) / sum(take(p, chosen), axis: -1, keep: true)
    sum(experts[chosen](x) * w[..., None], axis: -2)`,
  ],
  "gates computed expert by expert": [
    `${TOP}${loop(
      "r = chosen[e]; y = put(y, r, experts[e](take(x, r)) * take(sigmoid(logits[..., e]) * 2.0, r)[..., None])",
    )}`,
    `${TOP}sum(experts[chosen](x) * take(sigmoid(logits) * 2.0, chosen)[..., None], axis: -2)`,
  ],
  "no gates": [
    `${TOP}${loop("r = chosen[e]; y = put(y, r, experts[e](take(x, r)))")}`,
    `${TOP}sum(experts[chosen](x), axis: -2)`,
  ],
  "a stream that is added to": [
    `${TOP}${loop(`r = chosen[e]; y = put(y, r, ${GATED})`, "x * 0.5")}`,
    `${TOP}x * 0.5 + sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)`,
  ],
  "scores above a threshold, expert by expert": [
    loop(`r = above(p[..., e], 0.3); y = put(y, r, ${GATED})`),
    `chosen = above(p, 0.3)
    sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)`,
  ],
  "a share of them, above a threshold of each token and expert": [
    `cut = mean(p, axis: -1)
    ${loop(`r = above(p[..., e] * 2.0, cut, expected: 50%); y = put(y, r, ${GATED})`)}`,
    `cut = mean(p, axis: -1)
    chosen = above(p * 2.0, cut[..., None], expected: 50%)
    sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)`,
  ],
  "comparisons of scores, expert by expert": [
    `q = second(x)
    ${loop(`r = those(p[..., e] > q[..., e] or q[..., e] == 0.0); y = put(y, r, ${GATED})`)}`,
    `q = second(x)
    chosen = those(p > q or q == 0.0)
    sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)`,
  ],
  "columns of a mask": [
    `m = p > 0.3
    ${loop(`r = those(m[..., e]); y = put(y, r, ${GATED})`)}`,
    `chosen = those(p > 0.3)
    sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)`,
  ],
  "routes of experts that choose": [
    `chosen = top(p, ceil(50% * T), axis: 1)
    ${loop(`r = chosen[e]; y = put(y, r, ${GATED})`)}`,
    `chosen = top(p, ceil(50% * T), axis: 1)
    sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)`,
  ],
  "what has room of what tokens choose": [
    `${ROOM}
    ${loop(`r = those((wish.mask and early.mask)[..., e]); y = put(y, r, ${GATED})`)}`,
    `${ROOM}
    chosen = those(wish.mask and early.mask)
    sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)`,
  ],
  "the largest probability": [
    loop(`r = those(argmax(p, axis: -1) == e); y = put(y, r, ${GATED})`),
    `chosen = top(p, 1, axis: -1)
    sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)`,
  ],
};

describe("a loop over experts compiles to what the list indexed by the choice does", () => {
  it.each(Object.keys(SPELLINGS))("by %s", (name) => {
    const [own, construct] = SPELLINGS[name]!;
    expect(machineOf(own)).toBe(machineOf(construct));
  });

  it.each(["train-step", "objective"] as const)("in training: %s", (program) => {
    const [own, construct] = SPELLINGS["routes of a choice"]!;
    expect(machineOf(own, { program })).toBe(machineOf(construct, { program }));
  });
});

const weights = randomWeights(optimized(model(MIXTURE)).model, 3);
const given = { inputs: { x: randomInput([2, 9, 16], 5) }, lengths: Uint32Array.of(9, 6) };

/** All but the last of its experts are in the order of the entries. */
const ROTATED = "in which experts take one another's tokens";

/** Loops that are not such a call, each with a text of the same meaning that is no such loop. */
const OTHERS: Readonly<Record<string, readonly [loop: string, same: string]>> = {
  "of different bodies": [
    `${TOP}${loop("r = chosen[e]; y = put(y, r, others[e](take(x, r)))")}`,
    `${TOP}sum(others[chosen](x), axis: -2)`,
  ],
  "by routes of two choices": [
    `${TOP}b = top(second(x), 1, axis: -1)
    ${loop("r = if e == 1 then b[e] else chosen[e]; y = put(y, r, experts[e](take(x, r)))")}`,
    `${TOP}b = top(second(x), 1, axis: -1)
    (a0, a1, a2) = (chosen[0], b[1], chosen[2])
    put(put(put(zeros(like: x), a2, experts[2](take(x, a2))), a1, experts[1](take(x, a1))), a0, experts[0](take(x, a0)))`,
  ],
  "whose experts read what earlier ones added": [
    `${TOP}${loop("r = chosen[e]; y = put(y, r, experts[e](take(y, r)))", "x")}`,
    `${TOP}m = f32(chosen.mask)
    a = x + experts[0](x) * m[..., 0:1]
    b = a + experts[1](a) * m[..., 1:2]
    b + experts[2](b) * m[..., 2:3]`,
  ],
  "whose rows something else reads": [
    `${TOP}all = 0.0 * sum(x)
    ${loop("r = chosen[e]; rows = experts[e](take(x, r)); all = all + sum(rows); y = put(y, r, rows)")} + all`,
    `${TOP}z = experts[chosen](x)
    sum(z, axis: -2) + sum(z)`,
  ],
  [ROTATED]: [
    `${TOP}${loop("r = chosen[(e + 1) % 3]; y = put(y, r, experts[e](take(x, r)))")}`,
    `${TOP}m = f32(chosen.mask)
    experts[0](x) * m[..., 1:2] + experts[1](x) * m[..., 2:3] + experts[2](x) * m[..., 0:1]`,
  ],
  "by the largest of what may be NaN": [
    loop("r = those(argmax(logits, axis: -1) == e); y = put(y, r, experts[e](take(x, r)))"),
    "chosen = top(logits, 1, axis: -1)\n    sum(experts[chosen](x), axis: -2)",
  ],
};

describe("a loop that is no such call stays as it is", () => {
  it.each(Object.keys(OTHERS))("%s", (name) => {
    const [own, same] = OTHERS[name]!.map((body) => optimized(model(body)).graph) as [Graph, Graph]; // of both texts
    const routes = own.axes.filter((a) => a.role === "sequence" && declaredShare(a.count) !== null);
    if (name !== ROTATED) expect(routes).toHaveLength(3);
    const [a, b] = [own, same].map((graph) => reference(graph, weights, given).outputs.get("output")!.data);
    expect(furthest(a!, b!, 1e-9, 1e-9).ratio).toBeLessThan(1);
  });
});
