// Runs of exported folders: settings, data, models and checkpoints that they refuse in a sentence, and how they end.
// Skipped, and saying so, where Python has no torch.
// @module-tag long
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { folderOf } from "./folder.js";

const SCRIPT = new URL("torch/runs.py", import.meta.url);
const root = mkdtempSync(join(tmpdir(), "modc-torch-runs-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const OF_PIPELINE = "--micro-batches, --pipeline-schedule, --split-points and --batch-losses-by-part are of --pipeline";

describe.skipIf(!hasTorch)(`a run of an exported folder in PyTorch${torchNote}`, { timeout: 60_000 }, () => {
  let small: string;
  let lively: string;
  beforeAll(() => {
    const source = readFileSync(new URL("../../../examples/moby.mod", import.meta.url), "utf8");
    const set = { depth: "2", dim: "32", heads: "2" };
    small = folderOf(root, "small", source, set);
    lively = folderOf(root, "lively", source.replace("capacity: ratio", "live capacity: ratio"), set);
  });
  const ask = async (what: string, more: object = {}): Promise<unknown> => {
    const output = join(root, what);
    return (await askTorch<unknown>(SCRIPT, [{ folder: small, output, what, ...more }]))[0];
  };

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
      ["--min-lr 1", "--min-lr is 1.0: it is at most --lr, 0.001"],
      ["--schedule constant --min-lr 0", "--min-lr has no effect: it is of --schedule cosine, linear, wsd"],
      ["--decay 5", "--decay has no effect: it is of --schedule wsd"],
      ["--schedule wsd --steps 10 --warmup 5 --decay 6", "--decay is 6: it is at most the 5 steps behind the warm-up"],
      ["--seed 99999999999999999999", "--seed is 99999999999999999999: it is at most 4294967295"],
      ["--separator 256", "--separator is 256: it is a token, from 0 to 255"],
      ["--separator -1", "--separator is -1: it is a token, from 0 to 255"],
      ["--micro-batches 2", OF_PIPELINE],
      ["--split-points layers.1", OF_PIPELINE],
      ["--batch-losses-by-part", OF_PIPELINE],
      ["--pipeline 2 --pipeline-schedule 1f1b --device cpu", "--pipeline-schedule is 1f1b: on CPU it is gpipe"],
      ["--pipeline 2 --micro-batches 0", "--micro-batches is 0: it is at least 1"],
      ["--resume --validate-every 0", "--validate-every is 0: it is at least 1"],
      ["--resume --keep 0", "--keep is 0: it is at least 1"],
      ["--resume --decay 5", "--decay has no effect: it is of --schedule wsd"],
      ["--resume --weights w", "--weights has no effect: --resume takes the weights of the run"],
      ["--resume --batch 3", "--batch is 3: the run was begun with 8"],
    ];
    const words = cases.map(([given]) => given.split(" "));
    expect(await ask("settings", { words })).toEqual(cases.map(([, sentence]) => [2, `train.py: ${sentence}`]));
  });

  it("refuses values of live parameters that a run cannot have", async () => {
    const cases: readonly (readonly [words: string, sentence: string])[] = [
      ["--live depth=1", "the model has no live parameter 'depth': it has capacity"],
      ["--live capacity=1/8@5", "--live capacity=1/8@5 has steps: --live-schedule"],
      ["--live capacity=150%", "capacity is 1.5 at step 0: a ratio is from 0 to 1, others are finite"],
      ["--live capacity=nan", "capacity is nan at step 0: a ratio is from 0 to 1, others are finite"],
      ["--live capacity=1 --live-schedule capacity=1@0,0@5", "the live parameter capacity is given twice"],
      ["--live-schedule capacity=1@5,0@5", "capacity=1@5,0@5: the points of a schedule rise in step"],
      [
        "--live-schedule capacity=1/0@5",
        "capacity=1/0@5 gives no values: write capacity=12.5%, or capacity=100%@0,12.5%@50%",
      ],
      ["--resume --live capacity=50%", "--live is capacity=50%: the run was begun with"],
    ];
    const words = cases.map(([given]) => given.split(" "));
    expect(await ask("settings", { folder: lively, output: join(root, "lively-settings"), words })).toEqual(
      cases.map(([, sentence]) => [2, `train.py: ${sentence}`]),
    );
    const none = { words: [["--live", "capacity=1"]], output: join(root, "no-live") };
    expect(await ask("settings", none)).toEqual([
      [2, "train.py: the model has no live parameter 'capacity': it has none"],
    ]);
  });

  it("has the live values of a schedule, in steps, validations and what it computes, and hands them to modc", async () => {
    const points = "capacity=100%@0,25%@50%";
    expect(await ask("live", { folder: lively, points })).toEqual({
      steps: [1, 0.625, 0.25, 0.25],
      validations: [
        [0.25, true],
        [0.25, true],
      ],
      // of 16 tokens
      computed: [16, 10, 4, 4],
      settings: points,
      manifest: { capacity: 0.25 },
    });
  });

  it("ends with 2 where the devices cannot share out what was asked, with 3 where there are none", async () => {
    expect(await ask("devices")).toEqual([
      [2, "train.py: pipeline 1 x replicate 1 x tensor 2 does not come out at the 1 devices that there are"],
      [2, "train.py: a batch of 8 cannot be shared out among 3 ranks"],
      [2, "train.py: q has 2 heads of 64 columns: 3 devices cannot share them out"],
      [3, "train.py: --device is cuda: PyTorch sees no GPU"],
      [1, "train.py: other has weights of another model: embed.table is [256, 64], and [256, 32] in this folder"],
      "FSDP2 needs GPUs: on CPU give --replicate 1 or --tensor 1 alone",
    ]);
  });

  it("ends where a validation is no number, and writes none into its log", async () => {
    const end = "the validation at step 1 has a loss that is no number; there is no checkpoint";
    expect(await ask("diverged")).toEqual([1, end, ["step"]]);
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

  it("goes on with the data that a run was begun with, and with no other", async () => {
    const not = "it is not the data that the run was begun with";
    const words = [[], ["moved"], ["other"], ["begun", "--width", "2"], ["begun", "--separator", "0"]];
    expect(await ask("other_data", { words })).toEqual([
      "begun",
      "moved",
      `other has other tokens: ${not}`,
      `begun has tokens 1800000, not 3600000: ${not}`,
      `begun has separator 0, not 7: ${not}`,
      `begun has separator 0, the run has none: ${not}`,
    ]);
  });

  it("refuses what holds no tokens of the model, and says how a file of them is made", async () => {
    const made =
      "modc train makes a file of tokens from a text, beside it a .json: modc train MODEL --data TEXT --tokenizer " +
      "tokenizer.json --steps 1 -o run, then --data run/.cache/tokens-*.bin here";
    const kinds: readonly (readonly [name: string, kind: string])[] = [
      ["parquet", "a Parquet file"],
      ["npy", "a NumPy array"],
      ["pt", "a zip file, as torch.save writes"],
      ["weights", "a safetensors file"],
      ["gz", "a gzip file"],
    ];
    const files = kinds.map(([name]) => [name]);
    const refused = kinds.map(([name, kind]) => `${name} is ${kind}, and no file of tokens; ${made}`);
    const source = readFileSync(new URL("../../../examples/moby.mod", import.meta.url), "utf8");
    const folder = folderOf(root, "wide", source, { depth: "2", dim: "32", heads: "2", vocab: "512" });
    const words = [["text"], ["text", "--width", "2"], ["tokens"], ["tokens", "--width", "2"], ["known"], ...files];
    expect(await ask("no_tokens", { folder, words })).toEqual([
      `text is a text, whose bytes are not the 512 tokens of the model; ${made}`,
      `text is a text, and no file of tokens of 2 bytes each; ${made}`,
      "no tokens.json beside tokens says how many bytes a token has: give --width",
      null,
      null,
      ...refused,
    ]);
    const output = join(root, "no-tokens-of-bytes");
    expect(await ask("no_tokens", { output, words: [["text"], ["tokens"], ...files] })).toEqual([
      null,
      null,
      ...refused,
    ]);
  });

  it("trains the weights that --only names alone, and does not call best what it has not seen without a note", async () => {
    const refused = [["nothing"], ["router", "--pipeline", "2"]];
    expect(await ask("only", { refused })).toEqual({
      ended: 0,
      changed: [
        ...["down", "up"].flatMap((map) => [`layers.1.guess.${map}.bias`, `layers.1.guess.${map}.weight`]),
        "layers.1.router.weight",
      ],
      experts: "--only is a: embed.table has the weights of all experts, which learn together or not at all",
      noted: 1,
      warned: false,
      refused: [
        [2, "train.py: --only is nothing: no weight of the model is called nothing"],
        [2, "train.py: --only is router: with --pipeline all weights are trained"],
        [2, "train.py: --only is router: the run was begun with router,layers.1.*guess"],
      ],
      kept: "router,layers.1.*guess",
    });
  });

  it("goes on with a run of the same model alone, by its parameters and its shapes", async () => {
    const begun = "step is of Moby with heads=4, capacity=50%, this folder has heads=2, capacity=12.5%";
    expect(await ask("other_model")).toEqual([
      null,
      null,
      `${begun}: export it with their --set`,
      "step is of the model Other, this folder has Moby",
      "step has no embed.table of shape [256, 32], as the model of this folder",
    ]);
  });

  it("takes runs over from modc and back where model, data and steps are the same, and no others", async () => {
    const heads = "is of Moby with heads=4, this folder has heads=2: export it with their --set";
    expect(await ask("crossing")).toEqual({
      from: [
        `modc/checkpoints/step-00000002 ${heads}`,
        "modc/checkpoints/step-00000002 was trained with --save trained: train.py keeps all weights",
        "modc/checkpoints/step-00000002 was trained with --precision f16: train.py scales no loss",
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
});
