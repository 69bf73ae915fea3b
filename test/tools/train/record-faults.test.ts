// Rows that are broken in the middle of a file, and columns that are missing: one message that names the place, and a
// folder in which nothing is left.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Table, tableToIPC, vectorFromArray } from "apache-arrow";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, describe, expect, it } from "vitest";
import { DATA_KINDS, kindRun } from "./data-kinds.js";
import { scratch } from "./folder.js";
import { all, fault } from "./pretend-runs.js";

const place = scratch();
afterAll(place.remove);
const kind = DATA_KINDS.find(({ name }) => name === "JSONL records")!;
const features = DATA_KINDS.find(({ name }) => name === "features in files")!;
let runs = 0;

/** The message and hint of a run on a file; its folder must be gone. */
async function faultOf(name: string, content: string | Uint8Array, of = kind): Promise<string> {
  const output = join(place.path, `run-${runs++}`);
  const data = place.file(name, content);
  const { message, hint } = await fault(all(kindRun(of, { ...of.options, data }, output)));
  expect(existsSync(output)).toBe(false);
  return `${message}; ${hint ?? ""}`.replaceAll(`${place.path}/`, "");
}

const rows = Array.from({ length: 40 }, (_, i) => ({ prompt: `p${i}`, completion: `c${i}` }));
const lines = (change: (line: string, i: number) => string): string =>
  rows.map((row, i) => change(JSON.stringify(row), i)).join("\n");
const parquet = (columns: readonly ("prompt" | "completion")[]): Uint8Array =>
  new Uint8Array(
    parquetWriteBuffer({
      columnData: columns.map((name) => ({ name, data: rows.map((row) => row[name]), type: "STRING" as const })),
      rowGroupSize: 10,
      codec: "UNCOMPRESSED",
    }),
  );
const arrow = (columns: readonly ("prompt" | "completion")[]): Uint8Array =>
  tableToIPC(new Table(Object.fromEntries(columns.map((name) => [name, vectorFromArray(rows.map((r) => r[name]))]))));

describe("a row that is broken in the middle of a file is named:", () => {
  it.each([
    ["no JSON", (line: string) => line.slice(0, -3), /^x\.jsonl:21: the line is not JSON at column \d+: /],
    ["a list", () => "[1, 2]", /^x\.jsonl:21: the line is not a JSON object; $/],
    ["no UTF-8", () => "\u{1F40B}".slice(0, 1), null],
    ["a value of another type", () => '{"prompt": "a", "completion": 3}', /^x\.jsonl:21: prompt and completion are /],
    ["null", () => '{"prompt": null, "completion": "b"}', /^x\.jsonl:21: there is no column tokens, or text, or /],
  ] as const)("JSONL: %s", async (_, broken, message) => {
    const text = lines((line, i) => (i === 20 ? broken(line) : line));
    if (message !== null) return expect(await faultOf("x.jsonl", text)).toMatch(message);
    const bytes = Buffer.from(text.replace("\uD83D", "@"));
    bytes[bytes.indexOf("@")] = 0xff;
    expect(await faultOf("x.jsonl", bytes)).toMatch(/^x\.jsonl:21: the line is not UTF-8; $/);
  });

  it("JSONL that ends within a row", async () => {
    expect(await faultOf("x.jsonl", lines((line) => line).slice(0, -5))).toMatch(/^x\.jsonl:40: the line is not JSON/);
  });

  it("Parquet, in its third row group, and without its end", async () => {
    const bytes = parquet(["prompt", "completion"]);
    const at = Buffer.from(bytes).indexOf("p25");
    expect(at).toBeGreaterThan(0);
    const broken = bytes.slice();
    broken.fill(0xff, at - 24, at + 2);
    expect(await faultOf("x.parquet", broken)).toMatch(/^x\.parquet cannot be read as Parquet: /);
    expect(await faultOf("x.parquet", bytes.slice(0, -9))).toMatch(/^x\.parquet cannot be read as Parquet: /);
  });

  it("Arrow, in its values, and without its end", async () => {
    const bytes = arrow(["prompt", "completion"]);
    expect(await faultOf("x.arrow", bytes.slice(0, Math.floor(bytes.length * 0.6)))).toMatch(
      /^x\.arrow (cannot be read as Arrow: |is cut off|has no record)/,
    );
  });

  it("features whose file is cut short", async () => {
    const content = features.content();
    for (const [name, bytes] of Object.entries(features.beside!()))
      place.file(name, name === "features/17.safetensors" ? bytes.slice(0, -4) : bytes);
    expect(await faultOf("x.jsonl", content, features)).toMatch(
      /^x\.jsonl:18: features\/17\.safetensors: .*it is truncated/,
    );
  });
});

describe("a column that is missing is named with those there are:", () => {
  it.each([
    ["x.jsonl", lines((line, i) => (i === 20 ? '{"prompt": "a", "other": 1}' : line)), "x.jsonl:21", "prompt, other"],
    ["x.parquet", parquet(["prompt"]), "x.parquet, row 1", "prompt"],
    ["x.arrow", arrow(["completion"]), "x.arrow, row 1", "completion"],
  ] as const)("%s", async (name, content, where, columns) => {
    expect(await faultOf(name, content)).toMatch(
      new RegExp(`^${where}: there is no column tokens, or text, or .*; the columns are ${columns}$`),
    );
  });

  it("of a record's own numbers", async () => {
    const content = (features.content() as string).replaceAll(/^(.{900,}?\n\{.*?),"label":"(no|yes)"/gs, "$1");
    for (const [name, bytes] of Object.entries(features.beside!())) place.file(name, bytes);
    expect(await faultOf("x.jsonl", content, features)).toMatch(
      /^x\.jsonl:\d+: there is no column label; the columns are tokens, features$/,
    );
  });
});
