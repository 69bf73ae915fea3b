import { spawn } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readCheckpoint, readManifest, writeCheckpoint } from "../../../src/tools/train/checkpoint-node.js";
import { disk, type Disk } from "../../../src/tools/train/disk-node.js";
import { SessionError } from "../../../src/language/diagnostics/errors.js";
import { MANIFEST, parseManifest } from "../../../src/models/runs/manifest.js";
import { resumeFrom } from "../../../src/tools/train/resume-node.js";
import { openRunFolder } from "../../../src/tools/train/run-folder-node.js";
import { openWeights } from "../../../src/runtime/node.js";
import { cases, patience, soaking } from "../../soak.js";
import { childOf } from "../../child.js";
import { contentsAt, MODEL, WEIGHTS } from "./contents.js";
import { scratch } from "./folder.js";
import { expectWhole, fault } from "./whole.js";

const folder = scratch();
afterAll(() => folder.remove());
let made = 0;
const place = (): string => {
  const path = join(folder.path, `run-${made++}`);
  mkdirSync(path);
  return path;
};

describe("a checkpoint", () => {
  it("is read back as it was written", async () => {
    const path = join(place(), "step");
    await writeCheckpoint(path, contentsAt(5));
    await expectWhole(path, 5);
  });

  it("is a folder of weights under the keys of the model's `names`, in 32 bits", async () => {
    const path = join(place(), "step");
    await writeCheckpoint(path, contentsAt(5));
    const source = await openWeights(path);
    expect([...source.tensors].map(([key, { dtype, shape }]) => [key, dtype, shape])).toEqual([
      ["model.embed.weight", "F32", [64, 32]],
      ["layers.0.q.weight", "F32", [32, 32]],
      ["never.read", "F32", [3]],
    ]);
    await source.close();
  });

  it("replaces one of the same name, whole or not at all", async () => {
    const path = join(place(), "step");
    await writeCheckpoint(path, contentsAt(1));
    await writeCheckpoint(path, contentsAt(2));
    await expectWhole(path, 2);
    expect(readdirSync(dirname(path))).toEqual(["step"]);
  });
});

describe("what is wrong with a checkpoint is said:", () => {
  const whole = join(place(), "step");
  const broken = async (damage: (path: string) => void): Promise<string> => {
    if (!existsSync(whole)) await writeCheckpoint(whole, contentsAt(3));
    const path = join(place(), "step");
    cpSync(whole, path, { recursive: true });
    damage(path);
    return (await fault(readCheckpoint(path, MODEL))).message.replaceAll(path, "P");
  };
  const edit = (path: string, change: (manifest: Record<string, unknown>) => void): void => {
    // as it was written
    const manifest = JSON.parse(readFileSync(join(path, MANIFEST), "utf8")) as Record<string, unknown>;
    change(manifest);
    writeFileSync(join(path, MANIFEST), JSON.stringify(manifest));
  };

  it("a file that is cut short, longer, changed, missing or a link", async () => {
    expect(await broken((path) => truncateSync(join(path, "model.safetensors"), 1000))).toMatch(
      /^P: model\.safetensors is truncated: it has 1000 of \d+ bytes$/,
    );
    expect(await broken((path) => truncateSync(join(path, "state.safetensors"), 0))).toMatch(
      /^P: state\.safetensors is truncated/,
    );
    expect(await broken((path) => appendFileSync(join(path, "model.safetensors"), "x"))).toMatch(
      /^P: model\.safetensors has \d+ bytes, but \d+ were written$/,
    );
    const flipped = (path: string): void => {
      const bytes = readFileSync(join(path, "state.safetensors"));
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(join(path, "state.safetensors"), bytes);
    };
    expect(await broken(flipped)).toBe("P: state.safetensors was changed: its hash differs from the recorded one");
    expect(await broken((path) => rmSync(join(path, "source-1.mod")))).toBe(
      "cannot read the checkpoint P: source-1.mod is missing",
    );
    const linked = (path: string): void => {
      rmSync(join(path, "source-0.mod"));
      symlinkSync("/etc/hostname", join(path, "source-0.mod"));
    };
    expect(await broken(linked)).toBe("P: source-0.mod is not a plain file");
  });

  it("no manifest, a torn one, one of another kind or version, one that is too large", async () => {
    expect(await broken((path) => rmSync(join(path, MANIFEST)))).toBe(
      "cannot read the checkpoint P: manifest.json is missing",
    );
    for (const bytes of [0, 1, 20, 300])
      expect(await broken((path) => truncateSync(join(path, MANIFEST), bytes))).toMatch(
        /^P: manifest\.json is broken: /,
      );
    expect(await broken((path) => writeFileSync(join(path, MANIFEST), "[]"))).toBe("P: manifest.json has no object");
    expect(await broken((path) => edit(path, (m) => (m["format"] = "other")))).toBe(
      "P: manifest.json is not one of modc's",
    );
    expect(await broken((path) => edit(path, (m) => (m["version"] = 2)))).toBe(
      "P: manifest.json has version 2, this modc reads 1",
    );
    expect(await broken((path) => truncateSync(join(path, MANIFEST), 17 * 1024 * 1024))).toMatch(
      /manifest\.json has 17825792 bytes: too many for a manifest$/,
    );
    expect((await fault(readCheckpoint(join(folder.path, "nowhere"), MODEL))).message).toMatch(
      /nowhere: there is no such folder$/,
    );
    expect((await fault(readCheckpoint(folder.file("plain", ""), MODEL))).message).toMatch(
      /plain is not a checkpoint: it is not a folder$/,
    );
  });

  it.each([
    "../model.safetensors",
    "/etc/passwd",
    "..",
    "a/b.mod",
    ".hidden.mod",
    "manifest.json",
    "A\\b.mod",
    "",
    "x",
  ])("a name that leads elsewhere: %j", async (name) => {
    const message = await broken((path) =>
      edit(path, (m) => (m["files"] as object[]).push({ ...(m["files"] as object[])[0]!, name })),
    );
    expect(message).toBe(`P: manifest.json names ${JSON.stringify(name)}, which is not a file of a checkpoint`);
  });

  it("any field that is missing or of another kind", async () => {
    if (!existsSync(whole)) await writeCheckpoint(whole, contentsAt(3));
    const text = readFileSync(join(whole, MANIFEST), "utf8");
    expect(parseManifest(text, "P").step).toBe(3);
    for (const key of Object.keys(JSON.parse(text) as object)) {
      for (const value of [undefined, {}, [1], -1, "x"]) {
        if (key === "settings" && !Array.isArray(value) && typeof value === "object") continue; // no settings at all
        if (["begun", "live", "unimproved", "memory"].includes(key) && value === undefined) continue; // an older one
        if (["parameters", "machine", "live"].includes(key) && !Array.isArray(value) && typeof value === "object")
          continue;
        if ((key === "model" && value === "x") || (key === "validation" && value === -1)) continue;
        const damaged = JSON.stringify({ ...(JSON.parse(text) as object), [key]: value });
        expect(() => parseManifest(damaged, "P"), `${key}: ${JSON.stringify(value)}`).toThrow(SessionError);
      }
    }
  });

  it("a model of other weights, with every difference", async () => {
    const path = join(place(), "step");
    await writeCheckpoint(path, contentsAt(3));
    const other = {
      weights: [{ ...WEIGHTS[0]!, shape: [64, 16] }, WEIGHTS[1]!, { ...WEIGHTS[2]!, path: "new", keys: ["new"] }],
      ignore: [],
    };
    const { message } = await fault(readCheckpoint(path, other));
    expect(message).toContain('wrong shape: "model.embed.weight" is [64, 32], the model has [64, 16]');
    expect(message).toContain('missing: "new"');
    expect(message).toContain('unexpected: "never.read"');
  });
});

/** A disk that refuses from its nth operation on, or writes half of it; everything else is real. */
function failing(at: number, code: string): { readonly on: Disk; readonly failed: () => boolean } {
  let n = 0;
  let failed = false;
  const step = (): void => {
    if (++n < at) return;
    failed = true;
    throw Object.assign(new Error(`${code}: from the test`), { code });
  };
  const on: Disk = {
    async open(path, flags) {
      step();
      const handle = await disk.open(path, flags);
      const half = async (bytes: Uint8Array, from = 0): Promise<{ readonly bytesWritten: number }> => {
        try {
          step();
        } catch (error) {
          await handle.write(bytes, from, Math.floor((bytes.length - from) / 2)); // as much as the disk still took
          throw error;
        }
        return handle.write(bytes, from);
      };
      const sync = async (): Promise<void> => {
        step();
        await handle.sync();
      };
      return { write: half, sync, close: () => handle.close() };
    },
    async mkdir(path) {
      step();
      await disk.mkdir(path);
    },
    async rename(from, to) {
      step();
      await disk.rename(from, to);
    },
    remove: (path) => disk.remove(path),
  };
  return { on, failed: () => failed };
}

describe("where the disk refuses,", () => {
  it.each([
    ["ENOSPC", "the disk is full", soaking ? 1 : 3],
    ["EROFS", "the disk is read-only", 8],
    ["EACCES", "permission denied", 9],
  ] as const)(
    "%s is said, and earlier files are intact, at whichever moment it happens",
    { tags: "long" },
    async (code, reason, apart) => {
      let moments = 0;
      for (let at = 1; ; at += apart) {
        const path = place();
        const before = await openRunFolder(path);
        await before.save(contentsAt(1), { keep: 2, best: true });
        await before.save(contentsAt(2), { keep: 2, best: false });
        const { on, failed } = failing(at, code);
        const run = await openRunFolder(path, on);
        const saved = run.save(contentsAt(3), { keep: 2, best: true });
        if (
          !(await saved.then(
            () => failed(),
            () => true,
          ))
        )
          break;
        const { message, code: kind } = await fault(saved);
        expect([kind, message]).toEqual([
          "cannot-write",
          expect.stringMatching(new RegExp(`^cannot write .*: ${reason}$`)),
        ]);
        // Whatever is there is whole; the last is there.
        const reopened = await openRunFolder(path);
        for (const step of await reopened.steps()) await expectWhole(reopened.checkpoint(step), step);
        expect([2, 3]).toContain((await resumeFrom(reopened, null, MODEL)).checkpoint.manifest.step);
        expect(readdirSync(join(path, "checkpoints")).filter((name) => name.startsWith("."))).toEqual([]);
        rmSync(path, { recursive: true });
        moments++;
      }
      expect(moments).toBeGreaterThan(15 / apart);
    },
  );

  it("replacing a checkpoint leaves the old one", async () => {
    for (let at = 1; ; at++) {
      const path = join(place(), "step");
      await writeCheckpoint(path, contentsAt(1));
      const { on, failed } = failing(at, "EIO");
      const done = await writeCheckpoint(path, contentsAt(2), on).then(
        () => true,
        () => false,
      );
      const { step } = await readManifest(path).catch(() => ({ step: null }));
      // If even restoring is refused, the old checkpoint is next to its place; otherwise the place has one or the
      // other.
      if (step === null) expect(readdirSync(dirname(path)).some((name) => name.startsWith(".old-"))).toBe(true);
      else await expectWhole(path, step);
      if (done && !failed()) break;
    }
  });

  it("a folder that cannot be made is said", async () => {
    const file = folder.file("a-file", "");
    expect((await fault(openRunFolder(join(file, "run")))).message).toMatch(
      /^cannot write .*a-file\/run: its folder is not one$/,
    );
    expect((await fault(openRunFolder(file))).message).toMatch(/^cannot write .*a-file: /);
  });
});

describe("kill -9 while checkpoints are written", () => {
  it(
    "leaves only whole checkpoints, the last among them, and the run goes on",
    async () => {
      const path = place();
      const child = childOf(new URL("./children/write-checkpoints.ts", import.meta.url));
      let newest = 0;
      let x = 12345;
      const rounds = cases(6);
      for (let round = 0; round < rounds; round++) {
        const writer = spawn(process.execPath, [child, path], { stdio: ["ignore", "pipe", "inherit"] });
        await new Promise<void>((resolve, reject) => {
          writer.stdout.once("data", () => resolve());
          writer.once("exit", () => reject(new Error("the writer ended by itself")));
        });
        x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
        await new Promise((resolve) => setTimeout(resolve, 20 + (x >>> 24)));
        const gone = new Promise((resolve) => writer.once("close", resolve));
        writer.removeAllListeners("exit");
        writer.kill("SIGKILL");
        await gone;
        const seen = readdirSync(join(path, "checkpoints")).filter((name) => name.startsWith("step-"));
        for (const name of seen) await expectWhole(join(path, "checkpoints", name), Number(name.slice(5)));
        const run = await openRunFolder(path);
        const { checkpoint } = await resumeFrom(run, null, MODEL);
        // each writer has written one at least, however slow the disk
        expect(checkpoint.manifest.step).toBeGreaterThan(newest);
        newest = checkpoint.manifest.step;
        expect(readdirSync(join(path, "checkpoints")).filter((name) => name.startsWith("."))).toEqual([]);
      }
      expect(newest).toBeGreaterThanOrEqual(rounds);
    },
    patience(120_000),
  );
});
