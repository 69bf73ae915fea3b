// The user's folders where the system knows no home: containers run programs by any number.
import { chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { homeFolder, temporaryCache, userCache } from "../../../src/ground/files/cache-node.js";

describe("a user's home", () => {
  it("is null where the system knows none, or says what is no path", () => {
    const throws = (): never => {
      throw new Error("A system error occurred: uv_os_homedir returned ENOENT");
    };
    expect(homeFolder(throws)).toBeNull();
    expect(homeFolder(() => "")).toBeNull();
    expect(homeFolder(() => "/home/ishmael")).toBe("/home/ishmael");
  });

  it.skipIf(process.platform === "win32")("is of no account where the environment names a cache", () => {
    expect(userCache({ XDG_CACHE_HOME: "/var/cache/ishmael" })).toBe("/var/cache/ishmael/modc");
  });
});

describe.skipIf(process.getuid === undefined)("the cache among temporary folders", () => {
  let folder = "";
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "modc-cache-"))));
  afterEach(() => rmSync(folder, { recursive: true }));
  const usual = (): string => join(folder, `modc-${process.getuid!()}`);

  it("is the user's own, there or not", () => {
    expect(temporaryCache(folder)).toBe(usual());
    mkdirSync(usual());
    expect(temporaryCache(folder)).toBe(usual());
  });

  it.skipIf(process.getuid?.() !== 0)("is another where another user has put one there", () => {
    mkdirSync(usual());
    chownSync(usual(), 12_345, 12_345);
    expect(temporaryCache(folder)).toBe(`${usual()}-${process.pid}`);
  });
});
