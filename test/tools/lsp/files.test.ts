// Files around the server: files created and deleted on disk, the folders that it searches, and the files that it
// writes.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { isAlive } from "../../../src/tools/cli/lsp/connection.js";
import { hostIn, modFiles } from "../../../src/tools/cli/lsp/host.js";
import { Client } from "./client.js";

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "modc-lsp-"))));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

const IMPORTING = `import { A } from "./b.mod"
model M() {
  a: A()
  forward(x: f32[B, 4]) -> f32[B, 4] { a(x) }
}
`;
const IMPORTED = "block A() {\n  forward(x: f32[B, 4]) -> f32[B, 4] { x }\n}\n";

/** The diagnostics of a text once there are so many, by their codes. */
async function settled(client: Client, path: string, count: number): Promise<readonly unknown[]> {
  for (;;) {
    const found = await client.diagnostics(path);
    if (found.length === count) return found.map((d) => d.code);
    await client.heard();
  }
}

it("a file that was missing is found once it is opened, or once it is on the disk", { timeout: 10_000 }, async () => {
  const client = await Client.start({
    capabilities: { workspace: { didChangeWatchedFiles: { dynamicRegistration: true } } },
  });
  await client.open("a.mod", IMPORTING);
  expect(await settled(client, "a.mod", 1)).toEqual(["import-not-found"]);
  await client.open("b.mod", IMPORTED);
  expect(await settled(client, "a.mod", 0)).toEqual([]);
  await client.close("b.mod");
  expect(await settled(client, "a.mod", 1)).toEqual(["import-not-found"]);
  client.write("b.mod", IMPORTED);
  await client.connection.sendNotification("workspace/didChangeWatchedFiles", {
    changes: [{ uri: client.uri("b.mod"), type: 1 }],
  });
  expect(await settled(client, "a.mod", 0)).toEqual([]);
  expect(client.registered).toEqual([
    expect.objectContaining({
      method: "workspace/didChangeWatchedFiles",
      registerOptions: { watchers: [{ globPattern: "**/*.mod" }] },
    }),
  ]);
  expect(await client.stop()).toBe(0);
});

it("only so many folders are looked into, the nearest first", () => {
  for (const path of ["", "a", "a/b"]) {
    mkdirSync(join(folder, path), { recursive: true });
    writeFileSync(join(folder, path, "m.mod"), "");
  }
  expect(modFiles(folder)).toHaveLength(3);
  expect(modFiles(folder, 2).map((uri) => uri.slice(-8))).toEqual([
    expect.any(String),
    expect.stringMatching(/a\/m.mod$/),
  ]);
});

it.skipIf(process.platform === "win32")("the library lies in the user's cache", () => {
  vi.stubEnv("HOME", folder);
  const inside = pathToFileURL(join(folder, ".cache", "modc")).href;
  for (const named of ["", "relative"])
    expect(hostIn({ XDG_CACHE_HOME: named })([]).libraryUri("std/layer.mod")).toMatch(inside);
});

it("a process that may not be signalled is alive", () => {
  const kill = vi.spyOn(process, "kill");
  const failing = (code: string): void =>
    void kill.mockImplementationOnce(() => {
      throw Object.assign(new Error(code), { code });
    });
  failing("EPERM");
  expect(isAlive(1)).toBe(true);
  failing("ESRCH");
  expect(isAlive(1)).toBe(false);
});
