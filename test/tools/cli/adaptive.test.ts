// The commands of docs/adaptive.md, from a trained checkpoint to a served model, on stories260k and on chats that this
// model wrote. Steps are few, so the losses are not those that the page states.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { fences, wordsOf } from "../../docs/fences.js";
import { noStories, STORIES } from "../../stories.js";
import { main, modcProcess, root, temporaryFolder } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);

const PROMPTS = ["Once upon a time", "One day", "Lily", "Tom", "The dog", "In the park"];
const PORT = /http:\/\/127\.0\.0\.1:\d+/;

/** The page's commands, in order, as the words behind `npx modc`. */
const commands = fences
  .filter(({ page, language }) => page === "docs/adaptive.md" && language === "sh")
  .flatMap(({ code }) => code.trimEnd().split("\n"))
  .map((line) => wordsOf(line).slice(2));

/** Chats with answers by the model. */
async function chats(): Promise<string> {
  const asked = Array.from({ length: 8 }, () => PROMPTS).flat();
  const words = ["generate", STORIES!, ...asked.flatMap((prompt) => ["--prompt", prompt])];
  const { status, stdout, stderr } = await modcProcess([...words, "--seed", "100", "-n", "80", "--json"]);
  expect(status, stderr).toBe(0);
  const { texts } = JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as { texts: readonly { text: string }[] };
  const records = texts.map(({ text }, i) => ({
    messages: [
      { role: "user", content: asked[i]! },
      { role: "assistant", content: text.trim() },
    ],
  }));
  return temporary.file("chats.jsonl", records.map((record) => `${JSON.stringify(record)}\n`).join(""));
}

/** A command of the page with the files of this test, and with fewer steps. */
function replaced(words: readonly string[], data: string): readonly string[] {
  const files: Readonly<Record<string, string>> = {
    "SmolLM2-135M-Instruct/": STORIES!,
    "examples/chats.jsonl": data,
    "examples/questions.jsonl": join(root, "examples/questions.jsonl"),
  };
  const own = words.map((word, i) => (words[i - 1] === "--steps" ? "24" : (files[word] ?? word)));
  return own[0] === "train" ? [...own, "--length", "128", "--batch", "4", "--windows", "2"] : own;
}

interface Route {
  readonly path: string;
  readonly layers: number;
  readonly tokens: number;
}

/** Starts the server of the command, asks how many tokens each route of a text computed, and ends it. */
async function served(words: readonly string[]): Promise<readonly Route[]> {
  const child = spawn(process.execPath, [main, ...words, "--port", "0"], {
    cwd: temporary.path,
    stdio: ["ignore", "pipe", "pipe"],
  });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      let [stdout, stderr] = ["", ""];
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        const found = PORT.exec((stdout += text));
        if (found) resolve(found[0]);
      });
      child.on("close", (status) => reject(new Error(`it ended with ${status}: ${stderr}`)));
    });
    const reply = await fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "Once upon a time", max_tokens: 12, temperature: 0, modc: { routes: true } }),
    });
    expect(reply.status).toBe(200);
    const { choices } = (await reply.json()) as { choices: readonly { modc: { routes: readonly Route[] } }[] };
    return choices[0]!.modc.routes;
  } finally {
    const closed = once(child, "close");
    child.kill("SIGTERM");
    await closed;
  }
}

it.skipIf(STORIES === null)(
  `the commands of docs/adaptive.md lead from a checkpoint to a served adaptive model${noStories}`,
  { tags: "long", timeout: 300_000 },
  async () => {
    const data = await chats();
    expect(commands.map(([name]) => name)).toEqual(
      "convert cost train train train compare eval eval generate serve".split(" "),
    );
    const said = new Map<string, string>();
    for (const command of commands.slice(0, -1)) {
      const { status, stdout, stderr } = await modcProcess(replaced(command, data), { cwd: temporary.path });
      expect(status, `modc ${command.join(" ")}\n${stderr}`).toBe(0);
      said.set(command.slice(0, 2).join(" "), stdout);
    }
    expect(said.get("convert SmolLM2-135M-Instruct/")).toContain("2 of 5 layers routed");
    const table = (command: string): readonly (readonly string[])[] =>
      said
        .get(command)!
        .split("\n")
        .map((line) => line.trim().split(/ {2,}/));
    const loss = (name: string): number => Number(table("compare dense/").find(([run]) => run === name)![2]);
    // A loss without weights is near 6.2, the logarithm of 512 tokens.
    expect(loss("dense/")).toBeLessThan(2.2);
    expect(loss("adaptive/")).toBeLessThan(3);
    const computed = (name: string): number =>
      Number.parseFloat(
        table(`eval ${name}`)
          .find(([rule]) => rule === "top-k")!
          .at(-1)!,
      );
    expect(computed("dense/")).toBe(100);
    // Half of the tokens, rounded up in each question.
    expect(computed("adaptive/")).toBeGreaterThanOrEqual(50);
    expect(computed("adaptive/")).toBeLessThan(55);
    expect(said.get("generate adaptive/")!.length).toBeGreaterThan(20);
    const routes = await served(replaced(commands.at(-1)!, data));
    expect(routes.map(({ path, layers }) => [path, layers])).toEqual([
      ["", 3],
      ["layers.1", 1],
      ["layers.3", 1],
    ]);
    for (const { tokens } of routes.slice(1)) expect(tokens).toBeLessThanOrEqual(routes[0]!.tokens);
  },
);
