// Runs `modc generate` in a user's way: both output streams, exit codes, and refusals.
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { generate, type GenerateTrial } from "../../../src/tools/cli/generate/generate.js";
import { closing } from "../../../src/models/open-node.js";
import { openNamed } from "../../../src/tools/cli/source/model-file.js";
import { describeError } from "../../../src/tools/cli/terminal/exit.js";
import { openSession, type GenerateTextOptions, type TextSession } from "../../../src/tools/session/index.js";
import { writeTextFolder } from "../session/folder.js";
import { modc, root, temporaryFolder, type Ended } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
const folder = join(temporary.path, "chat");
const MOBY = ["examples/moby.mod", "--weights", "examples/moby.safetensors"] as const;
const PROMPT = "It was the w";

/** A model without a longest context, so that only the caller ends generation; what its weights are does not matter. */
const ENDLESS = temporary.file(
  "endless.mod",
  `import { Attention, Embedding, Residual } from "std"
model Endless(dim: int = 16) {
  embed: Embedding(256, dim)
  attn: Residual(Attention(dim, 2, window: 8))
  forward(tokens: u32[B, T]) -> f32[B, T, 256] { attn(embed(tokens)) @ transpose(embed.table) }
}
`,
);

let session: TextSession;
beforeAll(async () => {
  writeTextFolder(folder, { eos_token_id: 2, num_beams: 2 }, 5);
  session = await openSession(join(root, MOBY[0]), { weights: join(root, MOBY[2]) });
});
afterAll(() => session.dispose());

/** The texts of the same model in this process. */
async function moby(prompts: readonly string[], options: GenerateTextOptions): Promise<readonly string[]> {
  const texts = prompts.map(() => "");
  for await (const event of session.generate({ prompts }, options)) texts[event.sequence] += event.text;
  return texts;
}

describe("modc generate", () => {
  it("prints a text and nothing else, and tells on standard error what it came to", { tags: "long" }, async () => {
    const [wanted] = await moby([PROMPT], { maxTokens: 40 });
    const { status, stdout, stderr } = await modc([
      "generate",
      ...MOBY,
      "--prompt",
      PROMPT,
      "--max-tokens",
      "40",
      "--logprobs",
    ]);
    expect([status, stdout]).toEqual([0, `${wanted}\n`]);
    expect(stderr).toMatch(/^Moby on .*: ended by the number of tokens asked for$/m);
    expect(stderr).toMatch(
      /^time {4}first token after \S+ ms \((?:\S+ ms of it compiling kernels, )?12 tokens of prompt, \S+ tokens\/s\),\s+then 39 tokens at \S+ tokens\/s$/m,
    );
    expect(stderr).toMatch(/^layers {2}of 51 tokens: layers\.1 \d+\.\d%, layers\.3 \d+\.\d%, layers\.5 \d+\.\d%$/m);
    expect(stderr).toMatch(
      /^work {4}1\.\d+ MFLOP a generated token, \d\d\.\d% of the \d\.\d+ MFLOP with nothing skipped$/m,
    );
    expect(stderr).toMatch(/^cache {3}\S+ KiB, \d\d\.\d% of the 306 KiB with nothing skipped; \S+ KiB reserved$/m);
    expect(stderr).toMatch(/^logprob -\d\.\d{4} a token on average: perplexity \d\.\d+$/m);
  });

  it("prints several by lines with their numbers, each to its own end; tokens are drawn as options say", async () => {
    const options = { maxTokens: 60, sampling: { temperature: 0.9, topP: 0.9, seed: 7 }, stop: ["h", "\n"] };
    const wanted = await moby([PROMPT, "Call me"], options);
    const flags = [
      "--max-tokens",
      "60",
      "--temperature",
      "0.9",
      "--top-p",
      "0.9",
      "--seed",
      "7",
      "--stop",
      "h",
      "--stop",
      "\n",
    ];
    const { status, stdout } = await modc(["generate", ...MOBY, "--prompt", PROMPT, "--prompt", "Call me", ...flags]);
    expect(status).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.toSorted()).toEqual(wanted.map((t, b) => `[${b}] ${t}`));
  });

  it("prints JSON lines, one for each token and one for all", async () => {
    const [wanted] = await moby([PROMPT], { maxTokens: 5 });
    const { status, stdout } = await modc([
      "generate",
      ...MOBY,
      "--prompt",
      PROMPT,
      "--max-tokens",
      "5",
      "--logprobs",
      "--json",
    ]);
    expect(status).toBe(0);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toHaveLength(6);
    expect(
      lines
        .slice(0, 5)
        .map((l) => l["text"])
        .join(""),
    ).toBe(wanted);
    expect(lines[1]).toMatchObject({
      sequence: 0,
      index: 1,
      logprob: expect.any(Number) as number,
      depth: expect.any(Number) as number,
      finish: null,
    });
    expect(lines[5]).toMatchObject({
      model: "Moby",
      interrupted: false,
      texts: [{ text: wanted, finish: "length" }],
      summary: { promptTokens: 12, generatedTokens: 5 },
    });
  });

  it("guesses tokens, and reports scores of tokens and prompts", { tags: "long" }, async () => {
    const [wanted] = await moby([PROMPT], { maxTokens: 9 });
    const given = ["generate", ...MOBY, "--prompt", PROMPT, "--max-tokens", "9", "--draft", "routes"];
    const { stdout, stderr } = await modc([...given, "--prompt-logprobs", "0"]);
    expect(stdout).toBe(`${wanted}\n`);
    expect(stderr).toMatch(/^draft {3}\d+ tokens guessed, \d+ right$/m);
    expect(stderr).toMatch(/^prompt {2}-\d\.\d{4} a token on average: perplexity \d\.\d+$/m);
    const scored = [...given, "--json", "--top-logprobs", "2", "--prompt-logprobs", "1"];
    const lines = (await modc(scored)).stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    type Score = {
      readonly token?: number;
      readonly logprob: number;
      readonly top: readonly { readonly token: number }[];
    };
    const { scores, ...read } = lines[0] as { readonly scores: readonly (Score | null)[] };
    expect(read).toEqual({ sequence: 0, kind: "prompt", tokens: 12, cached: 0, routes: null });
    expect(scores.map((score) => score?.top.length)).toEqual([undefined, ...Array.from({ length: 11 }, () => 1)]);
    expect(scores.slice(1).every((score) => Number.isInteger(score!.token))).toBe(true);
    for (const { token, score } of lines.slice(1, -1) as { token: number; score: Score }[])
      expect(score.top.map((t) => t.token === token)).toEqual([true, false]);
    expect(lines.at(-1)).toMatchObject({ summary: { drafted: { guessed: expect.any(Number) as number } } });
  });

  it("shows depths below the text where there are no colours, and writes a page of tokens and layers", async () => {
    const [wanted] = await moby([PROMPT], { maxTokens: 30 });
    const page = join(temporary.path, "heat.html");
    const { stdout, stderr } = await modc([
      "generate",
      ...MOBY,
      "--prompt",
      PROMPT,
      "--max-tokens",
      "30",
      "--show-depth",
      "--heatmap",
      page,
    ]);
    // The first token's depth is not known: it came with a prompt of several tokens.
    const lines = stdout.split("\n");
    expect(lines[0]).toBe(wanted!.split("\n")[0]);
    expect(lines[1]).toMatch(new RegExp(`^ [3456]{${lines[0]!.length - 1}}$`));
    expect(stderr).toMatch(/^depth {3}3 4 5 6 layers/m);
    const html = readFileSync(page, "utf8");
    expect(html).toContain("layers.5.inner.attn");
    expect(html.match(/<span class="k /g)).toHaveLength(12 + 30);
    expect(html).not.toMatch(/https?:/);
  });

  it("answers chats, and reads prompts from standard input or a file", { tags: "long" }, async () => {
    const file = temporary.file("prompt.txt", "the sea");
    const args = ["generate", folder, "--max-tokens", "6", "--prompt"];
    const [piped, chat] = await Promise.all([
      fed([...args, "-"], "the white whale"),
      modc([...args, `@${file}`, "--chat", "--system", "be brief"]),
    ]);
    // Three words, and the token for the beginning.
    expect([piped.status, piped.stderr]).toEqual([0, expect.stringMatching(/[( ]4 tokens of prompt/)]);
    expect(piped.stderr).toContain("note: generation_config.json has num_beams = 2, which modc ignores\n");
    expect([chat.status, chat.stderr]).toEqual([0, expect.stringMatching(/[( ]7 tokens of prompt/)]);
  });

  it("that is interrupted keeps what was said, and says what it came to", { tags: "long" }, async () => {
    const { status, stdout, stderr } = await interrupted([
      "generate",
      ENDLESS,
      "--prompt",
      "a",
      "--max-tokens",
      "100000",
    ]);
    expect(status).toBe(130);
    expect(stdout.length).toBeGreaterThan(1);
    expect(stdout.endsWith("\n")).toBe(true);
    expect(stderr).toContain("ended by an interrupt");
    expect(stderr).toMatch(/^time {4}first token after/m);
    expect(stderr).toContain("note: no --weights: the model starts from seed 0 and is untrained");
  });
});

/** With that on standard input. */
const fed = (args: readonly string[], input: string): Promise<Ended> => ended(args, (child) => child.stdin.end(input));

/** With an interrupt as soon as something was said. */
const interrupted = (args: readonly string[]): Promise<Ended> =>
  ended(args, (child) => child.stdout.once("data", () => child.kill("SIGINT")));

function ended(
  args: readonly string[],
  then: (child: ReturnType<typeof spawn> & { stdin: NodeJS.WritableStream; stdout: NodeJS.ReadableStream }) => void,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, "dist", "src", "cli", "main.js"), ...args], {
      cwd: root,
      env: { ...process.env, NO_COLOR: "" },
      stdio: "pipe",
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (piece: string) => (stdout += piece));
    child.stderr.setEncoding("utf8").on("data", (piece: string) => (stderr += piece));
    child.on("error", reject).on("close", (status) => resolve({ status, stdout, stderr }));
    then(child);
  });
}

describe("a device that is lost in the middle of a text", () => {
  /** The command in this process, its device lost at the fifth token. */
  async function lossy(
    recover?: GenerateTrial["recover"],
  ): Promise<{ readonly ended: unknown; readonly stdout: string; readonly stderr: string }> {
    const [stdout, stderr]: string[][] = [[], []];
    const spies = [
      vi.spyOn(process.stdout, "write").mockImplementation((text) => stdout!.push(String(text)) > 0),
      vi.spyOn(process.stderr, "write").mockImplementation((text) => stderr!.push(String(text)) > 0),
    ];
    try {
      const trial: GenerateTrial = {
        told: (own, { index }) => index === 4 && own.device.gpu.destroy(),
        ...(recover && { recover }),
      };
      const flags = { weights: join(root, MOBY[2]), prompt: [PROMPT], maxTokens: 80 };
      const model = await openNamed(join(root, MOBY[0]), { weights: flags.weights });
      const ended: unknown = await generate(model, flags, trial).catch((fault: unknown) => fault);
      await model.close();
      return { ended, stdout: stdout!.join(""), stderr: stderr!.join("") };
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
  }

  it("is a line on standard error, and the text is what it would have been", { tags: "long" }, async () => {
    const [wanted] = await moby([PROMPT], { maxTokens: 80 });
    const { ended: exit, stdout, stderr } = await lossy();
    expect([exit, stdout]).toEqual([0, `${wanted}\n`]);
    expect(
      stderr.match(
        /^note: the device was destroyed; the text continues on .*, after reading \d+ tokens again in \S+ ms$/gm,
      ),
    ).toHaveLength(1);
  });

  it("ends with 3 where there is no other", { tags: "long" }, async () => {
    const { ended: fault, stdout } = await lossy(() => Promise.reject(new Error("nothing is left")));
    expect(describeError(fault)).toMatchObject({
      exit: 3,
      message: "the device was destroyed, and no other device can continue: nothing is left",
    });
    const [wanted] = await moby([PROMPT], { maxTokens: 80 });
    expect(wanted!.startsWith(stdout.trimEnd())).toBe(true);
    expect(stdout.endsWith("\n")).toBe(true);
  });
});

describe("what modc generate refuses", () => {
  /** A copy of the folder with something done to it. */
  function broken(name: string, harm: (path: string) => void): string {
    const copy = join(temporary.path, name);
    mkdirSync(copy);
    for (const file of readdirSync(folder)) copyFileSync(join(folder, file), join(copy, file));
    harm(copy);
    return copy;
  }

  it("is said in a sentence, with the code of whose fault it is", { tags: "long" }, async () => {
    const shard = "model-00002-of-00002.safetensors";
    const template = (text: string) => (path: string) =>
      writeFileSync(join(path, "tokenizer_config.json"), JSON.stringify({ chat_template: text }));
    const [file, weights] = [join(root, MOBY[0]), join(root, MOBY[2])];
    const other = temporary.file("other.mod", "model Other() { forward(x: f32[B, T]) -> f32[B, T] { x } }\n");
    const the = { prompt: ["the"] };
    const cases: readonly (readonly [number, string, string, Parameters<typeof generate>[1]])[] = [
      [2, "there is no prompt", file, { weights }],
      [2, "--system needs --chat", file, { weights, ...the, system: "be brief" }],
      [2, '"the" is not the number of a token', file, { weights, ...the, logitBias: { the: "1" } }],
      [2, "--top-p must be from 0 to 1, found 2", file, { weights, ...the, topP: 2 }],
      [2, "a stop string must be a text of at least one character", file, { weights, ...the, stop: [""] }],
      [1, "the prompt is empty", file, { weights, prompt: [""] }],
      [1, "the prompt has 300 tokens, the model reads at most 256", file, { weights, prompt: ["a".repeat(300)] }],
      [
        1,
        "is not a tokenizer that modc can read",
        broken("t", (p) => writeFileSync(join(p, "tokenizer.json"), "{}")),
        the,
      ],
      [
        1,
        'model_type is "gptj"',
        broken("c", (p) => writeFileSync(join(p, "config.json"), '{"model_type": "gptj"}')),
        the,
      ],
      [1, `${shard}: there is no such file`, broken("s", (p) => rmSync(join(p, shard))), the],
      [1, "has 96 tokens but no tokenizer", broken("n", (p) => rmSync(join(p, "tokenizer.json"))), the],
      [1, "refuses the messages", broken("j", template("{{ raise_exception('no') }}")), { ...the, chat: true }],
      [1, "the model has no chat template", file, { weights, ...the, chat: true }],
      // Before weights are looked for.
      [1, "the model has no chat template", MOBY[0], { weights: "none.safetensors", prompt: ["a"], chat: true }],
      [1, "the prompt is empty", MOBY[0], { weights: "none.safetensors", prompt: [""] }],
      [1, "prompt 1 is empty", MOBY[0], { weights: "none.safetensors", prompt: ["a", ""] }],
      [
        1,
        "holds no safetensors",
        broken("w", (p) =>
          ["model.safetensors.index.json", shard, shard.replace("00002-of", "00001-of")].forEach((f) =>
            rmSync(join(p, f)),
          ),
        ),
        the,
      ],
      [1, "there is no folder", file, { weights, ...the, heatmap: join(temporary.path, "none", "heat.html") }],
      [1, "a model that generates has an input u32[B, T], its tokens; the input x of this one is ", other, the],
    ];
    for (const [code, message, path, flags] of cases) {
      const fault: unknown = await openNamed(path, flags)
        .then((model) => closing(model, () => generate(model, flags)))
        .catch((thrown: unknown) => thrown);
      expect(describeError(fault).message).toContain(message);
      expect(describeError(fault).exit, message).toBe(code);
    }
  });

  it("is a usage fault where it is no number", async () => {
    const { status, stderr } = await modc(["generate", MOBY[0], "--prompt", "the", "--temperature", "warm"]);
    expect([status, stderr]).toEqual([2, expect.stringContaining('--temperature "warm" is not a number')]);
  });

  it("a source with errors is shown in its place", async () => {
    const { status, stdout, stderr } = await modc(["generate", "examples/golden.mod", "--prompt", "a"]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("examples/golden.mod:17:14: error[non-causal-choice]");
  });
});
