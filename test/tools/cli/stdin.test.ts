// Standard input in place of a file: `-` wherever one is read, by one reader.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { run } from "./in-process.js";

const GOLDEN = readFileSync("examples/golden.mod", "utf8");
const INPUT = "[[[1],[3],[2],[4]]]";
const REFERENCE = ["--device", "reference"];
const RESULT = "[[[1], [12], [2], [18]]]";

describe("- is standard input", () => {
  it("of a source, of an input, of what is formatted and documented", async () => {
    expect((await run(["run", "-", "--input", `x=${INPUT}`, ...REFERENCE], { stdin: GOLDEN })).stdout).toContain(
      RESULT,
    );
    expect(
      (await run(["run", "examples/golden.mod", "--input", "x=@-", ...REFERENCE], { stdin: INPUT })).stdout,
    ).toContain(RESULT);
    expect(await run(["fmt", "-"], { stdin: "model M( ){forward(x:f32[B, T])->f32[B, T]{x}}" })).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^model M\(\) \{/),
    });
    expect(
      (await run(["doc", "-"], { stdin: "/// Twice.\nblock Two() { forward(x: f32[B, T]) -> f32[B, T] { x } }\n" }))
        .stdout,
    ).toContain("Twice.");
    const broken = await run(["check", "-"], { stdin: "model M() { forward(x: f32[B, T]) -> f32[B, T] { y } }" });
    expect([broken.status, broken.stderr]).toEqual([1, expect.stringContaining("<stdin>:1:50: error[unknown-name]")]);
  });

  it("once in a call, and not of what is read in several places", async () => {
    expect(await run(["run", "-", "--input", "x=@-"])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("<file> and --input both read it"),
    });
    expect(await run(["generate", "x.mod", "--prompt", "-", "--prompt", "@-"])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("can be read only once"),
    });
    expect(await run(["run", "examples/moby.mod", "--weights", "-"])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("--weights - cannot be read"),
    });
  });

  it("must be text where text is read", async () => {
    const stdin = Uint8Array.of(0x61, 0xff);
    const { stdout, stderr } = await run(["check", "-"], { stdin });
    expect([stdout, stderr]).toEqual([
      "<stdin>: 1 error, no warnings\n",
      expect.stringContaining("<stdin>:1:2: error[not-text]"),
    ]);
    expect(JSON.parse((await run(["check", "-", "--json"], { stdin })).stdout)).toMatchObject({
      exit: 1,
      file: "<stdin>",
    });
    expect((await run(["generate", "examples/tiny.mod", "--prompt", "-"], { stdin })).stderr).toContain(
      "<stdin>:1:2: this is not UTF-8 text",
    );
  });
});
