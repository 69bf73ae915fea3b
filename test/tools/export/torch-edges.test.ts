// Exported folders at the edges: names that Python has for itself, no tokens, NaN, and what they refuse in a sentence.
// Skipped, and saying so, where Python has no torch.
// @module-tag long
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { folderOf } from "./folder.js";

const SCRIPT = new URL("torch/edges.py", import.meta.url);
const root = mkdtempSync(join(tmpdir(), "modc-torch-edges-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe.skipIf(!hasTorch)(`an exported folder in PyTorch${torchNote}`, { timeout: 60_000 }, () => {
  const source = readFileSync(new URL("../../../examples/moby.mod", import.meta.url), "utf8");
  let moby: string;
  beforeAll(() => {
    moby = folderOf(root, "moby", source);
  });
  const ask = async (what: string, more: object = {}): Promise<unknown> => {
    const output = join(root, what);
    return (await askTorch<unknown>(SCRIPT, [{ folder: moby, output, what, ...more }]))[0];
  };

  it("keeps inputs and values apart from parameters of its call and functions of Python", async () => {
    const inputs = ["causal", "observed", "caches"];
    const source = `model M(live share: ratio = 50%) {
  forward(${inputs.map((name) => `${name}: f32[B, T, 4]`).join(", ")}) -> f32[B, T, 4] {
    float = causal * share
    int = float * share
    str = float * (observed + caches)
    lengths = int + str
    lengths + (lengths - lengths)
  }
}`;
    const given = inputs.map((name) => `${name}_`);
    expect(await ask("names", { folder: folderOf(root, "names", source), inputs: given })).toBeLessThan(1e-12);
  });

  it("validates on the same sequences where they are no whole shares", async () => {
    const answer = (await ask("uneven")) as [number[], number[][], number[][]]; // as the script says
    const [[whole, causal, ...shared], lengths, validation] = answer;
    expect(Math.abs(shared[0]! - whole!)).toBeLessThan(1e-12);
    expect(Math.abs(shared[1]! - causal!)).toBeLessThan(1e-12);
    expect(lengths).toEqual([
      [8, 8],
      [4, 0],
    ]);
    // Ten tokens are held out, of which the last has no next: windows of eight tokens and of a single token.
    expect(validation).toEqual([[30, 38], [30]]);
  });

  it("shares out linear maps where nobody takes a route", async () => {
    const [alone, shared] = (await ask("empty_route")) as readonly (readonly number[])[]; // as the script gives them
    expect(alone!.every((x) => x > 0)).toBe(true);
    shared!.forEach((x, i) => expect(Math.abs(x - alone![i]!)).toBeLessThan(1e-12));
  });

  it("begins stages where parameters are even or it is told to, and takes no loss of a batch by parts unasked", async () => {
    const can = "layers.0, layers.1, layers.2, layers.3, layers.4, layers.5, norm";
    const order = "3 stages have 2 points, in order, where those behind the first begin";
    expect(await ask("staged")).toEqual([
      [[], [4], [3, 5], [1, 2, 3, 4, 5, 6, 7]],
      [3, 5],
      `9 stages: the model has 8 parts with parameters, embed, ${can}`,
      `no stage can begin at embed: these can: ${can}`,
      `no stage can begin at layers.6: these can: ${can}`,
      order,
      order,
      "layers.*.balance is of a whole batch: of 4 micro-batches it is another loss, as with --accumulate; " +
        "--micro-batches 1, or --batch-losses-by-part, which takes it so",
    ]);
  });

  it("refuses lengths that are none, tokens beyond the bound, also behind caches, and what is no caches", async () => {
    const none = Array.from({ length: 8 }, () => null);
    const lengths = "lengths are a tensor of one number for each of the 2 sequences";
    const beyond = (tokens: number): string =>
      `with what the caches have seen, ${tokens} tokens: a sequence has at most 8`;
    expect(await ask("bounded")).toEqual({
      sentences: [
        lengths,
        lengths,
        "lengths are from 0 to 5, the tokens of a row",
        "lengths are from 0 to 5, the tokens of a row",
        null,
        "lengths are integers, not torch.float64",
        "the input has 9 tokens: a sequence of the model has at most 8",
        "caches are what modc_torch.Caches() makes, and calls fill",
        "a step goes on with caches: mt.Caches() begins some",
        null,
        beyond(10),
        null,
        ...none,
        beyond(9),
      ],
      lengths: [
        [8, 8],
        [8, 8],
      ],
    });
  });

  it("refuses targets beyond the classes, and negative ones of u32, but where they do not count", async () => {
    expect(await ask("targets")).toEqual([
      "targets are below 8, the classes of the logits",
      "targets are not negative: the source has u32, i32 where a token may have none",
      null,
      null,
    ]);
  });

  it("fails with a sentence where an answer holds NaN", async () => {
    await expect(ask("no_number")).rejects.toThrow("Out of range float values are not JSON compliant");
  });

  it("takes shares as numbers and texts, exactly", async () => {
    expect(await ask("shares")).toEqual(["1/10", "1/3", "1", "1/8", [1, 8, 256], "1/10"]);
  });
});
