// `modc chat`: a conversation by lines of standard input, what it remembers, and how it ends.
import { spawn, spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import { runCli } from "../../../src/tools/cli/run-cli.js";
import { patience } from "../../soak.js";
import { run } from "./in-process.js";
import { main, root, temporaryFolder } from "./spawn.js";

const MOBY = ["examples/moby.mod", "--weights", "examples/moby.safetensors", "--max-tokens", "12"] as const;
const generated = async (prompt: string): Promise<string> =>
  (await run(["generate", ...MOBY, "--prompt", prompt])).stdout.replace(/\n$/, "");

describe("modc chat", () => {
  it("goes on with what is written, remembers it, and forgets it when it is told to", { tags: "long" }, async () => {
    const first = await generated("Call me Ishmael");
    const second = await generated(`Call me Ishmael${first}\nThe whale`);
    const lines = ["Call me Ishmael", "", "The whale", "/reset", "Call me Ishmael", "/exit", "never read"];
    const { status, stdout, stderr } = await run(["chat", ...MOBY], { stdin: `${lines.join("\n")}\n` });
    expect(stdout).toBe(`${[first, second, first].join("\n")}\n`);
    expect(status).toBe(0);
    expect(stderr).toContain("has no chat template, so the model continues your text");
    expect(stderr).toContain("the conversation is forgotten");
  });

  it("answers by a chat template that is chosen, which the note about none names", { tags: "long" }, async () => {
    const talk = { stdin: "Call me Ishmael\n" };
    expect((await run(["chat", ...MOBY], talk)).stderr).toContain("give one with --chat-template <file or name>");
    const { status, stdout, stderr } = await run(["chat", ...MOBY, "--chat-template", "phi3"], talk);
    const answer = await generated("<|user|>\nCall me Ishmael<|end|>\n<|assistant|>\n");
    expect([status, stdout]).toEqual([0, `${answer}\n`]);
    expect(stderr).not.toContain("no chat template");
    const words = ["generate", ...MOBY, "--prompt", "Call me Ishmael", "--chat-template", "phi3"];
    expect((await run([...words, "--chat"])).stdout).toBe(`${answer}\n`);
    expect(await run(words)).toMatchObject({ status: 2, stderr: expect.stringContaining("give --chat too") });
  });

  it("takes penalties and guesses as generate does", { tags: "long" }, async () => {
    const flags = ["--presence-penalty", "0.7", "--frequency-penalty", "0.4", "--repetition-penalty", "1.1"];
    const text = "Call me Ishmael";
    const [penalised, plain] = [
      (await run(["generate", ...MOBY, "--prompt", text, ...flags])).stdout,
      await generated(text),
    ];
    expect(penalised).not.toBe(`${plain}\n`);
    expect(await run(["chat", ...MOBY, ...flags], { stdin: text })).toMatchObject({ status: 0, stdout: penalised });
    expect((await run(["chat", ...MOBY, "--draft", "routes"], { stdin: text })).stdout).toBe(`${plain}\n`);
    expect(await run(["chat", ...MOBY, "--presence-penalty", "3"])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("--presence-penalty must be from -2 to 2") as string,
    });
  });

  it("shows layers while it is asked to, and says which commands there are", { tags: "long" }, async () => {
    const stdin = "/depth\nCall me Ishmael\n/depth\n/what\n/help\nThe whale";
    const { status, stdout, stderr } = await run(["chat", ...MOBY, "--max-tokens", "5"], { stdin });
    expect([status, stdout.split("\n")]).toEqual([
      0,
      [expect.stringMatching(/^.{5}$/), expect.stringMatching(/^[3-6]{5}$/), expect.stringMatching(/^.{5}$/), ""],
    ]);
    expect(stderr).toContain("layers of each token: 3 4 5 6");
    expect(stderr).toContain("layers are not shown");
    expect(stderr).toContain("there is no /what: type /help for commands");
    expect(stderr).toContain("/reset        forget the conversation");
  });

  it("shows the layers' colours where there are colours", { tags: "long" }, async () => {
    const depth = (env: Readonly<Record<string, string>>) => run(["chat", ...MOBY], { stdin: "/depth\n", env });
    const colored = (await depth({ FORCE_COLOR: "1" })).stderr;
    expect(colored).toContain("layers of each token: \u001b[48;5;255;38;5;16m 3 \u001b[0m");
    expect(colored).not.toContain("\\u001b");
    expect((await depth({ FORCE_COLOR: "1", NO_COLOR: "1" })).stderr).toContain("layers of each token: 3 4 5 6\n");
  });

  it(
    "colours each stream by what that stream is, and tells shades in words where it may have no colours",
    { tags: "long" },
    async () => {
      const terminal = { isTTY: true };
      for (const [words, stdin, legend] of [
        [["chat"], "/depth\nCall me\n", "layers of each token: "],
        [["generate", "--show-depth", "--prompt", "Call me"], "", "depth   "],
      ] as const) {
        const [command, ...more] = words;
        const said = async (stdout: object, stderr: object) =>
          streams([command, ...MOBY, ...more], stdin, stdout, stderr);
        const toFile = await said(terminal, {});
        expect(toFile.stdout).toContain("\u001b[48;5;");
        expect(toFile.stderr).not.toContain("\u001b");
        expect(toFile.stderr).toContain(`${legend}3 (lightest) to 6 (darkest)`);
        const fromFile = await said({}, terminal);
        expect(fromFile.stdout).not.toContain("\u001b");
        expect(fromFile.stderr).toContain(`${legend}3 4 5 6`);
        expect((await said(terminal, terminal)).stderr).toContain(`${legend}\u001b[48;5;`);
      }
    },
  );

  it("goes on without a message that no token stands for, and ends with 1", async () => {
    const file = tokenizerWithout("q");
    const words = ["chat", ...MOBY, "--tokenizer", file, "--max-tokens", "2"];
    const { status, stdout, stderr } = await run(words, { stdin: "hello\n/reset\nqqq\nww\n/reset\nhello\n" });
    expect(stderr).toMatch(/the message was left out: .* has no token for "q", and no token for unknown text/);
    expect(stderr).toMatch(/the message was left out: .*prompt.*/);
    const half = stdout.slice(0, stdout.length / 2);
    expect([status, half + half, half]).toEqual([1, stdout, expect.stringMatching(/.\n$/)]);
  });

  it(
    "says once of tokens that the tokenizer lacks that they have no text, and so does generate",
    { tags: "long" },
    async () => {
      const all = await generated("Call me Ishmael");
      const lacked = Array.from(all).find((letter) => letter !== " " && !"Call me Ishmael".includes(letter))!;
      const more = ["--tokenizer", tokenizerWithout(lacked)];
      const chosen = await run(["generate", ...MOBY, ...more, "--prompt", "Call me Ishmael"]);
      expect([chosen.status, chosen.stdout]).toEqual([0, `${all.replaceAll(lacked, "")}\n`]);
      const note = `note: the model chose token ${lacked.charCodeAt(0)}, which its tokenizer does not have`;
      expect(chosen.stderr).toContain(note);
      const stdin = "Call me Ishmael\n/reset\nCall me Ishmael\n";
      const { stdout, stderr } = await run(["chat", ...MOBY, ...more], { stdin });
      expect(stdout).toBe(chosen.stdout.repeat(2));
      expect(stderr.split(note)).toHaveLength(2);
    },
  );

  it("goes on without a message that is too long, and ends with 1", { tags: "long" }, async () => {
    const stdin = `The\n${"long ".repeat(60)}\nThe whale\n`;
    const { status, stdout, stderr } = await run(["chat", ...MOBY], { stdin });
    const first = await generated("The");
    expect([status, stdout]).toEqual([1, `${first}\n${await generated(`The${first}\nThe whale`)}\n`]);
    expect(stderr).toMatch(/left out: the prompt has 300 tokens, the model reads at most 256\n/);
    expect(stderr).not.toContain("forgotten");
  });

  it(
    "goes on where the model's context is full, without what was said first, and says so once",
    { tags: "long" },
    async () => {
      const stdin = "Call me Ishmael\nThe whale\nThe sea\nThe ship\n";
      const { status, stdout, stderr } = await run(["chat", ...MOBY.slice(0, 3)], { stdin });
      const [first, second] = stdout.split("\n", 2).map((line) => line.length);
      expect([status, first! > 0, second! > 0]).toEqual([0, true, true]);
      const note = "note: there is room for 256 tokens: the oldest messages are forgotten from now on\n";
      expect(stderr.split(note)).toHaveLength(2);
      expect(stderr).not.toContain("left out");
    },
  );

  it("refuses a message of the system where there is no template, as generate does, before weights are read", async () => {
    const more = ["--weights", "none.safetensors", "--system", "Be brief"];
    const chat = await run(["chat", MOBY[0], ...more], { stdin: "Call me\n" });
    const once = await run(["generate", MOBY[0], ...more, "--chat", "--prompt", "Call me"]);
    expect(chat).toEqual(once);
    expect([chat.status, chat.stderr]).toEqual([1, expect.stringContaining("the model has no chat template")]);
    expect(chat.stderr).toContain("--chat-template chatml");
    expect(chat.stderr).toContain("without --chat and --system");
  });

  it("answers each line of a pipe as it comes", { tags: "long", timeout: patience(60_000) }, async () => {
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
    { tags: "long", timeout: patience(60_000) },
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

it.skipIf(process.platform === "win32")(
  "refuses a folder as its input",
  { tags: "long", timeout: patience(60_000) },
  () => {
    const folder = openSync(root, "r");
    onTestFinished(() => closeSync(folder));
    const words = [main, "chat", "examples/moby.mod", "--weights", "examples/moby.safetensors"];
    const { status, stderr } = spawnSync(process.execPath, words, { cwd: root, stdio: [folder, "pipe", "pipe"] });
    expect([status, stderr.toString()]).toEqual([1, expect.stringContaining("cannot read standard input: EISDIR")]);
  },
);

/** Starts `modc chat` as a process: its output once a condition holds, and its exit code and signal. */
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

/** The file of a tokenizer of 256 letters but one, which drops "w" and blanks at both ends. */
function tokenizerWithout(letter: string): string {
  const folder = temporaryFolder();
  onTestFinished(folder.remove);
  const letters = Array.from({ length: 256 }, (_, id) => [String.fromCodePoint(id), id] as const);
  const model = { type: "BPE", vocab: Object.fromEntries(letters.filter(([own]) => own !== letter)), merges: [] };
  const strip = { type: "Strip", strip_left: true, strip_right: true };
  const drop = { type: "Replace", pattern: { String: "w" }, content: "" };
  const normalizer = { type: "Sequence", normalizers: [strip, drop] };
  return folder.file("tokenizer.json", JSON.stringify({ model, normalizer, decoder: { type: "Fuse" } }));
}

/** A command line with streams that are terminals or not. */
async function streams(words: readonly string[], stdin: string, ...kinds: readonly [object, object]) {
  const texts = ["", ""];
  const [stdout, stderr] = kinds.map((kind, i) => ({ ...kind, write: (text: string) => (texts[i] += text) }));
  const input = (): Uint8Array => new TextEncoder().encode(stdin);
  await runCli(words, { stdout: stdout!, stderr: stderr!, stdin: input, env: { TERM: "xterm" } });
  return { stdout: texts[0]!, stderr: texts[1]! };
}
