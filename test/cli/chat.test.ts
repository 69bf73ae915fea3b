// `modc chat`: a conversation by lines of standard input, what it remembers, and how it ends.
import { spawn, spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import { patience } from "../soak.js";
import { run } from "./in-process.js";
import { main, root } from "./spawn.js";

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

  it("shows the layers' colours where there are colours", async () => {
    const depth = (env: Readonly<Record<string, string>>) => run(["chat", ...MOBY], { stdin: "/depth\n", env });
    const colored = (await depth({ FORCE_COLOR: "1" })).stderr;
    expect(colored).toContain("layers of each token: \u001b[48;5;255;38;5;16m 3 \u001b[0m");
    expect(colored).not.toContain("\\u001b");
    expect((await depth({ FORCE_COLOR: "1", NO_COLOR: "1" })).stderr).toContain("layers of each token: 3 4 5 6\n");
  });

  it("goes on without a message that is too long, and ends with 1", async () => {
    const stdin = `${"long ".repeat(60)}\nThe whale\n`;
    const { status, stdout, stderr } = await run(["chat", ...MOBY], { stdin });
    expect([status, stdout]).toEqual([1, `${await generated("The whale")}\n`]);
    expect(stderr).toContain("the model reads at most 256; /reset forgets what was said");
  });

  it("answers each line of a pipe as it comes", { timeout: patience(60_000) }, async () => {
    const { child, said, ended } = chatting("--max-tokens", "12");
    child.stdin.write("Call me Ishmael\r\nThe wh");
    await said((text) => text.endsWith("\n"));
    child.stdin.write("ale\n");
    const both = await said((text) => text.split("\n").length === 3);
    child.stdin.end("/reset\nCall me Ishmael"); // the last line has no end
    const [first] = both.split("\n");
    expect(await said((text) => text.split("\n").length === 4)).toBe(`${both}${first}\n`);
    expect(await ended).toEqual([0, null]);
  });

  it.skipIf(process.platform === "win32")(
    "ends within an answer over a pipe by an interrupt, with 130",
    { timeout: patience(60_000) },
    async () => {
      const { child, said, ended } = chatting();
      child.stdin.write("Call me Ishmael\nThe whale\n"); // and more may come
      await said((text) => text.length > 3);
      child.kill("SIGINT");
      expect(await ended).toEqual([130, null]);
      expect(await said(() => true)).toMatch(/[^\n]\n$/);
    },
  );
});

it.skipIf(process.platform === "win32")("refuses a folder as its input", { timeout: patience(60_000) }, () => {
  const folder = openSync(root, "r");
  onTestFinished(() => closeSync(folder));
  const words = [main, "chat", "examples/moby.mod", "--weights", "examples/moby.safetensors"];
  const { status, stderr } = spawnSync(process.execPath, words, { cwd: root, stdio: [folder, "pipe", "pipe"] });
  expect([status, stderr.toString()]).toEqual([1, expect.stringContaining("cannot read standard input: EISDIR")]);
});

/** `modc chat` as a process of its own: what it said once that holds, and its exit code and signal. */
function chatting(...more: readonly string[]) {
  const words = ["chat", "examples/moby.mod", "--weights", "examples/moby.safetensors", ...more];
  const child = spawn(process.execPath, [main, ...words], { cwd: root, stdio: ["pipe", "pipe", "ignore"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (piece: string) => (text += piece));
  const said = async (holds: (text: string) => boolean): Promise<string> => {
    while (!holds(text) && child.exitCode === null && !child.killed)
      await new Promise((resolve) => setTimeout(resolve, 20));
    return text;
  };
  const ended = new Promise((resolve) => child.on("close", (...end) => resolve(end)));
  return { child, said, ended };
}
