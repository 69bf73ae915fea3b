// Exported folders at the edges: names that Python has for itself, no tokens, NaN, and what they refuse in a sentence.
// Skipped, and saying so, where Python has no torch.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { askTorch, hasTorch, torchNote } from "../pytorch.js";
import { exported } from "./versions.js";

const SCRIPT = new URL("torch/edges.py", import.meta.url);
const root = mkdtempSync(join(tmpdir(), "modc-torch-edges-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const OF_PIPELINE = "--micro-batches, --pipeline-schedule, --split-points and --batch-losses-by-part are of --pipeline";

function folderOf(name: string, source: string, set: Readonly<Record<string, string>> = {}): string {
  const folder = join(root, name);
  mkdirSync(folder);
  for (const [file, text] of exported(source, { set }).files) writeFileSync(join(folder, file), text);
  return folder;
}

describe.skipIf(!hasTorch)(`an exported folder in PyTorch${torchNote}`, { timeout: 60_000 }, () => {
  const source = readFileSync(new URL("../../examples/moby.mod", import.meta.url), "utf8");
  let moby: string;
  let small: string;
  beforeAll(() => {
    moby = folderOf("moby", source);
    small = folderOf("small", source, { depth: "2", dim: "32", heads: "2" });
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
    expect(await ask("names", { folder: folderOf("names", source), inputs: given })).toBeLessThan(1e-12);
  });

  it("computes zeros of a route that nobody took", async () => {
    const each = [[2, 3], [2, 3], [2, 3], [2, 3], [2, 3], [2, 1, 1], [2, 3], [2, 3], [2], [2, 1, 3, 4], [2, 1, 3, 4]];
    expect(await ask("nothing")).toEqual([...each, ...each].map((shape) => [shape, 0]));
  });

  it("ranks NaN behind what is -inf, and before what does not exist", async () => {
    const scores = [
      ["nan", "-inf"],
      ["-inf", "nan"],
      ["nan", "1"],
      ["nan", "nan"],
      ["0", "-0.0"],
    ];
    const first = [[0], [0], [0], [0], [0]];
    const wanted = [[1], [0], [1], [0], [0]];
    expect(await ask("best", { scores })).toEqual([wanted, wanted, first]);
  });

  it("refuses settings with which a run would fail, new or resumed", async () => {
    const cases: readonly (readonly [words: string, sentence: string])[] = [
      ["--validate-every 0", "--validate-every is 0: it is at least 1"],
      ["--checkpoint-every 0", "--checkpoint-every is 0: it is at least 1"],
      ["--decay 0", "--decay is 0: it is at least 1"],
      ["--keep 0", "--keep is 0: it is at least 1"],
      ["--keep -1", "--keep is -1: it is at least 1"],
      ["--steps 0", "--steps is 0: it is at least 1"],
      ["--lr nan", "--lr is nan: it is above 0"],
      ["--validation 1", "--validation is 1.0: it is from 0 to below 1"],
      ["--schedule step", "--schedule is step: it is cosine, linear, constant or wsd"],
      ["--steps 4 --warmup 5", "--warmup is 5: it is at most --steps, 4"],
      ["--length 257", "--length is 257: it is at most 256, the most tokens that a sequence of the model has"],
      ["--micro-batches 2", OF_PIPELINE],
      ["--split-points layers.1", OF_PIPELINE],
      ["--batch-losses-by-part", OF_PIPELINE],
      ["--pipeline 2 --pipeline-schedule 1f1b --device cpu", "--pipeline-schedule is 1f1b: on CPU it is gpipe"],
      ["--pipeline 2 --micro-batches 0", "--micro-batches is 0: it is at least 1"],
      ["--resume --validate-every 0", "--validate-every is 0: it is at least 1"],
      ["--resume --keep 0", "--keep is 0: it is at least 1"],
      ["--resume --batch 3", "--batch is 3: the run was begun with 8"],
    ];
    const words = cases.map(([given]) => given.split(" "));
    expect(await ask("settings", { words })).toEqual(cases.map(([, sentence]) => [2, `train.py: ${sentence}`]));
  });

  it("goes on with as many parts of a batch as a run was begun with, where a loss is of each", async () => {
    const pipeline = ["--pipeline", "4", "--batch-losses-by-part"];
    const cases = [
      [4, []],
      [0, pipeline],
      [2, pipeline],
      [4, pipeline],
      [2, [...pipeline, "--micro-batches", "2"]],
    ];
    const refused = (now: number, begun: number): string =>
      `train.py: a batch has ${now} parts: the run was begun with ${begun}, and balance is of each part`;
    const next = "train.py: --data says which tokens are trained on";
    expect(await ask("parts", { cases })).toEqual([refused(1, 4), refused(4, 1), refused(4, 2), next, next]);
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
    // Ten tokens are held out, of which the last has no next: a window of eight, and one of one.
    expect(validation).toEqual([[30, 38], [30]]);
  });

  it("goes on with the data that a run was begun with, and with no other", async () => {
    const not = "it is not the data that the run was begun with";
    const words = [[], ["moved"], ["other"], ["begun", "--width", "2"], ["begun", "--separator", "0"]];
    expect(await ask("other_data", { words })).toEqual([
      "begun",
      "moved",
      `other has other tokens: ${not}`,
      `begun has tokens 1800000, not 3600000: ${not}`,
      `begun has separator 0, not 7: ${not}`,
    ]);
  });

  it("goes on with a run of the same model alone, by its parameters and its shapes", async () => {
    const begun = "step is of Moby with heads=4, capacity=50%, this folder has heads=2, capacity=12.5%";
    expect(await ask("other_model", { folder: small })).toEqual([
      null,
      null,
      `${begun}: export it with their --set`,
      "step is of the model Other, this folder has Moby",
      "step has no embed.table of shape [256, 32], as the model of this folder",
    ]);
  });

  it("takes runs over from modc and back where model, data and steps are the same, and no others", async () => {
    const heads = "is of Moby with heads=4, this folder has heads=2: export it with their --set";
    expect(await ask("crossing", { folder: small })).toEqual({
      from: [
        `modc/checkpoints/step-00000002 ${heads}`,
        "modc/checkpoints/step-00000002 was trained with --only router,guess: train.py trains all weights",
        "alone holds another run: give a new folder",
        null,
        null,
        "there has done 5 steps already, modc/checkpoints/step-00000002 2",
      ],
      data: [null, "other has other tokens: it is not the data that the run was begun with"],
      to: [
        "alone/checkpoints/step-00000005 did not begin with modc train: `from-modc` takes a run over",
        `modc/checkpoints/step-00000002 ${heads}`,
        ...[0, 0].map(
          () => "there/checkpoints/step-00000005 was trained on other data than modc/checkpoints/step-00000002",
        ),
        null,
      ],
      status: [0, 2, 2],
    });
  });

  it("evaluates in the type in which it trains", async () => {
    expect(await ask("evaluated")).toEqual([0, 1]);
  });

  it("draws other numbers on each rank and from each step on", async () => {
    expect(new Set((await ask("seeds")) as readonly number[]).size).toBe(6); // as the script gives them
  });

  it("begins a checkpoint anew where an interrupted one lies", async () => {
    expect(await ask("emptied")).toEqual([]);
  });

  it("shares out whole heads alone", async () => {
    expect(await ask("shared")).toEqual([
      "q has 2 heads of 64 columns: 4 devices cannot share them out",
      "up has 6 columns: 4 devices cannot share them out",
      "o has 2 heads of 64 rows: 4 devices cannot share them out",
    ]);
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

  it("fails with a sentence where an answer holds NaN", async () => {
    await expect(ask("no_number")).rejects.toThrow("Out of range float values are not JSON compliant");
  });

  it("takes shares as numbers and texts, exactly", async () => {
    expect(await ask("shares")).toEqual(["1/10", "1/3", "1", "1/8", [1, 8, 256], "1/10"]);
  });
});
