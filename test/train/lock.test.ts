// One process at a time trains into a folder, and a lock whose process is gone holds nobody up.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { lockFolder } from "../../src/train/lock-node.js";

const folder = mkdtempSync(join(tmpdir(), "modc-lock-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("refuses a second, until the first gives it back", async () => {
  const path = join(folder, "run");
  const unlock = await lockFolder(path);
  await expect(lockFolder(path)).rejects.toThrow(`another process (${process.pid}) trains into ${path}`);
  expect(readFileSync(join(path, ".lock"), "utf8")).toBe(String(process.pid));
  await unlock();
  expect(existsSync(join(path, ".lock"))).toBe(false);
  await (
    await lockFolder(path)
  )();
});

it("takes over from a process that was killed, and from a lock cut short", async () => {
  const path = join(folder, "killed");
  await (
    await lockFolder(path)
  )();
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  for (const left of [String(pid), "", "-1", "nonsense"]) {
    writeFileSync(join(path, ".lock"), left);
    await (
      await lockFolder(path)
    )();
  }
});
