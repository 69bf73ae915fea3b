// Packages: the same from the same input, every file as the manifest says, weights whole however they are cut.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { engineFiles, packersPart, runtimeFiles, tokenizerFiles, workerFiles } from "../../../src/ground/bundled.js";
import { compile } from "../../../src/compiler/compile.js";
import { parseManifest } from "../../../src/tools/build/earlier-build-node.js";
import { readPrograms } from "../../../src/generation/packaged/programs.js";
import { shardedWeights, valuesIn } from "../../../src/generation/packaged/shards.js";
import { fromBytes } from "../../../src/runtime/weights/formats/convert.js";
import { asStored } from "../../../src/runtime/weights/stored.js";
import { generationOf, packageOf, programOf, startingWeights, type BuiltPackage } from "./packages.js";

const MOBY = readFileSync(new URL("../../../examples/moby.mod", import.meta.url), "utf8");
const program = programOf(MOBY, { dim: 32, depth: 2 });
const generation = generationOf(MOBY, { dim: 32, depth: 2 });
const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

describe("a package", () => {
  it("is the same for the same input, byte for byte", async () => {
    const texts = { tokenizer: "{}", config: null, template: "{{ messages }}" };
    const defaults = { ends: [2], maxTokens: 9, sampling: { topK: 40 } };
    const built = (): Promise<BuiltPackage> => {
      const set = { dim: 32, depth: 2 };
      return packageOf(program, {
        programs: { run: programOf(MOBY, set), generation: generationOf(MOBY, set) },
        tokenizer: texts,
        defaults,
      });
    };
    const [a, b] = [await built(), await built()];
    expect([...a.files.keys()]).toEqual(
      expect.arrayContaining([
        "generation.json",
        "tokenizer/tokenizer.json",
        "tokenizer/chat_template.jinja",
        "runtime/tokenizer.js",
      ]),
    );
    expect([...a.files.keys()]).toEqual([...b.files.keys()]);
    for (const [name, bytes] of a.files)
      expect(createHash("sha256").update(bytes).digest("hex"), name).toBe(
        createHash("sha256").update(b.files.get(name)!).digest("hex"),
      );
  });

  it("has a manifest that names every other file, with its size and hash", async () => {
    const { manifest, files } = await packageOf(program);
    expect(parseManifest(text(files.get("manifest.json")))).toEqual(manifest);
    expect(manifest.files.map((f) => f.name)).toEqual(
      [...files.keys()].filter((name) => name !== "manifest.json").sort(),
    );
    for (const { name, bytes, sha256 } of manifest.files) {
      expect(files.get(name)!.length, name).toBe(bytes);
      expect(createHash("sha256").update(files.get(name)!).digest("hex"), name).toBe(sha256);
    }
  });

  it("names in index.js whatever is loaded", async () => {
    const { manifest, files } = await packageOf(program);
    const index = text(files.get("index.js"));
    for (const name of [
      ...manifest.shards,
      ...[...files.keys()].filter((n) => n.endsWith(".wgsl")),
      "program.json",
      "manifest.json",
    ])
      expect(index).toContain(`new URL("./${name}", import.meta.url)`);
  });

  it("gives the programs back as they were", async () => {
    const { files } = await packageOf(program, { programs: { run: program, generation } });
    const programs = await readPrograms(text(files.get("program.json")), async (name) => text(files.get(name)));
    expect(programs).toEqual({ run: program, generation });
  });

  it("carries the engine and its programs if it is for several callers", async () => {
    const paged = { run: program, generation: generationOf(MOBY, { dim: 32, depth: 2 }, "pages"), maxBatch: 4 };
    const { files } = await packageOf(program, { programs: paged });
    const programs = await readPrograms(text(files.get("program.json")), async (name) => text(files.get(name)));
    const { pages, choices: _, ...generation } = paged.generation;
    expect(programs).toEqual({
      ...paged,
      generation: { ...generation, pages: { ...pages, draft: null, first: null } },
    });
    expect(text(files.get("index.js"))).toContain('{ engine: () => import("./runtime/engine.js") }');
    expect(text(files.get("index.d.ts"))).toContain("at most 4 texts are generated together");
    const alone = await packageOf(program, { programs: { run: program, generation } });
    expect([files.has("runtime/engine.js"), alone.files.has("runtime/engine.js")]).toEqual([true, false]);
  });

  it("holds each kernel's text once, whichever programs have it", async () => {
    const { files } = await packageOf(program, { programs: { run: program, generation } });
    const kernels = [...files].filter(([name]) => name.startsWith("kernels/")).map(([, bytes]) => text(bytes));
    expect(new Set(kernels).size).toBe(kernels.length);
    expect(kernels.length).toBe(
      new Set([program, generation.prompt, generation.step].flatMap((p) => p.kernels.map((k) => k.wgsl))).size,
    );
  });

  it.each([1024, 4096, 5000, 1 << 24])(
    "gives back every weight from shards of at most %i bytes",
    { tags: "long" },
    async (shardBytes) => {
      const { manifest, files } = await packageOf(program, { shardBytes });
      for (const name of manifest.shards) expect(files.get(name)!.length).toBeLessThanOrEqual(shardBytes);
      const asked: string[] = [];
      const source = shardedWeights(manifest, async (name) => (asked.push(name), files.get(name)!));
      const wanted = startingWeights(program);
      for (const { path } of program.weights) expect(await source.read(path), path).toEqual(await wanted.read(path));
      // In the order they are loaded in no shard is fetched twice.
      expect(asked).toEqual([...new Set(asked)]);
    },
  );
});

describe("a package of quantized weights", () => {
  const quantized = compile(MOBY, { set: { dim: 64, depth: 2 }, precision: { weights: "q4" } }).program!;

  it("holds them as integers with scales, and their values are those that devices read", async () => {
    const { manifest, files } = await packageOf(quantized);
    const types = new Map(manifest.tensors.map((t) => [t.key, t.dtype]));
    for (const { path, slots } of quantized.weights)
      expect(types.get(path), path).toBe(slots.some((s) => s.form === "q4") ? "Q4_0" : "F32");
    const source = shardedWeights(manifest, async (name) => files.get(name)!);
    const wanted = startingWeights(quantized);
    const weight = quantized.weights.find((w) => w.path === "layers.0.inner.mlp.down.weight")!;
    const start = fromBytes(await wanted.read(weight.path), "F32", "f32") as Float32Array;
    expect(await valuesIn(source, weight)).toEqual(asStored(weight, start));
  });

  it("carries the part of the runtime that packs them, where a bundler sees it; others do not", async () => {
    const part = `runtime/${packersPart.file}`;
    for (const [program, has] of [
      [quantized, true],
      [compile(MOBY, { set: { dim: 64, depth: 2 } }).program!, false],
    ] as const) {
      const { files } = await packageOf(program);
      const sees = [...files].some(
        ([name, bytes]) => name.startsWith("runtime/") && text(bytes).includes(packersPart.seen),
      );
      expect([files.has(part), sees]).toEqual([has, has]);
    }
  });
});

describe("a manifest that no build has written is refused", () => {
  const whole = packageOf(program).then(({ files }) => text(files.get("manifest.json")));
  it.each([
    ["other text", () => "{", /it is not JSON/],
    ["another format", (t: string) => t.replace("modc-package", "zip"), /format must be "modc-package"/],
    ["another version", (t: string) => t.replace('"version": 1', '"version": 2'), /version is 2: this runtime reads 1/],
    [
      "a hash that is none",
      (t: string) => t.replace(/"sha256":"[0-9a-f]{64}"/, '"sha256":"abc"'),
      /files\[0\]\.sha256 is not a SHA-256 hash/,
    ],
    [
      "a shard that is no file",
      (t: string) => t.replace('"shards": [\n  "weights/00000.bin"', '"shards": [\n  "../secret"'),
      /shards\[0\] is "\.\.\/secret", which is not a file/,
    ],
    [
      "a weight beyond the shards",
      (t: string) => t.replace(/"offset":0,/, '"offset":1e9,'),
      /tensors\[0\]\.offset must be a whole number from 0/,
    ],
    [
      "a weight whose bytes do not fit its shape",
      (t: string) => t.replace(/"shape":\[(\d+)/, '"shape":[1$1'),
      /tensors\[0\]\.bytes do not fit the shape/,
    ],
  ])("%s", async (_, change, message) => {
    const changed = change(await whole);
    expect(changed).not.toBe(await whole);
    expect(() => parseManifest(changed)).toThrow(message);
  });
});

describe("the runtime in a package", () => {
  const sizes = Object.entries(runtimeFiles).map(
    ([name, source]) => [name, gzipSync(source, { level: 9 }).length] as const,
  );
  /** Loaded by those who ask for it. */
  const onDemand = ([name]: readonly [string, number]): boolean => /^(?:warm|cache)-/.test(name);
  const sum = (files: readonly (readonly [string, number])[]): number => files.reduce((n, [, bytes]) => n + bytes, 0);
  const all = sum(sizes.filter((file) => !onDemand(file)));
  // Above 40 kB by the names of classes, lines of at most 200 characters, hints for links and servers, and inputs of
  // several sequences.
  it(`takes at most 49 kB gzipped: ${sizes.map(([name, bytes]) => `${name} ${bytes}`).join(" + ")} = ${all} bytes`, () => {
    expect(all).toBeLessThanOrEqual(49_000);
    expect(sizes.filter(onDemand)).toHaveLength(2);
    expect(sum(sizes.filter(onDemand))).toBeLessThanOrEqual(3_000);
  });

  const tokenizer = Object.entries(tokenizerFiles).map(
    ([name, source]) => `${name} ${gzipSync(source, { level: 9 }).length} bytes`,
  );
  it(`leaves to packages with a tokenizer what those need: ${tokenizer.join(", ")}`, () => {
    expect(Object.keys(tokenizerFiles)).toEqual(["tokenizer.js"]);
    expect(tokenizerFiles["tokenizer.js"]).not.toMatch(/\bimport\b[^"'`]{0,40}["'`]/);
    for (const source of Object.values(runtimeFiles)) expect(source).not.toContain("pre_tokenizer");
  });

  const engine = Object.entries(engineFiles).map(([name, source]) => [name, gzipSync(source, { level: 9 }).length]);
  it(`leaves the engine to packages for several callers: ${engine.flat().join(" ")} bytes`, () => {
    expect(engine.map(([name]) => name)).toEqual(["engine.js"]);
    expect(engine[0]![1]).toBeLessThanOrEqual(16_000);
    expect(engineFiles["engine.js"]).toContain("cacheMemory");
    for (const source of Object.values(runtimeFiles)) expect(source).not.toContain("cacheMemory");
  });

  it("has each end of a worker in a file by itself, for programs that import it", () => {
    expect(Object.keys(workerFiles)).toEqual(["worker-thread.js", "worker.js"]);
    for (const source of Object.values(workerFiles)) {
      expect(gzipSync(source, { level: 9 }).length).toBeLessThanOrEqual(2_500);
      expect(source).not.toMatch(/\bimport\b[^"'`]{0,40}["'`]/);
    }
    for (const source of Object.values(runtimeFiles)) expect(source).not.toContain("worker.js");
  });

  it("evaluates no text as code, and imports nothing but what Node has", () => {
    for (const [name, source] of Object.entries({ ...runtimeFiles, ...tokenizerFiles, ...engineFiles, ...workerFiles }))
      expect(source, name).not.toMatch(/\beval\(|new Function\b|\bFunction\(/);
    for (const [name, source] of Object.entries({ ...runtimeFiles, ...engineFiles })) {
      for (const [, from] of source.matchAll(
        /(?:(?:^|[;\n])(?:import|export)\b[^;"]*\bfrom\s*|\bimport\()"([^"]+)"/g,
      )) {
        if (name === "node.js")
          expect(
            ["node:fs", "node:fs/promises", "node:module", "node:url", "node:worker_threads", "webgpu"].includes(
              from!,
            ) || from!.startsWith("./chunk-"),
            from,
          ).toBe(true);
        else expect(from).toMatch(/^\.\/(?:chunk|warm|cache)-/);
      }
    }
  });
});
