// One process at a time trains into a folder, however many try at once, and a lock whose process is gone holds nobody
// up.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, describe, expect, it } from "vitest";
import {
  lockFolder,
  newOwner,
  parseOwner,
  printOwner,
  stateOf,
  type Owner,
} from "../../../src/tools/train/lock-node.js";
import { cases, patience, seedOf } from "../../soak.js";
import { childOf } from "../../child.js";

const folder = mkdtempSync(join(tmpdir(), "modc-lock-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { pid: gone } = spawnSync(process.execPath, ["-e", ""]);

/** Leaves a lock as a process of that kind would, had it been killed. */
function leave(path: string, owner: Owner): string {
  mkdirSync(join(path, ".lock", printOwner(owner)), { recursive: true });
  return path;
}
const left = (name: string, as: Partial<Owner>): string => leave(join(folder, name), { ...newOwner(), ...as });
/** The message about a lock that this process holds. */
const taken = (path: string): RegExp =>
  new RegExp(`another process \\(${process.pid}\\), since \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d, trains into ${path}`);
const takeAndGiveBack = async (path: string): Promise<void> => (await lockFolder(path))();

describe("the lock of a run's folder", () => {
  it("refuses a second, until the first gives it back; nothing is left then", async () => {
    const path = join(folder, "run");
    const unlock = await lockFolder(path);
    await expect(lockFolder(path)).rejects.toThrow(taken(path));
    expect(readdirSync(path)).toEqual([".lock"]);
    await unlock();
    expect(readdirSync(path)).toEqual([]);
    await takeAndGiveBack(path);
  });

  it("is taken over from a process that was killed, and from one whose number another has now", async () => {
    await takeAndGiveBack(left("killed", { pid: gone }));
    if (process.platform === "linux") {
      expect(newOwner().started).not.toBe("0");
      await takeAndGiveBack(left("reused", { started: "0123456789abcdef" }));
    }
    await expect(lockFolder(left("runs", {}))).rejects.toThrow(taken(join(folder, "runs")));
  });

  it("is taken over from one that was killed and that nobody has waited for", async () => {
    if (process.platform !== "linux") return;
    // The shell becomes a program that never waits for the child it has.
    const parent = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
    const pid = Number(await new Promise<Buffer>((resolve) => parent.stdout.once("data", resolve)));
    while (!readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z "))
      await new Promise((resolve) => setTimeout(resolve, 5));
    expect(stateOf({ ...newOwner(), pid })).toBe("gone");
    parent.kill("SIGKILL");
  });

  it("is not taken from another machine, whose processes cannot be looked for", async () => {
    const path = left("elsewhere", { host: "node-7", place: "0123456789abcdef", pid: gone });
    utimesSync(join(path, ".lock"), new Date(), new Date(2026, 2, 4, 5, 6));
    await expect(lockFolder(path)).rejects.toMatchObject({
      message: `another process (${gone} on node-7), since 2026-03-04 05:06, trains into ${path}`,
      hint: `give another folder; check on node-7 whether it still runs; if it does not, remove ${join(path, ".lock")}`,
    });
    rmSync(join(path, ".lock"), { recursive: true });
    await takeAndGiveBack(path);
  });

  it("of an earlier modc, a file, is heeded while its process runs", async () => {
    const path = join(folder, "earlier");
    mkdirSync(path);
    for (const text of [String(gone), "", "-1", "nonsense"]) {
      writeFileSync(join(path, ".lock"), text);
      await takeAndGiveBack(path);
    }
    writeFileSync(join(path, ".lock"), String(process.pid));
    await expect(lockFolder(path)).rejects.toThrow(`another process (${process.pid}) trains into ${path}`);
  });

  it("that was given back, or removed by hand and taken by another, is not removed again", async () => {
    const path = join(folder, "twice");
    const first = await lockFolder(path);
    rmSync(join(path, ".lock"), { recursive: true });
    const second = await lockFolder(path);
    await first();
    await expect(lockFolder(path)).rejects.toThrow("trains into");
    await second();
    await first();
    expect(existsSync(join(path, ".lock"))).toBe(false);
  });

  it("is whole whenever its process is killed: what it was about to make, or to give back, holds nobody up", async () => {
    const path = join(folder, "half");
    const dead = { ...newOwner(), pid: gone };
    mkdirSync(join(path, `.lock-${printOwner(dead)}`, printOwner(dead)), { recursive: true });
    mkdirSync(join(path, `.lock-${printOwner({ ...dead, unique: "00000000000000aa" })}`));
    mkdirSync(join(path, ".lock"));
    await takeAndGiveBack(path);
    expect(readdirSync(path)).toEqual([]);
  });

  it("that cannot be made is told as such", async () => {
    writeFileSync(join(folder, "file"), "");
    await expect(lockFolder(join(folder, "file"))).rejects.toThrow(`cannot write ${join(folder, "file")}`);
    if (process.getuid?.() === 0) return; // root may write anywhere
    const path = join(folder, "closed");
    mkdirSync(path, 0o555);
    await expect(lockFolder(path)).rejects.toThrow(`cannot write ${path}: permission denied`);
    chmodSync(path, 0o755);
  });

  it("has an entry from which its process is read again", () => {
    const owner = newOwner();
    expect(parseOwner(printOwner(owner))).toEqual(owner);
    expect(stateOf(owner)).toBe("runs");
    for (const name of ["", "x", `${printOwner(owner)}x`, `../${printOwner(owner)}`])
      expect(parseOwner(name), name).toBeNull();
  });
});

/** A process that takes and gives back as it is told. */
class Racer {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    const child = childOf(new URL("./children/lock.ts", import.meta.url));
    this.#process = spawn(process.execPath, [child], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  async hear(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the process has ended");
    return value;
  }
  tell(...words: readonly [word: "take" | "give", folder: string, moment: number]): Promise<string> {
    this.#process.stdin!.write(`${JSON.stringify(words)}\n`);
    return this.hear();
  }
  end(): void {
    this.#process.kill("SIGKILL");
  }
}

describe("of four processes that start together", () => {
  const racers = Array.from({ length: 4 }, () => new Racer());
  afterAll(() => racers.forEach((racer) => racer.end()));

  it(
    "exactly one gets it, whatever lies there",
    async () => {
      for (const racer of racers) expect(await racer.hear()).toBe("ready");
      const before: readonly ((path: string) => void)[] = [
        () => undefined,
        (path) => void leave(path, { ...newOwner(), pid: gone }),
        (path) => {
          mkdirSync(path);
          writeFileSync(join(path, ".lock"), String(gone));
        },
        (path) => mkdirSync(join(path, ".lock"), { recursive: true }),
      ];
      let x = seedOf(12);
      const found = new Map<string, number>();
      for (let race = 0; race < cases(50); race++) {
        const path = join(folder, `race-${race}`);
        before[race % before.length]!(path);
        const moment = Date.now() + 3;
        const words = await Promise.all(
          racers.map((racer) => {
            x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
            return racer.tell("take", path, moment + (x >>> 31));
          }),
        );
        const key = words.toSorted().join(" ");
        found.set(key, (found.get(key) ?? 0) + 1);
        const winner = racers[words.indexOf("won")];
        await winner?.tell("give", path, 0);
        expect([race, key, readdirSync(path)]).toEqual([race, "refused refused refused won", []]);
        rmSync(path, { recursive: true });
      }
      expect([...found]).toEqual([["refused refused refused won", cases(50)]]);
    },
    patience(60_000),
  );
});
