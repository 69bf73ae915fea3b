// Weights of several files: each block's come from a file of its own, by the names of the model that stands there.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import { closing, openModel } from "../../src/models/open-node.js";
import { initialValues, readWeight, type BlockWeights, type Words } from "../../src/runtime/index.js";
import { saveWeights } from "../../src/runtime/node.js";
import { run } from "../tools/cli/in-process.js";
import { temporaryFolder } from "../tools/cli/spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
const place = (name: string): string => join(temporary.path, name);

const INNER = `import { Linear } from "std"
model Inner(dim: int = 4, wide: bool = false) {
  map: Linear(dim, dim, bias: false)
  if wide { more: Linear(dim, dim, bias: false) }
  names { "map.weight" = "w" or "w.copy"; "more.weight" = "more"; ignore "seen.{i}" }
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { map(x) }
}
`;
temporary.file("inner.mod", INNER);
const PAIR = `import { Linear } from "std"
import { Inner } from "./inner.mod"
model Pair() {
  teacher: Inner()
  student: Linear(4, 4)
  last: Linear(4, 4, bias: false)
  names { "teacher.map.weight" = "outer" }
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { last(student(teacher(x))) }
}
`;
const pair = temporary.file("pair.mod", PAIR);
const { program } = compile(PAIR, { file: pair, read: () => INNER });

/** Writes a file of tensors under these keys, each with the values of that path in the model. */
const write = (name: string, seed: number, tensors: Readonly<Record<string, string>>): Promise<void> =>
  saveWeights(
    place(name),
    {
      weights: Object.entries(tensors).map(([key, path]) => ({
        ...(program!.weights.find((weight) => weight.path === path) ?? program!.weights[0]!),
        keys: [key],
      })),
    },
    (weight) => initialValues({ ...weight, path: tensors[weight.keys[0]!]! }, seed),
  );
const STUDENT = { weight: "student.weight", bias: "student.bias" };

beforeAll(async () => {
  await write("teacher.safetensors", 1, { w: "teacher.map.weight", "w.copy": "teacher.map.weight", "seen.0": "x" });
  await write("unequal.safetensors", 1, { w: "teacher.map.weight", "w.copy": "other" });
  await write("strange.safetensors", 1, { w: "teacher.map.weight", strange: "x" });
  await write("student.safetensors", 2, STUDENT);
  await write("last.safetensors", 3, { weight: "last.weight" });
});

const opened = <T>(weights: BlockWeights, use: Parameters<typeof closing<T>>[1]): Promise<T> =>
  openModel(pair, { weights }).then((model) => closing(model, use));
const inFiles = (names: Readonly<Record<string, string>>): BlockWeights =>
  Object.fromEntries(Object.entries(names).map(([block, name]) => [block, place(`${name}.safetensors`)]));
const read = (names: Readonly<Record<string, string>>): Promise<Readonly<Record<string, Words>>> =>
  opened(inFiles(names), async (model) => {
    const source = await model.weights!.source();
    const matched = source.match(program!);
    const values: Record<string, Words> = {};
    for (const [weight, keys] of matched) values[weight.path] = await readWeight(weight, keys, source);
    return values;
  });
const ALL = { teacher: "teacher", student: "student", last: "last" };

describe("weights of several files", () => {
  it("are read by the names of the model that stands there, or by paths below the block", async () => {
    const values = await read(ALL);
    const seeds: Readonly<Record<string, number>> = { teacher: 1, student: 2, last: 3 };
    expect(Object.keys(values)).toEqual(["teacher.map.weight", "student.weight", "student.bias", "last.weight"]);
    for (const weight of program!.weights)
      expect(values[weight.path]).toEqual(initialValues(weight, seeds[weight.path.split(".")[0]!]!));
  });

  it.each([
    [{ ...ALL, teach: "teacher" }, 'weights are given for "teach", which is no block of Pair'],
    [{ ...ALL, "last.weight": "last" }, 'weights are given for "last.weight", which is no block of Pair'],
    [{ ...ALL, "teacher.map": "last" }, "the weights of teacher.map are given twice: teacher.map is inside teacher"],
    [{ teacher: "teacher", student: "student" }, 'missing: "last.weight", f32[4, 4]'],
    [{ ...ALL, teacher: "strange" }, 'strange.safetensors does not fit the model:\n  unexpected: "strange"'],
    [{ ...ALL, student: "last" }, 'missing: "student.bias", f32[4]'],
    [{ ...ALL, teacher: "unequal" }, '"w" and "w.copy" are one weight, but differ'],
    [{}, "weights are given by block, but for no block"],
  ])("of %j are an error", async (names, message) => {
    await expect(read(names as Readonly<Record<string, string>>)).rejects.toThrow(message);
  });

  it("cannot be downloads or functions", async () => {
    await expect(opened({ teacher: "https://example.org/w" }, () => null)).rejects.toThrow(
      "the weights of teacher are not in a file of this machine",
    );
  });
});

describe("--weights", () => {
  const words = (...weights: readonly string[]): readonly string[] => [
    "init",
    pair,
    "-o",
    place("out.safetensors"),
    "--paths",
    ...weights.flatMap((one) => ["--weights", one]),
  ];
  const [teacher, student, last] = Object.entries(inFiles(ALL)).map(
    ([block, path]) => `${block}=${path as string}`,
  ) as [string, string, string];

  it("names a file for each block", async () => {
    expect(await run(words(teacher, student, last))).toMatchObject({ status: 0 });
    await openModel(pair, { weights: place("out.safetensors") }).then((model) =>
      closing(model, async ({ weights }) => {
        const source = await weights!.source();
        const weight = program!.weights[1]!;
        expect(await readWeight(weight, source.match(program!).get(weight)!, source)).toEqual(initialValues(weight, 2));
      }),
    );
  });

  it.each([
    [[teacher, teacher], "--weights sets teacher twice"],
    [[teacher, place("a")], "--weights is given twice"],
    [[place("a"), place("b")], "--weights is given twice"],
    [["teacher="], "--weights teacher= names no path"],
  ])("%j is an error", async (weights, message) => {
    const { status, stderr } = await run(words(...weights));
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });
});
