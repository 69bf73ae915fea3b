// Records as training data: how rows become tokens, targets and numbers, what is learned of them, and batches of them.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Table, tableToIPC, vectorFromArray } from "apache-arrow";
import { parquetWriteFile } from "hyparquet-writer";
import { afterAll, describe, expect, it } from "vitest";
import type { DataOptions, DataSettings, TrainingData } from "../../../src/tools/train/data.js";
import { openData } from "../../../src/tools/train/data-node.js";
import { trainingModel } from "../../../src/tools/train/model.js";
import type { Batch } from "../../../src/tools/train/types.js";
import { START, type DataPosition } from "../../../src/tools/train/windows.js";
import { exampleSource } from "../../compiler/autodiff/models.js";
import { scratch } from "./folder.js";

const SETTINGS: DataSettings = { batch: 2, context: 16, seed: 3, validation: 0, validationWindows: 0 };
const place = scratch();
const folder = (): string => place.path;
afterAll(place.remove);
const SFT = `
model Small(vocab: int = 256, dim: int = 8) {
  weight table: f32[vocab, dim]
  objective(tokens: u32[B, T], targets: i32[B, T]) {
    loss next = cross_entropy(table[tokens] @ transpose(table), targets)
  }
}`;

const modelOf = (text: string) =>
  trainingModel({ source: { file: "small.mod", text }, read: () => null }, { set: {} }).model.run;

let files = 0;
const written = (text: string | Uint8Array, name = "jsonl"): string => {
  const path = join(folder(), `data-${files++}.${name}`);
  writeFileSync(path, text);
  return path;
};
const lines = (rows: readonly object[]): string => written(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

async function opened(
  data: string,
  model = SFT,
  more: Partial<DataSettings> & Omit<DataOptions, "data"> = {},
): Promise<TrainingData> {
  const { batch, context, seed, validation, validationWindows, ...options } = { ...SETTINGS, ...more };
  const settings = { batch, context, seed, validation, validationWindows };
  return openData({ ...options, data, cache: join(folder(), "cache") }, modelOf(model), settings);
}

/** The first batch of an epoch, whose rows are sorted by their contents where a test names several. */
async function firstBatch(...given: Parameters<typeof opened>): Promise<Batch> {
  const data = await opened(...given);
  const { batch } = await data.next(START);
  await data.close();
  return batch;
}

const faultOf = async (...given: Parameters<typeof opened>): Promise<string> => {
  try {
    await (await opened(...given)).close();
  } catch (fault) {
    return `${(fault as Error).message}; ${(fault as { hint?: string }).hint ?? ""}`.replaceAll(folder(), "");
  }
  return "no fault";
};

const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];
const chars = (targets: ArrayLike<number>): string =>
  Array.from(targets, (t) => (t === -1 ? "_" : t === 0 ? "$" : String.fromCharCode(t))).join("");

const CHATML =
  "{% for m in messages %}{{ '<' + m.role[0] + '>' + m.content + ';' }}{% endfor %}" +
  "{% if add_generation_prompt %}<a>{% endif %}";
const template = (text: string): string => written(text, "jinja");

describe("what is learned", () => {
  it("is a completion and the end of the text, not the prompt", async () => {
    const batch = await firstBatch(lines([{ prompt: "ab", completion: "cd" }]), SFT, { batch: 1 });
    expect([...batch.inputs["tokens"]!]).toEqual([...bytes("abcd"), 0]);
    expect(chars(batch.inputs["targets"]!)).toBe("_cd$_");
    expect(batch).toMatchObject({ rows: 1, length: 5, weight: 3 });
  });

  it("is everything with learn: all", async () => {
    const batch = await firstBatch(lines([{ prompt: "ab", completion: "cd" }]), SFT, { batch: 1, learn: "all" });
    expect(chars(batch.inputs["targets"]!)).toBe("bcd$_");
  });

  it("is everything with learn: all, though a template rewrites earlier messages", async () => {
    const messages = ["q", "r", "s"].map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }));
    const rewriting = template("{% for m in messages %}{{ m.content if loop.last else '…' }}{% endfor %}");
    const data = lines([{ messages }]);
    expect(await faultOf(data, SFT, { chatTemplate: rewriting })).toMatch(/learn everything: --learn all/);
    const batch = await firstBatch(data, SFT, { batch: 1, chatTemplate: rewriting, learn: "all" });
    expect([...batch.inputs["targets"]!]).toEqual([...bytes("……s").slice(1), -1]);
  });

  it("is what a template without marks adds to the messages before an answer", async () => {
    const messages = [
      { role: "user", content: "q" },
      { role: "assistant", content: "r" },
      { role: "user", content: "s" },
      { role: "assistant", content: "t" },
    ];
    const batch = await firstBatch(lines([{ messages }]), SFT, {
      batch: 1,
      context: 32,
      chatTemplate: template(CHATML),
    });
    expect(chars(batch.inputs["tokens"]!)).toBe("<u>q;<a>r;<u>s;<a>t;");
    expect(chars(batch.inputs["targets"]!)).toBe("_______r;________t;_");
  });

  it("is what a template marks with generation", async () => {
    const marked =
      "{% for m in messages %}{{ '<' + m.role[0] + '>' }}{% if m.role == 'assistant' %}\n" +
      "  {%- generation -%}\n  {{ m.content }}\n  {%- endgeneration -%}\n" +
      "{% else %}{{ m.content }}{% endif %};{% endfor %}";
    const messages = [
      { role: "user", content: "q" },
      { role: "assistant", content: "rr" },
    ];
    const batch = await firstBatch(lines([{ messages }]), SFT, { batch: 1, chatTemplate: template(marked) });
    expect(chars(batch.inputs["tokens"]!)).toBe("<u>q;<a>rr;");
    expect(chars(batch.inputs["targets"]!)).toBe("_______rr__");
  });

  it("is refused if the template rewrites earlier messages", async () => {
    const rewriting = "{% for m in messages %}{{ loop.last ~ m.content }}{% endfor %}";
    const messages = [
      { role: "user", content: "q" },
      { role: "assistant", content: "r" },
      { role: "user", content: "s" },
    ];
    expect(await faultOf(lines([{ messages }]), SFT, { chatTemplate: template(rewriting) })).toMatch(
      /jsonl:1: the chat template writes message 1, but changes it when more messages follow; .*--learn all/,
    );
  });

  it("needs a chat template and an answer", async () => {
    const data = lines([{ messages: [{ role: "user", content: "q" }] }]);
    expect(await faultOf(data)).toMatch(/messages need a chat template, .*--chat-template/);
    expect(await faultOf(data, SFT, { chatTemplate: template(CHATML) })).toMatch(
      /the messages have no answer to learn/,
    );
  });

  it("are the targets of a row if it has some", async () => {
    const batch = await firstBatch(lines([{ tokens: [5, 6, 7], targets: [-1, 9, -1] }]), SFT, { batch: 1 });
    expect([...batch.inputs["targets"]!]).toEqual([-1, 9, -1]);
    expect(batch.weight).toBe(1);
  });

  it("leaves out records whose answers the context cuts off, and says so", async () => {
    const data = lines([
      { prompt: "a".repeat(20), completion: "b" },
      { prompt: "c", completion: "d" },
    ]);
    const found = await opened(data);
    expect(found.counts).toEqual({ unit: "record", training: 1, validation: 0 });
    expect(found.notes).toEqual(["1 of 2 records have nothing to learn within 16 tokens and were left out"]);
    await found.close();
    const long = lines([{ prompt: "a".repeat(20), completion: "b" }]);
    expect(await faultOf(long)).toMatch(/has no record with anything to learn/);
  });
});

describe("batches", () => {
  const rows = ["a", "bb", "ccc", "dddd", "eeeee"].map((completion) => ({ prompt: "", completion }));

  it("pad rows to the longest and give their lengths", async () => {
    const data = await opened(lines(rows), SFT, { batch: 5 });
    const { batch } = await data.next(START);
    const sorted = [...batch.lengths!].sort((a, b) => a - b);
    expect(sorted).toEqual([2, 3, 4, 5, 6]);
    expect(batch.length).toBe(6);
    for (let b = 0; b < 5; b++) {
      const targets = chars(batch.inputs["targets"]!.subarray(6 * b, 6 * b + 6));
      expect(targets).toMatch(/^(\w*)\$_+$/);
    }
    await data.close();
  });

  it("read every record once an epoch, in an order that the seed gives", async () => {
    const orders = await Promise.all(
      [3, 3, 4].map(async (seed) => {
        const data = await opened(lines(rows), SFT, { batch: 1, seed });
        const seen: string[] = [];
        let at: DataPosition = START;
        for (let i = 0; i < 10; i++) {
          const { batch, next } = await data.next(at);
          seen.push(chars(batch.inputs["tokens"]!));
          at = next;
        }
        await data.close();
        expect(seen.slice(0, 5).sort()).toEqual(seen.slice(5).sort());
        expect(new Set(seen.slice(0, 5)).size).toBe(5);
        return seen.join(" ");
      }),
    );
    expect(orders[0]).toBe(orders[1]);
    expect(orders[0]).not.toBe(orders[2]);
  });

  it("pack records up to the context, with their numbers", async () => {
    const model = SFT.replace("targets: i32[B, T])", "targets: i32[B, T], document: u32[B, T])").replace(
      "table[tokens]",
      "table[tokens + document]",
    );
    const data = await opened(lines(rows), model, { batch: 2, context: 10, pack: true });
    let at: DataPosition = START;
    const seen: string[] = [];
    for (let i = 0; i < 2; i++) {
      const { batch, next } = await data.next(at);
      at = next;
      for (let b = 0; b < batch.rows; b++) {
        const length = batch.lengths?.[b] ?? batch.length;
        expect(length).toBeLessThanOrEqual(10);
        const from = b * batch.length;
        const [tokens, documents] = [batch.inputs["tokens"]!, batch.inputs["document"]!].map((v) =>
          v.subarray(from, from + length),
        );
        // The end of each record ends its number.
        let number = 0;
        for (let t = 0; t < length; t++) {
          expect(documents![t]).toBe(number);
          if (tokens![t] === 0) number++;
        }
        seen.push(chars(tokens!));
      }
    }
    const records = seen.join("").split("$").slice(0, 5).sort();
    expect(records).toEqual(["a", "bb", "ccc", "dddd", "eeeee"]);
    await data.close();
  });

  it("hold the last share of the records out", async () => {
    const data = await opened(lines(rows), SFT, { validation: 0.4, batch: 5 });
    const held: string[] = [];
    for await (const batch of data.validation!()) held.push(chars(batch.inputs["tokens"]!));
    expect(held).toEqual(["dddd$$eeeee$"]);
    expect(data.counts).toEqual({ unit: "record", training: 3, validation: 2 });
    await data.close();
  });
});

describe("columns", () => {
  it("fill preferences by name, with a shared prompt and constant log-probabilities", async () => {
    const row = { prompt: "p", chosen: "yy", rejected: "n", reference_chosen: -1.5, reference_rejected: -2 };
    const { inputs, axes } = await firstBatch(lines([row]), exampleSource("objectives/dpo.mod"), { batch: 1 });
    expect(axes).toEqual({ T: { length: 4 }, S: { length: 3 } });
    expect(chars(inputs["chosen_targets"]!)).toBe("yy$_");
    expect(chars(inputs["rejected_targets"]!)).toBe("n$_");
    expect([...inputs["reference_chosen"]!, ...inputs["reference_rejected"]!]).toEqual([-1.5, -2]);
  });

  it("fill numbers for each token, or for each target", async () => {
    const model = exampleSource("objectives/grpo.mod");
    const row = { tokens: [1, 2, 3, 4], targets: [-1, 3, 4, -1], advantage: 0.5 };
    const each = await firstBatch(lines([{ ...row, old: [0, -1, -2, 0] }]), model, { batch: 1 });
    const ofTargets = await firstBatch(lines([{ ...row, old: [-1, -2] }]), model, { batch: 1 });
    expect([...each.inputs["old"]!]).toEqual([0, -1, -2, 0]);
    expect([...ofTargets.inputs["old"]!]).toEqual([0, -1, -2, 0]);
    for (const old of [[1], [1, 2, 3]])
      expect(await faultOf(lines([{ ...row, old }]), model)).toMatch(
        `old has ${old.length} values, the record has 4 tokens, 2 of them targets`,
      );
    const cut = await firstBatch(lines([{ ...row, old: [-1, -2] }]), model, { batch: 1, context: 2 });
    expect([...cut.inputs["old"]!]).toEqual([0, -1]);
  });

  it("fill labels by number or by name", async () => {
    const model = exampleSource("objectives/classify.mod");
    const labels = { labels: ["bad", "fine", "good"] };
    const batch = await firstBatch(lines([{ tokens: "abc", labels: "good" }]), model, { batch: 1, labels });
    expect([...batch.inputs["labels"]!]).toEqual([2]);
    const data = lines([{ tokens: "abc", labels: "best" }]);
    expect(await faultOf(data, model, { labels })).toMatch(
      /:1: labels is "best", which is no label; the labels are bad, fine, good/,
    );
    expect(await faultOf(data, model)).toMatch(/which is no number; name the labels: --labels labels=first,second/);
  });

  it("are read from Parquet and Arrow as from JSONL", async () => {
    const rows = [
      { prompt: "ab", completion: "c" },
      { prompt: "d", completion: "ef" },
    ];
    const parquet = join(folder(), "rows.parquet");
    parquetWriteFile({
      filename: parquet,
      columnData: [
        { name: "prompt", data: rows.map((r) => r.prompt), type: "STRING" },
        { name: "completion", data: rows.map((r) => r.completion), type: "STRING" },
        { name: "other", data: [1n, 2n], type: "INT64" },
      ],
      rowGroupSize: 1,
    });
    const table = new Table({
      prompt: vectorFromArray(rows.map((r) => r.prompt)),
      completion: vectorFromArray(rows.map((r) => r.completion)),
    });
    const found = await Promise.all(
      [
        lines(rows),
        parquet,
        written(tableToIPC(table, "file"), "arrow"),
        written(tableToIPC(table, "stream"), "arrow"),
      ].map((data) => firstBatch(data, SFT, { batch: 2 })),
    );
    for (const batch of found) expect(batch).toEqual(found[0]);
  });

  it("of token numbers are read from Parquet's lists and 64-bit integers", async () => {
    const parquet = join(folder(), "tokens.parquet");
    const columnData = [{ name: "tokens", data: [[1, 2, 3]], type: "JSON" as const }];
    parquetWriteFile({ filename: parquet, columnData });
    const table = new Table({ tokens: vectorFromArray([[1n, 2n, 3n]]) });
    for (const data of [parquet, written(tableToIPC(table, "file"), "arrow")]) {
      const batch = await firstBatch(data, SFT, { batch: 1 });
      expect([...batch.inputs["tokens"]!]).toEqual([1, 2, 3]);
      expect([...batch.inputs["targets"]!]).toEqual([2, 3, -1]);
    }
  });
});

describe("faults name the place", () => {
  it.each([
    ["a line that is no JSON", '{"prompt": "a", "completion": "b"}\n{"prompt": }\n', /jsonl:2: the line is not JSON/],
    [
      "a missing column",
      '{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\n',
      /jsonl:2: there is no column tokens, or .*; the columns are prompt/,
    ],
    ["a token that is none", '{"tokens": [1, -2]}\n', /jsonl:1: tokens contains -2: it must hold whole numbers from 0/],
    ["no tokens", '{"tokens": []}\n', /jsonl:1: tokens has no tokens/],
    ["a token beyond the vocabulary", '{"tokens": [1, 300]}\n', /has the token 300, but the model has 256 tokens/],
    [
      "targets of another length",
      '{"tokens": [1, 2], "targets": [1]}\n',
      /jsonl:1: targets has 1 values, the text has 2 tokens/,
    ],
  ])("%s", async (_, text, message) => {
    expect(await faultOf(written(text))).toMatch(message);
  });

  it("of a broken Parquet or Arrow file", async () => {
    expect(await faultOf(written("PAR1 nothing PAR1", "parquet"))).toMatch(/cannot be read as Parquet: /);
    expect(await faultOf(written("ARROW1\0\0 nothing", "arrow"))).toMatch(/cannot be read as Arrow: |has no record/);
  });

  it("and options that have no effect are refused", async () => {
    expect(await faultOf(written("text", "txt"), SFT, { learn: "all" })).toMatch(/learn has no effect: .* is a text/);
    expect(await faultOf(written("text", "txt"), exampleSource("objectives/reward.mod"))).toMatch(
      /is a text, and the objective takes records/,
    );
    const data = lines([{ tokens: "abc", labels: 1 }]);
    expect(await faultOf(data, exampleSource("objectives/classify.mod"), { pack: true })).toMatch(
      /cannot be packed: labels has one value/,
    );
    const several = await faultOf(data, exampleSource("objectives/reward.mod"), { pack: true });
    expect(several).toMatch(/cannot be packed: each has several texts, chosen and rejected/);
    expect(await faultOf(data, exampleSource("objectives/classify.mod"), { labels: { label: ["a"] } })).toMatch(
      /--labels names label/,
    );
    const unsigned = SFT.replace("targets: i32", "targets: u32");
    expect(await faultOf(lines([{ prompt: "a", completion: "b" }]), unsigned)).toMatch(
      /targets cannot say that a token has no target; declare targets: i32/,
    );
  });
});
