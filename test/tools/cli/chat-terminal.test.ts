// `modc chat` in a terminal: the stream for its answers, and the keys that end it.
import { readFileSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import { patience } from "../../soak.js";
import { inTerminal, ptyPython } from "./pty.js";
import { temporaryFolder } from "./spawn.js";

const CHAT = ["chat", "examples/moby.mod", "--weights", "examples/moby.safetensors", "--max-tokens", "12"] as const;
const [INTERRUPT, END] = ["\u0003", "\u0004"];

describe.skipIf(ptyPython === undefined)("modc chat in a terminal", { timeout: patience(120_000) }, () => {
  it("asks there, and writes answers alone to a file that takes them", { tags: "long" }, async () => {
    const folder = temporaryFolder();
    onTestFinished(folder.remove);
    const chatting = async (stream: 1 | 2): Promise<readonly [terminal: string, file: string]> => {
      const file = folder.file(`out${stream}`, "");
      const [status, terminal] = await inTerminal(CHAT, [["> ", "Call me\r/exit\r"]], [stream, file]);
      expect(status).toBe(0);
      return [terminal, readFileSync(file, "utf8")];
    };
    const [terminal, answers] = await chatting(1);
    expect(terminal).toContain("> ");
    expect(answers).toMatch(/^[^>\u001b\n]+\n$/);
    const [, said] = await chatting(2);
    expect(said).not.toContain("\u001b");
    expect(said).toContain("type /help for commands");
  });

  it(
    "ends with 0 by the second interrupt at an empty line, or by the end of input, on a line of its own",
    { tags: "long" },
    async () => {
      const prompt = "\u001b[3G"; // the cursor behind "> "
      const [status, shown] = await inTerminal(CHAT, [
        ["> ", INTERRUPT],
        ["interrupt again to end the conversation, or type /exit\r\n", ""],
        ["> ", INTERRUPT],
      ]);
      const prompts = shown.replace("<file or name> ", "").split("> ").length - 1; // a note names that option
      expect([status, prompts]).toEqual([0, 2]);
      expect(shown).toMatch(/\n$/);
      const ended = await inTerminal(CHAT, [[prompt, END]]);
      expect([ended[0], ended[1].slice(ended[1].lastIndexOf(prompt))]).toEqual([0, `${prompt}\r\n`]);
    },
  );
});
