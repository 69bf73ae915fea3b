// Batches: windows of a text, the next token as each token's target, and separators between documents.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { batchAt, batchesOf, windowBatch } from "../../../src/tools/train/batches.js";
import { openCorpus, type Corpus } from "../../../src/tools/train/corpus-node.js";
import { weightOf } from "../../../src/tools/train/types.js";
import { split, START, wholeWindows } from "../../../src/tools/train/windows.js";
import { hasTorch, python, torchNote } from "../../pytorch.js";
import { scratch, text } from "./folder.js";

const folder = scratch();
afterAll(() => folder.remove());
let caches = 0;
const opening = (data: string): Promise<Corpus> => openCorpus({ data, cache: join(folder.path, `cache-${caches++}`) });

const ascii = (s: string): number[] => [...Buffer.from(s)];

describe("batches", () => {
  const inputs = { tokens: "tokens", targets: "targets", signed: false };

  it("have separators as targets, and none after a separator where targets may be negative", async () => {
    const read = async (at: number, count: number): Promise<Uint32Array> =>
      Uint32Array.from([5, 6, 0, 7, 8, 0, 9, 4, 3]).slice(at, at + count);
    const batchWith = (signed: boolean, separator: number | null) =>
      windowBatch({ offset: 0, length: 8 }, { corpus: { read, separator }, inputs: { ...inputs, signed } });
    const targetsOf = async (signed: boolean, separator: number | null): Promise<readonly number[]> =>
      Array.from((await batchWith(signed, separator)).inputs["targets"]!);
    expect(await targetsOf(true, 0)).toEqual([6, 0, -1, 8, 0, -1, 4, 3]);
    expect(await targetsOf(false, 0)).toEqual([6, 0, 7, 8, 0, 9, 4, 3]);
    expect(await targetsOf(true, null)).toEqual([6, 0, 7, 8, 0, 9, 4, 3]);
    expect([weightOf(await batchWith(true, 0)), weightOf(await batchWith(false, 0))]).toEqual([6, 8]);
  });

  it.skipIf(!hasTorch)(`have them so in an exported train.py too${torchNote}`, { tags: "long" }, () => {
    const code =
      "import sys, types; sys.path.insert(0, sys.argv[1]); import data\n" +
      "tokens = data.Tokens(sys.argv[2], 1, 0)\n" +
      "print([data.batch_of(tokens, [0], 8, signed)[1].tolist()[0] for signed in (True, False)])";
    const folderOf = fileURLToPath(new URL("../../../python/pytorch", import.meta.url));
    const file = folder.file("separated.bin", Buffer.from([5, 6, 0, 7, 8, 0, 9, 4, 3]));
    const { stdout, stderr } = spawnSync(python!, ["-c", code, folderOf, file], { encoding: "utf8" });
    expect(stdout.trim(), stderr).toBe("[[6, 0, -1, 8, 0, -1, 4, 3], [6, 0, 7, 8, 0, 9, 4, 3]]");
  });

  it("hold windows of the text, and as targets what follows each token", async () => {
    const corpus = await opening(folder.file("batches.txt", text(1000, 9)));
    const tokens = [...(await corpus.read(0, 1000))];
    const options = { corpus, inputs, split: split(1000, 8, 0.1), rows: 3, context: 8 };
    let position = START;
    for (let i = 0; i < 60; i++) {
      const { batch, next } = await batchAt(position, 5, options);
      const again = await batchAt(position, 5, options);
      expect(again).toEqual({ batch, next });
      expect([batch.rows, batch.length, Object.keys(batch.inputs)]).toEqual([3, 8, ["tokens", "targets"]]);
      for (let row = 0; row < 3; row++) {
        const x = Array.from(batch.inputs["tokens"]!.subarray(8 * row, 8 * row + 8));
        const y = Array.from(batch.inputs["targets"]!.subarray(8 * row, 8 * row + 8));
        expect(x.slice(1)).toEqual(y.slice(0, 7));
        const at = tokens.findIndex((_, j) => x.every((token, k) => token === tokens[j + k]) && tokens[j + 8] === y[7]);
        expect(at).toBeGreaterThanOrEqual(0);
        expect(at + 9).toBeLessThanOrEqual(900);
      }
      position = next;
    }
    await corpus.close();
  });

  it("in order visit every token but the first once as a target, the last batch shorter", async () => {
    const corpus = await opening(folder.file("ordered.txt", text(101, 10)));
    const tokens = [...(await corpus.read(0, 101))];
    const seen: number[] = [];
    const shapes: string[] = [];
    for await (const batch of batchesOf(wholeWindows(20, 101, 12), { corpus, inputs, rows: 3, context: 12 })) {
      seen.push(...batch.inputs["targets"]!);
      shapes.push(`${batch.rows}×${batch.length}`);
    }
    expect(seen).toEqual(tokens.slice(21));
    expect(shapes).toEqual(["3×12", "3×12", "1×8"]);
    await corpus.close();
  });

  it("have no target across the end of a document where the objective allows none", async () => {
    const corpus = await opening(folder.file("ends.jsonl", '{"text":"abc"}\n{"text":"de"}'));
    const one = async (signed: boolean): Promise<number[]> => {
      for await (const batch of batchesOf(wholeWindows(0, corpus.tokens, 8), {
        corpus,
        inputs: { ...inputs, signed },
        rows: 1,
        context: 8,
      }))
        return [...batch.inputs["targets"]!];
      return [];
    };
    expect(await one(false)).toEqual(ascii("bc\0de"));
    expect(await one(true)).toEqual([...ascii("bc\0"), -1, ...ascii("e")]);
    await corpus.close();
  });
});
