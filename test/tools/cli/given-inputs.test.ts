// Further inputs of a model that generates: on the command line, and in requests to a server.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytesTokenizer } from "../../../src/models/tokenizer/index.js";
import { createServer, type Server } from "../../../src/tools/serve/index.js";
import { sparingDevice } from "../../device.js";
import { openEngine, type OpenedEngine } from "../../../src/tools/session/index.js";
import { ask, CHAT } from "../serve/asked.js";
import { modc, temporaryFolder } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
const SOURCE = `import { Attention, Embedding, Linear } from "std"
model Pair(dim: int = 16) {
  read: Embedding(11, dim)
  embed: Embedding(256, dim)
  self: Attention(dim, 2)
  out: Linear(dim, 256)
  forward(source: u32[B, S <= 32], tokens: u32[B, T <= 32]) -> f32[B, T, 256] {
    memory = read(source) * 3
    x = embed(tokens)
    x = x + self(x)
    out(x + attention(x, memory, memory))
  }
}
`;
const MODEL = temporary.file("pair.mod", SOURCE);
const WEIGHTS = `${temporary.path}/pair.safetensors`;
const PROMPT = ["generate", MODEL, "--prompt", "ab", "--prompt", "cd", "--max-tokens", "8", "--temperature", "0"];

describe("modc generate --input", () => {
  it("reads inputs whole before the first token, cut to their own lengths", async () => {
    const text = async (rows: string, lengths: readonly string[] = []): Promise<string> => {
      const ended = await modc([...PROMPT, "--input", `source=${rows}`, ...lengths]);
      expect(ended.status, ended.stderr).toBe(0);
      return ended.stdout;
    };
    const texts = await text("[[1,2,3],[4,0,0]]", ["--lengths", "S=3,1"]);
    // what lies beyond a length is not read
    expect(await text("[[1,2,3],[4,9,8]]", ["--lengths", "S=3,1"])).toBe(texts);
    expect(await text("[[1,2,3],[4,9,8]]")).not.toBe(texts);
  });

  it.each([
    [[], "error: input source is missing"],
    [["--input", "source=[[1,2,3]]"], "error: B is 2"],
    [["--input", "picture=[[1]]"], "picture"],
    [["--input", "source=[[1],[2]]", "--lengths", "T=1,1"], "T"],
  ])("refuses %j", async (args, message) => {
    const { status, stdout, stderr } = await modc([...PROMPT, ...args]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(message);
  });

  it("is given by verify, whose steps equal the whole sequence", { tags: "long" }, async () => {
    const beside = SOURCE.replace("T <= 32])", "T <= 32], at: f32[B, T, 2], kind: f32[B, 16])")
      .replace("out: Linear(dim, 256)", "out: Linear(dim, 256)\n  place: Linear(2, dim)")
      .replace("x = embed(tokens)", "x = embed(tokens) + place(at) + kind[:, None]");
    const { status, stdout, stderr } = await modc(["verify", temporary.file("beside.mod", beside), "--seed", "2"]);
    expect(stderr).toContain("B=3 S=32 T=32");
    expect(stdout).toMatch(/holds +rows +causal +3 sequences of unequal lengths/);
    expect(stdout).toMatch(/holds +steps +causal +prompts of 1, 3, 16 tokens and 60 steps equal the whole sequence/);
    expect(status).toBe(0);
  });

  it("is not needed to verify pictures, which have no tokens", { tags: "long" }, async () => {
    const small = ["depth=2", "dim=16", "size=8", "patch=2"].flatMap((set) => ["--set", set]);
    const { status, stdout } = await modc(["verify", "examples/inputs/pictures.mod", ...small]);
    expect(stdout).toMatch(/skipped +causality +causal +there are no later tokens/);
    expect(stdout).toMatch(/holds +rows +causal +3 sequences have the same results as alone/);
    expect(status).toBe(0);
  });

  it("is what chats, samples and routes over texts lack, and what they say", async () => {
    const talk = await modc(["chat", MODEL]);
    expect([talk.status, talk.stderr.split("\n").find((line) => line.startsWith("error"))]).toEqual([
      1,
      "error: a chat gives the model its tokens alone, but Pair takes further inputs",
    ]);
    const sampled = await modc(["sample", MODEL, temporary.file("prompts.jsonl", '{"prompt": "ab"}\n')]);
    expect([sampled.status, sampled.stderr.split("\n").find((line) => line.startsWith("error"))]).toEqual([
      1,
      "error: a sample gives the model its tokens alone, but Pair takes further inputs",
    ]);
    const seen = await modc(["routes", "examples/inputs/translate.mod", "--text", "hello"]);
    expect([seen.status, seen.stderr.split("\n")[0]]).toEqual([
      1,
      "error: routes are shown over a text, which cannot fill the inputs of Translate: source, tokens, targets",
    ]);
  });

  it("is not counted as tokens by cost", async () => {
    const small = ["--set", "depth=2", "--json"];
    const cost = async (file: string, ...args: string[]) => {
      const { status, stdout, stderr } = await modc(["cost", `examples/inputs/${file}.mod`, ...args]);
      expect(status, stderr).toBe(0);
      return stdout;
    };
    const tokens = async (...args: string[]): Promise<number> =>
      (JSON.parse(await cost("translate", ...small, ...args)) as { readonly tokens: number }).tokens; // as it prints
    expect(await tokens("--program", "step")).toBe(1);
    expect(await tokens("--program", "given")).toBe(256);
    expect(await tokens("--at", "S=64,T=32")).toBe(32);
    // parameters that are active for a token do not depend on the length of the other sequence
    const active = async (...args: string[]): Promise<unknown> =>
      (JSON.parse(await cost("translate", ...small, ...args)) as { readonly active: unknown }).active; // as it prints
    expect(await active("--at", "S=64,T=32")).toEqual(await active());
    expect(await cost("pictures")).toMatch(/ operations a sample .*\n.*\n[\d,]+ active for a sample,/);
  });

  it("is all that benches lack", async () => {
    const { status, stderr } = await modc(["bench", MODEL]);
    expect(status).toBe(1);
    expect(stderr).toContain("bench measures models of tokens alone");
  });

  it("is an option of packages, but neither of pages nor of packages whose texts share runs", async () => {
    await modc(["init", MODEL, "-o", WEIGHTS]);
    const build = (...args: string[]) => modc(["build", MODEL, "--weights", WEIGHTS, ...args]);
    const folder = `${temporary.path}/built`;
    const package_ = await build("-o", folder);
    expect([package_.status, package_.stderr]).toEqual([0, ""]);
    expect(package_.stdout).toContain("runs (infer) and generates");
    expect(readFileSync(`${folder}/README.md`, "utf8")).toContain("inputs: { source: … }");
    const page = await build("--single-file", `${temporary.path}/page.html`);
    expect([page.status, page.stderr]).toEqual([
      1,
      "error: --single-file: the page gives the model tokens alone, but this model takes further inputs with a " +
        "prompt\n  hint: give -o for a package, whose `generate` takes them\n",
    ]);
    const shared = await build("-o", folder, "--max-batch", "4");
    expect(shared.status).toBe(1);
    expect(shared.stderr).toContain("--max-batch: the model does not generate: caches in pages are of models whose");
  });
});

describe("a request's modc.inputs", () => {
  let opened: OpenedEngine;
  let server: Server;
  let device: Awaited<ReturnType<typeof sparingDevice>>;
  beforeAll(async () => {
    device = await sparingDevice();
    opened = await openEngine(MODEL, { device });
    server = createServer({ engine: opened.engine, tokenizer: bytesTokenizer, chat: CHAT, name: "pair" });
  });
  afterAll(async () => {
    await opened.close();
    device.destroy();
  });
  const complete = (inputs?: object) =>
    ask(server, "/v1/completions", {
      prompt: "ab",
      max_tokens: 8,
      temperature: 0,
      ...(inputs && { modc: { inputs } }),
    });

  it("are those of the prompt", async () => {
    const [one, other] = [await complete({ source: [1, 2, 3] }), await complete({ source: [4] })];
    expect([one.status, other.status]).toEqual([200, 200]);
    expect(one.json.choices[0].text).not.toBe(other.json.choices[0].text);
  });

  it("have values for the tokens to come where there is one for each token, or are refused", async () => {
    const own = await openEngine(
      temporary.file(
        "paced.mod",
        SOURCE.replace("tokens: u32[B, T <= 32])", "at: f32[B, T, 2], tokens: u32[B, T <= 32])")
          .replace("out: Linear(dim, 256)", "place: Linear(2, dim)\n  out: Linear(dim, 256)")
          .replace("x = embed(tokens)", "x = embed(tokens) + 3 * place(at)"),
      ),
      { device },
    );
    const paced = createServer({ engine: own.engine, tokenizer: bytesTokenizer, chat: CHAT, name: "paced" });
    const text = async (rows: number, turn = 1) => {
      const at = Array.from({ length: rows }, (_, i) => [Math.sin(i * turn), Math.cos(i)]);
      const inputs = { source: [1, 2, 3], at };
      return ask(paced, "/v1/completions", { prompt: "ab", max_tokens: 8, temperature: 0, modc: { inputs } });
    };
    // two tokens of the prompt, and all that are generated but the last
    const [whole, longer, other] = [await text(9), await text(12), await text(9, 2)];
    expect([whole.status, longer.status, other.status]).toEqual([200, 200, 200]);
    expect(longer.json.choices[0].text).toBe(whole.json.choices[0].text);
    expect(other.json.choices[0].text).not.toBe(whole.json.choices[0].text);
    const short = await text(8);
    expect(short.status).toBe(400);
    expect(short.json.error.message).toContain(
      "cannot generate: the input at has values for 8 tokens, but up to 9 are read",
    );
    await own.close();
  });

  it("are checked by name and shape", async () => {
    for (const [inputs, message] of [
      [undefined, "source"],
      [{ source: [[1, 2]] }, "source"],
      [{ source: [1], picture: [1] }, "picture"],
      [{ source: [1, "two"] }, "modc.inputs.source"],
    ] as const) {
      const { status, json } = await complete(inputs);
      expect(status, JSON.stringify(inputs)).toBe(400);
      expect(json.error.message).toContain(message);
    }
  });
});
