// Errors about inputs and parameters hint at what a new user should write instead.
import { afterAll, describe, expect, it } from "vitest";
import { modc, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const LONG = `@${folder.file("long.json", JSON.stringify([Array.from({ length: 300 }, () => 1)]))}`;
const MOBY = "examples/moby.mod";
const TRANSLATE = "examples/inputs/translate.mod";
const source = (rows: string): readonly string[] => ["--input", `source=${rows}`];
const tokens = (rows: string): readonly string[] => ["--input", `tokens=${rows}`];

describe("inputs", () => {
  it.each([
    [
      ["run", ...source("[1,2]"), ...tokens("[[1]]")],
      "input source has shape [2]",
      "put one sequence in a list: shape [1, 2]",
    ],
    [["run", ...source("[[1],[2]]"), ...tokens("[[1]]")], "B is 2 in source, but 1 in tokens", "for each sequence"],
    [["run", ...source(LONG), ...tokens("[[1]]")], "S is 300 in source: the model allows 256", "source_context=300"],
    [
      ["run", ...source("[[1],[2]]"), ...tokens("[[1],[2]]"), "--lengths", "S=1"],
      "S needs an entry for each sequence, 2 in all, not 1",
      "",
    ],
    [["generate", ...source(LONG), "--prompt", "a"], "S is 300 in source: the model allows", "source_context=300"],
    [["generate", ...source("[[1],[2]]"), "--prompt", "a"], "B is 1 in the prompts, but 2 in source", "each sequence"],
    [
      ["train", "--data", "examples/moby-dick.txt", "-o", "none"],
      "is a text, and the objective takes",
      "source, tokens",
    ],
    [["bench"], "bench measures models of tokens alone", "`modc profile`"],
    [["plan", "--at", "S=300"], "--at S=300: the model allows 256", "--set source_context=300 allows it"],
    [["plan", "--length", "S=300"], '--length "S=300" is not a whole number', "along a named axis: --at S=300"],
  ])("%j", async ([command, ...args], message, hint) => {
    const { status, stderr } = await modc([command!, TRANSLATE, ...args]);
    expect([1, 2]).toContain(status);
    expect(stderr).toContain(message);
    expect(stderr).toContain(hint === "" ? "" : "\n  hint: ");
    expect(stderr).toContain(hint);
  });
});

it("generation of a model without tokens hints at commands that take it", async () => {
  const { status, stderr } = await modc(["generate", "examples/inputs/pictures.mod", "--prompt", "a"]);
  expect(status).toBe(1);
  expect(stderr).toContain("hint: `modc run --input` computes a model of any inputs");
});

describe("commands that write weights", () => {
  const file = folder.file("weights.safetensors", "");
  it.each([
    [["quantize", file, "-o", "q", "--weights-as", "q4"], `modc init model.mod --weights ${file} --weights-as q4`],
    [["quantize", MOBY, "-o", "q"], `for a .mod file, use modc init: modc init ${MOBY} --weights … --weights-as q8`],
    [["quantize", MOBY, "-o", "q", "--weights", file], "modc quantize has no --weights: it takes no weights beside"],
  ])("%j", async (args, expected) => {
    const { status, stderr } = await modc(args);
    expect([1, 2]).toContain(status);
    expect(stderr).toContain(expected);
  });
});

describe("--live of a parameter that is not live", () => {
  const hint = "give --set capacity=50%, or declare it as `live capacity`";
  it.each([
    ["run", ["--text", "a"], hint],
    ["cost", [], hint],
    ["generate", ["--prompt", "a"], hint],
    ["serve", [], hint],
    ["train", ["--data", "examples/moby-dick.txt", "-o", `${folder.path}/run`], hint],
    ["check", [], "did you mean --set capacity=50%?"],
  ])("of %s hints at --set", async (command, args, expected) => {
    const { status, stderr } = await modc([command, MOBY, ...args, "--live", "capacity=50%"]);
    expect(status).toBe(command === "check" ? 2 : 1);
    expect(stderr).toContain(expected);
  });

  it("leaves the hint out for a name that is no parameter", async () => {
    const { stderr } = await modc(["run", MOBY, "--text", "a", "--live", "heat=1"]);
    expect(stderr).toContain("the model has no live parameter heat");
    expect(stderr).not.toContain("--set");
  });
});
