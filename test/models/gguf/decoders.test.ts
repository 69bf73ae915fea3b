// Decoders in GGUF files, written by an independent script, beside the folders that they were made of: the same model
// text, the same weights bit for bit; what no decoder of modc's is, refused by name.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkpointConfig } from "../../../src/models/families/folder-node.js";
import { openModel } from "../../../src/models/open-node.js";
import { ggufConfig } from "../../../src/models/families/gguf-config.js";
import { readHeader, type GgufHeader } from "../../../src/runtime/weights/gguf/header.js";
import { ModcError, readGguf } from "../../../src/runtime/index.js";
import { openWeights } from "../../../src/runtime/node.js";
import { fromBytes } from "../../../src/runtime/weights/formats/convert.js";
import { ggufTokenizer } from "../../../src/models/tokenizer/gguf.js";
import { VARIANTS, writeFolder, type Config, type Variant } from "../families/folders.js";
import { smallGguf } from "./small.js";
import { f32, file, key, list, tensor, text, textKey, u32, u8 } from "./files.js";
import { random } from "../../random.js";
import { cases, seedOf } from "../../soak.js";
import { hasPython, pythonNote, writeGguf, type GgufJob } from "./python.js";

const root = mkdtempSync(join(tmpdir(), "modc-gguf-decoders-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Those that a GGUF file can say: windows, other activations, and factors on attention are no keys of theirs. */
const SAID: readonly Variant[] = VARIANTS.filter(({ name }) => !/windows? |window$|by layer types/.test(name)).map(
  (variant) => {
    const { rope_parameters: rope, ...config } = variant.config;
    const { mscale: _, mscale_all_dim: __, ...said } = (rope ?? {}) as Config; // an object, where there is one
    return {
      ...variant,
      config: { ...config, hidden_act: "silu", ...(rope === undefined ? {} : { rope_parameters: said }) },
    };
  },
);

/** Whether bytes of two types are the same f32, bit for bit. */
function sameFloats(a: Uint8Array, from: string, b: Uint8Array, other: string): boolean {
  const [x, y] = [fromBytes(a, from, "f32"), fromBytes(b, other, "f32")] as [Float32Array, Float32Array];
  return x.length === y.length && x.every((value, i) => Object.is(value, y[i]));
}

describe.skipIf(!hasPython)(`a decoder in a GGUF file${pythonNote}`, () => {
  const folderOf = (i: number): string => join(root, String(i));
  const fileOf = (i: number): string => join(root, `${i}.gguf`);
  beforeAll(async () => {
    const jobs = SAID.map((variant, i): GgufJob => {
      writeFolder(folderOf(i), variant, 40 + i);
      return { folder: folderOf(i), output: fileOf(i), type: variant.dtype };
    });
    await writeGguf(jobs);
  });

  it("is one of each family", () =>
    expect(new Set(SAID.map(({ config }) => config["model_type"]))).toEqual(
      new Set(["llama", "mistral", "qwen2", "qwen3"]),
    ));

  it.each(SAID.map(({ name }, i) => [name, i] as const))("%s: has the text of its folder", async (_, i) => {
    const model = await openModel(fileOf(i));
    const [folder, gguf] = [checkpointConfig(folderOf(i)), model.describe()!];
    // Llama 3's factors are f32 in the file. Mistral's are files of llama.
    const { frequencies, ...rotary } = gguf.rotation!.main;
    const expected = folder.rotation!.main.frequencies;
    expect(frequencies?.length).toBe(expected?.length);
    for (const [at, frequency] of (frequencies ?? []).entries())
      expect(Math.abs(frequency / expected![at]! - 1)).toBeLessThan(1e-7);
    const { scaling } = folder.rotation!.main;
    const own = scaling?.startsWith("llama3") === true ? "the factors in rope_freqs.weight" : scaling;
    const main = { ...rotary, frequencies: expected };
    expect({ ...gguf, rotation: { ...gguf.rotation, main } }).toEqual({
      ...folder,
      origin: "gguf",
      family: expect.objectContaining({
        type: folder.family.type === "mistral" ? "llama" : folder.family.type,
      }) as unknown,
      context: folder.context,
      rotation: { ...folder.rotation, main: { ...folder.rotation!.main, scaling: own } },
    });
    expect(model.source.text).toContain("as its GGUF file describes it");
    await model.close();
  });

  it.each(SAID.map(({ name }, i) => [name, i] as const))("%s: has the weights of its folder", async (_, i) => {
    const [folder, gguf] = [await openWeights(folderOf(i)), await openWeights(fileOf(i))];
    const inMemory = readGguf(readFileSync(fileOf(i)));
    expect([...gguf.tensors.keys()].sort()).toEqual([...folder.tensors.keys()].sort());
    for (const [name, { shape, dtype }] of folder.tensors) {
      const found = gguf.tensors.get(name)!;
      expect(found.shape).toEqual(shape);
      if (shape.length > 1) expect(found.dtype).toBe(dtype);
      const values = await gguf.read(name);
      expect(sameFloats(values, found.dtype, await folder.read(name), dtype), name).toBe(true);
      expect(Buffer.from(await inMemory.read(name)).equals(values), name).toBe(true);
    }
    await folder.close();
    await gguf.close();
  });
});

const [U32, F32, BOOL, ARRAY, STRING] = [4, 6, 7, 9, 8];
const number = (name: string, value: number): Uint8Array => key(name, U32, u32(value));
const USUAL: Readonly<Record<string, Uint8Array>> = {
  architecture: textKey("general.architecture", "llama"),
  context: number("llama.context_length", 64),
  dim: number("llama.embedding_length", 32),
  depth: number("llama.block_count", 1),
  hidden: number("llama.feed_forward_length", 32),
  heads: number("llama.attention.head_count", 4),
  eps: key("llama.attention.layer_norm_rms_epsilon", F32, f32(1e-5)),
};
const EMBEDDING = tensor("token_embd.weight", [32, 6]);
const LAYER = tensor("blk.0.attn_norm.weight", [32], 0, 768);

/** A header with the usual keys, changed and extended by `more`; null leaves one out. */
const headerOf = (
  more: Readonly<Record<string, Uint8Array | null>>,
  tensors = [EMBEDDING, LAYER],
  data = 4096,
): GgufHeader => {
  const keys = Object.values({ ...USUAL, ...more }).filter((one) => one !== null);
  const bytes = file({ keys, tensors, data });
  return readHeader((at, length) => bytes.subarray(at, at + length), bytes.length, "f.gguf");
};
const factors = (...values: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

describe("a GGUF file that modc does not read", () => {
  it.each([
    ["no architecture", { architecture: null }, /f\.gguf has no general\.architecture/],
    [
      "another architecture",
      { architecture: textKey("general.architecture", "mamba") },
      /general\.architecture is "mamba", modc reads llama, qwen2, qwen3/,
    ],
    [
      "an architecture that is a number",
      { architecture: number("general.architecture", 3) },
      /general\.architecture is 3/,
    ],
    ["no sizes", { dim: null }, /f\.gguf has no llama\.embedding_length/],
    [
      "a size that is a text",
      { dim: textKey("llama.embedding_length", "32") },
      /llama\.embedding_length is "32": it must be a whole number/,
    ],
    [
      "a size of each layer",
      { hidden: key("llama.feed_forward_length", ARRAY, list(U32, 2, u32(1), u32(2))) },
      /llama\.feed_forward_length is \[1,2\]: it must be a whole number/,
    ],
    [
      "heads of no whole width",
      { heads: number("llama.attention.head_count", 5) },
      /llama\.attention\.head_count is 5: it must divide embedding_length, 32/,
    ],
    ["heads of no pairs", { heads: number("llama.attention.head_count", 32) }, /heads of width 1 have no pairs/],
    [
      "keys that queries do not share",
      { kv: number("llama.attention.head_count_kv", 3) },
      /head_count_kv is 3: it must divide/,
    ],
    [
      "values of another width",
      { k: number("llama.attention.key_length", 8), v: number("llama.attention.value_length", 16) },
      /value_length is 16: attention\.key_length is 8/,
    ],
    [
      "heads that are rotated in part",
      { k: number("llama.attention.key_length", 8), r: number("llama.rope.dimension_count", 4) },
      /rope\.dimension_count is 4: attention\.key_length is 8/,
    ],
    [
      "layers that are not there",
      { depth: number("llama.block_count", 0xffffffff) },
      /llama\.block_count is 4294967295: the file has tensors of 1 layer$/,
    ],
    [
      "heads wider than any",
      { k: number("llama.attention.key_length", 2 ** 31) },
      /head_dim is 2147483648: modc reads heads of a width up to 65536/,
    ],
    ["experts", { experts: number("llama.expert_count", 8) }, /llama\.expert_count is 8: modc does not know this key/],
    [
      "an unknown key",
      { scale: key("llama.logit_scale", F32, f32(0.5)) },
      /llama\.logit_scale is 0\.5: modc does not know this key/,
    ],
    [
      "another scaling",
      { s: textKey("llama.rope.scaling.type", "longrope"), f: key("llama.rope.scaling.factor", F32, f32(4)) },
      /scaling\.type is "longrope": modc knows none, linear, yarn/,
    ],
    [
      "a scaling without a factor",
      { s: textKey("llama.rope.scaling.type", "linear") },
      /has no llama\.rope\.scaling\.factor/,
    ],
    ["a factor on attention", { a: key("llama.rope.scaling.attn_factor", F32, f32(2)) }, /attn_factor is 2/],
    [
      "an encoder",
      { c: key("llama.attention.causal", BOOL, u8(0)) },
      /attention\.causal is false: modc reads decoders/,
    ],
    [
      "a vocabulary of another size",
      { t: key("tokenizer.ggml.tokens", ARRAY, list(STRING, 2, text("a"), text("b"))) },
      /tokenizer\.ggml\.tokens has 2 tokens, token_embd\.weight has 6 rows/,
    ],
    [
      "a vocabulary that is said otherwise",
      { v: number("llama.vocab_size", 7) },
      /llama\.vocab_size is 7: token_embd\.weight has 6 rows/,
    ],
  ])("for %s says so", (_, more, message) => {
    expect(() => ggufConfig(headerOf(more as Readonly<Record<string, Uint8Array | null>>), () => u8())).toThrow(
      message,
    );
  });

  it("for factors of the rotation that are none says so", () => {
    const scaled = (values: readonly number[], more = {}) =>
      ggufConfig(headerOf(more, [EMBEDDING, LAYER, tensor("rope_freqs.weight", [values.length], 0, 896)]), () =>
        factors(...values),
      );
    expect(scaled([1, 1, 2, 4]).rotation!.main).toMatchObject({
      scaling: "the factors in rope_freqs.weight",
      scale: 1,
    });
    expect(() => scaled([1, 1, 1])).toThrow(
      'tensor "rope_freqs.weight" is F32[3], heads of which 8 columns rotate need F32[4]',
    );
    expect(() => scaled([1, 0, 1, 1])).toThrow('tensor "rope_freqs.weight" has 0 at 1, which is not a factor');
    const linear = {
      s: textKey("llama.rope.scaling.type", "linear"),
      f: key("llama.rope.scaling.factor", F32, f32(4)),
    };
    expect(() => scaled([1, 1, 1, 1], linear)).toThrow(
      "scales the rotation, but the metadata scales it too: linear, factor 4",
    );
    expect(() => ggufConfig(headerOf({}, [tensor("blk.0.attn_norm.weight", [32])]), () => u8())).toThrow(
      'f.gguf has no tensor "token_embd.weight"',
    );
  });

  it.each([
    ["a part of a model", [number("split.count", 3)], [], /f\.gguf has only one of 3 parts of a model/],
    ["an adapter", [textKey("general.type", "adapter")], [], /is not a model: general\.type is "adapter"/],
    [
      "an older quantization",
      [number("general.quantization_version", 1)],
      [],
      /quantization_version is 1, modc reads 2/,
    ],
    [
      "one weight under two names",
      [],
      [EMBEDDING, tensor("model.embed_tokens.weight", [8], 0, 768)],
      /"token_embd\.weight" and "model\.embed_tokens\.weight" are the same weight/,
    ],
    [
      "queries of no whole heads",
      [],
      [tensor("blk.0.attn_q.weight", [32, 12])],
      /the rows of tensor "blk\.0\.attn_q\.weight", F32\[12, 32\], are not pairs of 4 heads/,
    ],
    [
      "heads of unknown number",
      null,
      [tensor("blk.0.attn_k.weight", [32, 16])],
      /are not pairs of an unknown number of heads/,
    ],
  ])("for %s says so where weights are read", (_, more, tensors, message) => {
    const keys = more === null ? [USUAL["architecture"]!] : [...Object.values(USUAL), ...more];
    expect(() => readGguf(file({ keys, tensors, data: 4096 }), "f.gguf")).toThrow(message);
  });

  it("with other tensors names them, as other weights", async () => {
    const source = readGguf(
      file({ keys: Object.values(USUAL), tensors: [tensor("blk.0.attn_qkv.weight", [32, 2])], data: 256 }),
    );
    expect([...source.tensors.keys()]).toEqual(["blk.0.attn_qkv.weight"]);
  });
});

it("a whole file of which bytes are changed is read as something, or refused as what modc knows to refuse", () => {
  const rng = random(seedOf(9));
  const whole = smallGguf(1);
  const { tensors } = readHeader((at, length) => whole.subarray(at, at + length), whole.length, "f.gguf");
  const header = Math.min(...[...tensors.values()].map(({ offset }) => offset));
  let refused = 0;
  for (let trial = 0; trial < cases(700); trial++) {
    const bytes = Uint8Array.from(whole);
    for (let changes = 1 + rng.below(3); changes > 0; changes--)
      bytes[rng.below(header)] = rng.below(4) === 0 ? 255 : rng.below(256);
    try {
      const read = readHeader((at, length) => bytes.subarray(at, at + length), bytes.length, "f.gguf");
      ggufConfig(read, ({ offset, bytes: count }) => bytes.subarray(offset, offset + count));
      ggufTokenizer(read);
      readGguf(bytes, "f.gguf");
    } catch (fault) {
      expect(fault).toBeInstanceOf(ModcError);
      expect((fault as ModcError).exit).toBe(1);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(cases(700) / 4);
});

it("a folder that is named as GGUF files are is a folder", async () => {
  const path = join(root, "folder.gguf");
  mkdirSync(path);
  writeFileSync(join(path, "config.json"), "{}");
  const model = await openModel(path);
  expect(model.kind).toBe("checkpoint");
  expect(() => model.source).toThrow(/config\.json has no model_type/);
});
