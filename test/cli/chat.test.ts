// `modc chat`: a conversation by lines of standard input, and what it remembers.
import { describe, expect, it } from "vitest";
import { run } from "./in-process.js";

const MOBY = ["examples/moby.mod", "--weights", "examples/moby.safetensors", "--max-tokens", "12"] as const;
const generated = async (prompt: string): Promise<string> =>
  (await run(["generate", ...MOBY, "--prompt", prompt])).stdout.replace(/\n$/, "");

describe("modc chat", () => {
  it("goes on with what is written, remembers it, and forgets it when it is told to", async () => {
    const first = await generated("Call me Ishmael");
    const second = await generated(`Call me Ishmael${first}\nThe whale`);
    const lines = ["Call me Ishmael", "", "The whale", "/reset", "Call me Ishmael", "/exit", "never read"];
    const { status, stdout, stderr } = await run(["chat", ...MOBY], { stdin: `${lines.join("\n")}\n` });
    expect(stdout).toBe(`${[first, second, first].join("\n")}\n`);
    expect(status).toBe(0);
    expect(stderr).toContain("has no chat template: the model goes on with what is written");
    expect(stderr).toContain("what was said is forgotten");
  });

  it("shows layers while it is asked to, and says which commands there are", async () => {
    const stdin = "/depth\nCall me Ishmael\n/depth\n/what\n/help\nThe whale";
    const { status, stdout, stderr } = await run(["chat", ...MOBY, "--max-tokens", "5"], { stdin });
    expect([status, stdout.split("\n")]).toEqual([
      0,
      [expect.stringMatching(/^.{5}$/), expect.stringMatching(/^[3-6]{5}$/), expect.stringMatching(/^.{5}$/), ""],
    ]);
    expect(stderr).toContain("layers of each token: 3 4 5 6");
    expect(stderr).toContain("layers are not shown");
    expect(stderr).toContain("there is no /what: /help tells what there is");
    expect(stderr).toContain("/reset   forget what was said");
  });

  it("goes on without a message that is too long", async () => {
    const stdin = `${"long ".repeat(60)}\nThe whale\n`;
    const { status, stdout, stderr } = await run(["chat", ...MOBY], { stdin });
    expect([status, stdout]).toEqual([0, `${await generated("The whale")}\n`]);
    expect(stderr).toContain("the model reads at most 256; /reset forgets what was said");
  });
});
