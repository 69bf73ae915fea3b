// Models in the cache of Hugging Face open by name: the place of the cache, revisions, and the links of a snapshot.
import { mkdirSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openModel } from "../../src/models/open-node.js";
import { snapshotOf } from "../../src/models/opened/hub-node.js";
import { openWeights } from "../../src/runtime/node.js";
import { run } from "../tools/cli/in-process.js";
import { temporaryFolder } from "../tools/cli/spawn.js";
import { VARIANTS, writeFolder } from "./families/folders.js";
import { commitOf, writeCached } from "./hub-cache.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
const place = (...names: readonly string[]): string => join(temporary.path, ...names);

const sharded = VARIANTS.find(({ shards }) => shards === 2)!;
const [COMMIT, OTHER] = [commitOf("first"), commitOf("second")];
const [plain, cache] = [place("plain"), place("hub")];
const TINY = { repository: "owner/tiny-1.5b", revision: "main", commit: COMMIT };

beforeAll(() => {
  writeFolder(plain, sharded, 7);
  writeCached(cache, plain, TINY);
  writeCached(cache, plain, { ...TINY, revision: "refs/pr/1", commit: OTHER });
  writeCached(cache, plain, { ...TINY, repository: "tiny" });
  writeCached(cache, plain, { ...TINY, repository: "owner/tagged", revision: "v1.0" });
});
afterEach(() => vi.unstubAllEnvs());
const inCache = (): void => void vi.stubEnv("HF_HUB_CACHE", cache);

describe("the snapshot of a name", () => {
  it.each([
    ["hf:owner/tiny-1.5b", "models--owner--tiny-1.5b", COMMIT],
    ["hf:tiny", "models--tiny", COMMIT],
    ["hf:owner/tiny-1.5b@main", "models--owner--tiny-1.5b", COMMIT],
    ["hf:owner/tiny-1.5b@refs/pr/1", "models--owner--tiny-1.5b", OTHER],
    [`hf:owner/tiny-1.5b@${OTHER}`, "models--owner--tiny-1.5b", OTHER],
    ["hf:owner/tagged@v1.0", "models--owner--tagged", COMMIT],
  ])("%s", (name, repository, commit) => {
    inCache();
    expect(snapshotOf(name)).toBe(join(cache, repository, "snapshots", commit));
  });

  it.each<[string, Readonly<Record<string, string>>]>([
    ["HF_HUB_CACHE", { HF_HUB_CACHE: place("hub"), HF_HOME: "/no/such" }],
    ["HUGGINGFACE_HUB_CACHE", { HUGGINGFACE_HUB_CACHE: place("hub") }],
    ["HF_HOME", { HF_HOME: place(), XDG_CACHE_HOME: "/no/such" }],
    ["XDG_CACHE_HOME", { XDG_CACHE_HOME: place("cache") }],
    ["the home folder", { HOME: place("home") }],
    ["the home folder, as ~", { HOME: place("home"), HF_HOME: "~/.cache/huggingface" }],
  ])("is found by %s", (_, variables) => {
    for (const link of [place("cache", "huggingface"), place("home", ".cache", "huggingface")]) {
      mkdirSync(link, { recursive: true });
      rmSync(join(link, "hub"), { force: true });
      symlinkSync(cache, join(link, "hub"));
    }
    for (const name of ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
      vi.stubEnv(name, undefined);
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    expect(readFileSync(join(snapshotOf("hf:owner/tiny-1.5b"), "config.json"))).toEqual(
      readFileSync(join(plain, "config.json")),
    );
  });

  it.each([
    ["hf:", "hf: does not name a model of Hugging Face's hub", "write hf:owner/name"],
    ["hf:a/b/c", "does not name a model", "write hf:owner/name"],
    ["hf:../x", "does not name a model", "write hf:owner/name"],
    ["hf:a..b/x", "does not name a model", "write hf:owner/name"],
    ["hf:owner--tiny", "does not name a model", "write hf:owner/name"],
    ["hf:owner/tiny-1.5b:Q4_0", "does not name a model", "write hf:owner/name"],
    ["hf:owner/tiny-1.5b@", "does not name a model", "write hf:owner/name"],
    ["hf:owner/tiny-1.5b@../../../etc/passwd", "does not name a model", "write hf:owner/name"],
    ["hf:owner/tiny-1.5b@/etc/passwd", "does not name a model", "write hf:owner/name"],
    ["hf:owner/none", "owner/none is not in the cache of Hugging Face", "hf download owner/none"],
    ["hf:owner/tagged", "no revision main of owner/tagged", `hf:owner/tagged@${COMMIT}`],
    ["hf:owner/tiny-1.5b@v2", "no revision v2 of owner/tiny-1.5b", "hf download owner/tiny-1.5b --revision v2"],
    [`hf:owner/tiny-1.5b@${commitOf("third")}`, "no revision", "hf download owner/tiny-1.5b --revision"],
    ["hf:owner/tiny-1.5b@refs/pr", "no revision refs/pr", "hf download"],
  ])("%s is refused", (name, message, hint) => {
    inCache();
    expect(() => snapshotOf(name)).toThrow(
      expect.objectContaining({
        name: "SessionError",
        message: expect.stringContaining(message) as unknown,
        hint: expect.stringContaining(hint) as unknown,
      }),
    );
  });
});

/** A cached model with something done to its snapshot. */
function harmed(name: string, harm: (snapshot: string) => void): string {
  harm(writeCached(cache, plain, { ...TINY, repository: `owner/${name}` }));
  return `hf:owner/${name}`;
}

/** Replaces a file of a snapshot by a link. */
function linked(snapshot: string, name: string, to: string): void {
  unlinkSync(join(snapshot, name));
  symlinkSync(to, join(snapshot, name));
}

describe("the links of a snapshot", () => {
  it.each<[string, (snapshot: string) => void, string]>([
    ["out", (at) => linked(at, "config.json", join(plain, "config.json")), "outside the cache of owner/out"],
    [
      "other",
      (at) => linked(at, "config.json", join(cache, "models--tiny", "snapshots", COMMIT, "config.json")),
      "outside the cache of owner/other",
    ],
    [
      "deep",
      (at) => {
        mkdirSync(join(at, "more"));
        symlinkSync("/etc/passwd", join(at, "more", "tokenizer.json"));
      },
      "outside the cache of owner/deep",
    ],
    [
      "blobs",
      (at) => {
        const blobs = join(at, "..", "..", "blobs");
        rmSync(blobs, { recursive: true });
        symlinkSync(join(cache, "models--tiny", "blobs"), blobs);
      },
      "outside the cache of owner/blobs",
    ],
    [
      "whole",
      (at) => {
        rmSync(at, { recursive: true });
        symlinkSync(plain, at);
      },
      "outside the cache of owner/whole",
    ],
    ["lost", (at) => linked(at, "config.json", "../../blobs/0123"), "is a link to a file that is missing"],
    ["ref", (at) => writeFileSync(join(at, "..", "..", "refs", "main"), "../../x"), "does not contain a commit"],
    [
      "long",
      (at) => writeFileSync(join(at, "..", "..", "refs", "main"), "0".repeat(5000)),
      "does not contain a commit",
    ],
  ])("%s", (name, harm, message) => {
    inCache();
    const hub = harmed(name, harm);
    expect(() => snapshotOf(hub)).toThrow(message);
  });

  it(
    "are followed to shards and imported files of the same repository, and to no other",
    { tags: "long" },
    async () => {
      inCache();
      const snapshot = snapshotOf("hf:owner/tiny-1.5b");
      const [own, copied] = [await openWeights(snapshot), await openWeights(plain)];
      expect([...own.tensors.keys()]).toEqual([...copied.tensors.keys()]);
      for (const key of own.tensors.keys()) expect(await own.read(key)).toEqual(await copied.read(key));
      await own.close();
      await copied.close();

      const written = place("written");
      mkdirSync(written);
      writeFileSync(
        join(written, "model.mod"),
        'import { WIDTH } from "./width.mod"\nmodel M() {\n  forward(x: f32[B, WIDTH]) -> f32[B, WIDTH] { x }\n}\n',
      );
      writeFileSync(join(written, "width.mod"), "const WIDTH = 8\n");
      writeCached(cache, written, { ...TINY, repository: "owner/written" });
      expect(await run(["check", "hf:owner/written"])).toMatchObject({ status: 0, stderr: "" });

      const shard = "model-00002-of-00002.safetensors";
      const away = writeCached(cache, plain, { ...TINY, repository: "owner/away" });
      linked(away, shard, join(plain, shard));
      await expect(openWeights(away)).rejects.toThrow("is outside the folder of the index");
    },
  );
});

describe("a name in place of a path", () => {
  it("opens the model of the snapshot", async () => {
    inCache();
    const model = await openModel("hf:owner/tiny-1.5b@refs/pr/1");
    const [own, copied] = [model.source.text, await openModel(plain)];
    expect(model).toMatchObject({
      kind: "checkpoint",
      path: join(cache, "models--owner--tiny-1.5b", "snapshots", OTHER),
    });
    expect(own).toBe(copied.source.text);
    expect((await model.weights!.source()).tensors.size).toBeGreaterThan(0);
    await model.close();
    await copied.close();
  });

  it("is what commands take, and what they hint at", { tags: "long", timeout: 60_000 }, async () => {
    inCache();
    const tokens = ["--input", "tokens=[[5,6,7,8,9]]", "--json"];
    const [byName, byPath] = [
      await run(["run", "hf:owner/tiny-1.5b", ...tokens]),
      await run(["run", plain, ...tokens]),
    ];
    expect(byName).toMatchObject({ status: 0 });
    expect(byName.stdout).toBe(byPath.stdout);
    expect(await run(["doc", "hf:owner/tiny-1.5b"])).toMatchObject({ status: 0 });
    expect(await run(["quantize", "hf:owner/tiny-1.5b", "-o", place("q8")])).toMatchObject({ status: 0 });

    const told = async (name: string): Promise<string> => (await run(["generate", name, "--prompt", "a"])).stderr;
    expect(await told("owner/tiny-1.5b")).toContain("it is in the cache of Hugging Face: give hf:owner/tiny-1.5b");
    expect(await told("owner/absent")).toContain("hf download owner/absent --local-dir absent");
    expect(await told("hf:owner/absent")).toContain("download it: hf download owner/absent");
  });
});
