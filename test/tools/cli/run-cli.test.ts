// The command line as a function: exit codes and output as a process has them, and nothing left behind.
import { describe, expect, it } from "vitest";
import { run } from "./in-process.js";

const GOLDEN = ["run", "examples/golden.mod", "--input", "x=[[[1],[3],[2],[4]]]"] as const;

describe("a command line in this process", () => {
  it("gives the exit code and both streams", async () => {
    expect(await run(["--version"])).toEqual({ status: 0, stdout: "0.1.0\n", stderr: "" });
    expect(await run(["run", "--help"])).toMatchObject({
      status: 0,
      stderr: "",
      stdout: expect.stringContaining("Usage: modc run"),
    });
    expect(await run(["frobnicate"])).toMatchObject({
      status: 2,
      stdout: "",
      stderr: expect.stringContaining("unknown command 'frobnicate'"),
    });
    expect(await run(["check", "/nowhere.mod"])).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringContaining("there is no such file"),
    });
  });

  it("runs on a device and on the reference", async () => {
    for (const device of [[], ["--device", "reference"]]) {
      const { status, stdout } = await run([...GOLDEN, ...device]);
      expect([status, stdout]).toEqual([0, expect.stringContaining("[[[1], [12], [2], [18]]]")]);
    }
  });

  it("keeps several apart that run at the same time, with their own environments", async () => {
    const broken = ["check", "/nowhere.mod"];
    const [a, b, c] = await Promise.all([
      run(["check", "examples/golden.mod"]),
      run(broken, { env: { FORCE_COLOR: "1" } }),
      run(broken),
    ]);
    expect(a.stdout).toContain("Golden (infer)");
    expect([b.stderr.includes("\u001b["), c.stderr.includes("\u001b[")]).toEqual([true, false]);
  });

  it("leaves nothing behind: no exit code, no listener", async () => {
    const listeners = (): unknown => ["SIGINT", "SIGTERM", "exit"].map((name) => process.listenerCount(name));
    const before = listeners();
    await run(["generate", "examples/moby.mod", "--set", "depth=1", "--prompt", "a", "--max-tokens", "2"]);
    await run(["train", "examples/moby.mod", "-o", "/nowhere/x", "--data", "/nowhere/text"]);
    expect([listeners(), process.exitCode]).toEqual([before, undefined]);
  });
});
