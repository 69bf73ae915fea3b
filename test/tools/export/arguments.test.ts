// Arguments of exported classes: another value makes the model that the source makes of it, or is refused. Skipped, and
// saying so, where Python has no torch.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { exported } from "./versions.js";

type Arguments = Readonly<Record<string, number>>;
type Shapes = Readonly<Record<string, readonly number[]>>;

interface Tried {
  readonly source: string;
  readonly set?: Arguments;
  /** Arguments with which Python can make the model; `refused`: arguments that it refuses. */
  readonly made: readonly Arguments[];
  readonly refused: readonly (readonly [Arguments, string])[];
}

const example = (name: string): string =>
  readFileSync(new URL(`../../../examples/${name}.mod`, import.meta.url), "utf8");

/** A model of x: f32[B, T, dim]. */
const modelOf = (parameters: string, members: string, result: string): string => `import { Linear } from "std"
model M(${parameters}) {
  ${members}
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    ${result}
  }
}`;

/** Two maps, the width between which follows from parameters. */
const between = (width: string, parameters: string): string =>
  modelOf(`dim: int = 8, ${parameters}`, `a: Linear(dim, ${width})\n  b: Linear(${width}, dim)`, "b(a(x))");

/** A list of maps, called in order. */
const listed = (member: string, parameters: string): string =>
  modelOf(`dim: int = 8, ${parameters}`, `a: [for i in 0..depth: ${member}]`, "for l in a { x = l(x) }\n    x");

const unknown = (name: string): string => `unexpected keyword argument '${name}'`;
const followed = (name: string, from: string): string => `${name} follows from ${from} in the source`;

const TRIED: Readonly<Record<string, Tried>> = {
  "heads that are as many as those of keys": {
    source: example("smollm-mod"),
    set: { dim: 16, heads: 4, kv_heads: 4, hidden: 16, vocab: 16, depth: 4 },
    made: [{ dim: 32 }, { depth: 6, every: 3 }, { depth: 3 }, { depth: 1 }, { every: 1 }, { vocab: 20, hidden: 12 }],
    refused: [
      [{ heads: 2 }, unknown("heads")],
      [{ kv_heads: 1 }, unknown("kv_heads")],
    ],
  },
  "heads that share keys": {
    source: example("smollm-mod"),
    set: { dim: 36, heads: 6, kv_heads: 2, hidden: 36, vocab: 36, depth: 4 },
    made: [{ dim: 24 }, { heads: 9, kv_heads: 3 }, { kv_heads: 3 }, { dim: 48, heads: 8, depth: 5 }],
    refused: [[{ heads: 5 }, "36 is not a multiple of 5"]],
  },
  "a width that is a quotient": {
    source: between("dim / heads", "heads: int = 2"),
    made: [{ dim: 16 }, { heads: 8 }],
    refused: [[{ heads: 3 }, "8 is not a multiple of 3"]],
  },
  "a width that is a multiple": { source: between("4 * dim", "more: int = 8"), made: [{ dim: 5 }], refused: [] },
  "a width that is a product of equal numbers": {
    source: between("a1 * a2", "a1: int = 2, a2: int = 2"),
    made: [{ a1: 3 }, { a2: 5 }, { a1: 3, a2: 7 }],
    refused: [],
  },
  "a number that is no size": {
    source: modelOf("dim: int = 8, experts: int = 4", "a: Linear(dim, dim)", "a(x) * (0.01 * experts)"),
    made: [{ dim: 4 }],
    refused: [[{ experts: 8 }, unknown("experts")]],
  },
  "a width that is rounded up": {
    source: between("ceil(dim / heads)", "heads: int = 2"),
    made: [],
    refused: [[{ dim: 9 }, followed("a_out", "dim")]],
  },
  "a width that is bounded from below": {
    source: between("max(ceil(dim / 16), 8)", "heads: int = 15").replace("dim: int = 8", "dim: int = 960"),
    made: [],
    refused: [[{ dim: 64 }, followed("a_out", "dim")]],
  },
  "a predictor that is bounded from below": {
    source: example("smollm-mod"),
    set: { dim: 960, heads: 15, kv_heads: 5, hidden: 16, vocab: 16, depth: 4 },
    made: [{ heads: 30, kv_heads: 10 }],
    refused: [[{ dim: 60 }, followed("guess_hidden", "dim")]],
  },
  "a width that is a sum": {
    source: between("dim + more", "more: int = 8"),
    made: [],
    refused: [
      [{ dim: 9 }, followed("a_out", "dim")],
      [{ more: 3 }, unknown("more")],
    ],
  },
  "a width between bounds": {
    source: between("min(rank, dim)", "rank: int = 2"),
    made: [],
    refused: [[{ rank: 16 }, unknown("rank")]],
  },
  "a width of two cases": {
    source: between("if wide > 3 then dim * wide else dim * 2", "wide: int = 2"),
    made: [],
    refused: [[{ dim: 4 }, followed("a_out", "dim")]],
  },
  "a list of equal members": {
    source: listed("Linear(dim, dim)", "depth: int = 2"),
    made: [{ depth: 5 }],
    refused: [],
  },
  "a list of which every second is another": {
    source: listed("Linear(dim, dim, bias: i % 2 == 1)", "depth: int = 4"),
    made: [{ depth: 3 }, { depth: 7 }],
    refused: [],
  },
  "a list of which the last is another": {
    source: listed("Linear(dim, dim, bias: i == depth - 1)", "depth: int = 4"),
    made: [{ depth: 3 }, { depth: 12 }],
    refused: [],
  },
  "a list of which the first two are others": {
    source: listed("Linear(dim, dim, bias: i < 2)", "depth: int = 5"),
    made: [{ dim: 4 }],
    refused: [[{ depth: 6 }, unknown("depth")]],
  },
  "lists whose members are called in turns": {
    source: modelOf(
      "dim: int = 8, depth: int = 3",
      "a: [for i in 0..depth: Linear(dim, dim)]\n  b: [for i in 0..depth: Linear(dim, dim)]",
      "for i in 0..depth { x = b[i](a[i](x)) }\n    x",
    ),
    made: [],
    refused: [[{ depth: 6 }, unknown("depth")]],
  },
};

const setOf = (given: Arguments): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)]));

/** Shapes of the weights that the source makes. */
function shapesOf(text: string, given: Arguments): Shapes {
  const { model } = check(
    { file: "model.mod", text },
    { phase: "infer", entry: "forward", set: setOf(given), read: () => null },
  );
  return Object.fromEntries((model?.weights ?? []).map(({ path, shape }) => [path, shape]));
}

const root = mkdtempSync(join(tmpdir(), "modc-arguments-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe.skipIf(!hasTorch)(`arguments of exported classes${torchNote}`, { timeout: 240_000 }, () => {
  let answers: readonly (readonly (Shapes | string)[])[];

  beforeAll(async () => {
    const jobs = Object.values(TRIED).map(({ source, set = {}, made, refused }) => {
      const { models, files } = exported(source, { set: setOf(set) });
      const folder = mkdtempSync(join(root, "model-"));
      for (const [file, text] of files) writeFileSync(join(folder, file), text);
      return { folder, model: models[0].name, tried: [{}, ...made, ...refused.map(([given]) => given)] };
    });
    answers = await askTorch(new URL("arguments.py", import.meta.url), jobs);
  }, 240_000);

  it.each(Object.entries(TRIED))("make the source's model or none: %s", (name, { source, set = {}, made, refused }) => {
    const own = answers[Object.keys(TRIED).indexOf(name)]!;
    [{}, ...made].forEach((given, i) => {
      expect(own[i], JSON.stringify(given)).toEqual(shapesOf(source, { ...set, ...given }));
    });
    refused.forEach(([given, why], i) => {
      expect(own[1 + made.length + i], JSON.stringify(given)).toContain(why);
    });
  });
});
