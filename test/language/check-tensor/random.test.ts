// Expressions at random: the checker never fails at one, and what it accepts runs.
import { describe, expect, it } from "vitest";
import type { Model, Phase, Value } from "../../../src/language/check/model/model.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { InputError } from "../../../src/compiler/reference/inputs.js";
import { cases, seedOf } from "../../soak.js";
import { given, randomNumbers, LENGTHS } from "./given.js";
import { INPUTS, tellSource } from "./harness.js";

const ATOMS = [
  "x",
  "h",
  "s",
  "tokens",
  "signed",
  "half",
  "other",
  "flat",
  "w",
  "b",
  "m",
  "table",
  "ids",
  "wide",
  "1",
  "0.5",
  "-2",
  "T",
  "B",
  "S",
  "12.5% * T",
  "c",
  "true",
  "r",
  "rows",
  "[1, 2]",
  '"a"',
];
const UNARY = [
  "exp",
  "sqrt",
  "relu",
  "f32",
  "u32",
  "i32",
  "f16",
  "transpose",
  "stop_gradient",
  "softmax",
  "sum",
  "mean",
  "position",
  "-",
  "not ",
];
const BINARY = ["+", "-", "*", "/", "^", "@", "<", "==", "and", "or", "%"];
const SUFFIXES = [
  "[..., 0]",
  "[:, 1:]",
  "[:, -1]",
  "[:, None]",
  "[..., None]",
  "[0]",
  "[tokens]",
  ".mask",
  ".index",
  ".count",
  "[..., 1:3]",
  "[:, :T - 1]",
];
const CALLS = [
  "sum($, axis: 1)",
  "mean($, axis: [0, 1])",
  "max($, $)",
  "where($, $, $)",
  "argmax($, axis: -1)",
  "concat([$, $], axis: 1)",
  "concat([$, $], axis: 2)",
  "take($, r)",
  "put($, r, $)",
  "top($, ceil(T / 2))",
  "above($, $)",
  "attention($, $, $, causal: true)",
  "rope($, 100.0)",
  "cross_entropy($, $)",
  "bce($, $)",
  "dropout($, 0.5)",
  "random_normal(like: $)",
  'rearrange($, "b t (h d) -> b h t d", h: 2)',
  'rearrange($, "b t d -> b (t d)")',
  "split($, [3, 5], axis: -1)[0]",
  "var($, axis: -1, keep: true)",
  "put($, top($, 2), $)",
];

function expression(random: () => number, depth: number): string {
  const pick = (list: readonly string[]): string => list[Math.floor(random() * list.length)]!;
  const inner = (): string => expression(random, depth - 1);
  const kind = random();
  if (depth === 0 || kind < 0.15) return pick(ATOMS);
  if (kind < 0.35) return `${pick(UNARY)}(${inner()})`;
  if (kind < 0.6) return `(${inner()} ${pick(BINARY)} ${inner()})`;
  if (kind < 0.75) return `(${inner()})${pick(SUFFIXES)}`;
  return pick(CALLS).replace(/\$/g, inner);
}

const MEMBERS =
  "weight w: f32[8, 5]\n weight b: f32[8]\n weight m: f32[8, 8]\n weight table: f32[10, 8]\n weight ids: " +
  "u32[3]\n weight wide: f32[3, 8, 5]";
const sourceOf = (expr: string): string =>
  `model M(live c: ratio = 50%) {\n${MEMBERS}\nforward(${INPUTS}) -> f32[] {\nr = above(s, 0.1)\nrows = take(x, ` +
  `r)\ny = ${expr}\nobserve y\n0.0\n}\n}\n`;

describe("expressions at random", () => {
  it("are accepted or told of, and run where accepted", () => {
    const random = randomNumbers(seedOf(11));
    const tried = cases(1500);
    let accepted = 0;
    for (let n = 0; n < tried; n++) {
      const expr = expression(random, 1 + Math.floor(random() * 3));
      const phase: Phase = random() < 0.2 ? "generate" : "infer";
      const { model, diagnostics } = tellSource(sourceOf(expr), phase);
      if (!model) {
        expect(diagnostics.length, expr).toBeGreaterThan(0);
        continue;
      }
      accepted++;
      try {
        const graph = lower(model);
        const { inputs, weights } = given(model);
        const used = new Set(graph.inputs.map((i) => i.name));
        const onT = model.inputs.some(
          (i) => used.has(i.name) && i.type.shape.some((s) => typeof s === "object" && s.key === "T"),
        );
        evaluate(graph, {
          inputs: new Map([...inputs].filter(([name]) => used.has(name))),
          weights,
          ...(onT ? { lengths: LENGTHS } : {}),
        });
      } catch (fault) {
        // A table may have fewer rows than the tokens given here ask for.
        if (fault instanceof InputError) continue;
        throw new Error(`${expr} in ${phase}: ${String(fault)}`, { cause: fault });
      }
    }
    expect(accepted).toBeGreaterThan(tried / 10);
  });

  it("depend on no later token in phase generate", { tags: "long" }, () => {
    const random = randomNumbers(seedOf(5));
    const tried = cases(4000);
    let compared = 0;
    for (let n = 0; n < tried; n++) {
      const expr = expression(random, 1 + Math.floor(random() * 3));
      const { model } = tellSource(sourceOf(expr), "generate");
      const dim = model?.observes[0]?.value.type.shape.findIndex((s) => isAxis(s, "T")) ?? -1;
      if (!model || dim < 0) continue;
      const [whole, prefix] = [run(model, 5), run(model, 3)];
      if (!whole || !prefix) continue;
      compared++;
      const [after, before] = [whole.shape, prefix.shape].map((shape) =>
        shape.slice(dim + 1).reduce((a, b) => a * b, 1),
      );
      prefix.data.forEach((value, flat) => {
        const [outer, token, inner] = [
          Math.floor(flat / (3 * before!)),
          Math.floor(flat / before!) % 3,
          flat % before!,
        ];
        const other = whole.data[(outer * 5 + token) * after! + inner]!;
        if (!Object.is(value, other) && !(Math.abs(value - other) < 1e-9))
          throw new Error(`${expr}: token ${token} is ${value} or, with more tokens behind it, ${other}`);
      });
    }
    expect(compared).toBeGreaterThan(tried / 40);
  });
});

const isAxis = (size: Value["type"]["shape"][number] | undefined, name: string): boolean =>
  typeof size === "object" && size.key === name;

/** The expression's value on the first tokens of each sequence; null where an input is out of range. */
function run(model: Model, tokens: number): Tensor | null {
  const graph = lower(model);
  const { inputs, weights } = given(model);
  const used = new Set(graph.inputs.map((i) => i.name));
  const cut = new Map(
    model.inputs
      .filter((i) => used.has(i.name))
      .map(({ name, type }) => {
        const { shape, data } = inputs.get(name)!;
        if (!isAxis(type.shape[1], "T")) return [name, { shape, data }] as const;
        const row = shape.slice(2).reduce((a, b) => a * b, 1);
        const kept = data.filter((_, i) => Math.floor(i / row) % shape[1]! < tokens);
        return [name, { shape: shape.with(1, tokens), data: kept }] as const;
      }),
  );
  try {
    return evaluate(graph, { inputs: cut, weights }).outputs.get("y") ?? null;
  } catch (fault) {
    if (fault instanceof InputError) return null;
    throw fault;
  }
}
