// `npm run bench -- llama`: modc beside llama.cpp on the same GGUF files; writes llama.md.
import { fork, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { replaceFile } from "../replace-file.js";
import { random } from "../random.js";
import { type Shape, type FileType, writeLlama } from "./gguf.js";
import { WAYS, type Reply, type Request, type Way } from "./protocol.js";
import { report, type Measured, type Run } from "./report.js";

const PROMPT = 128;
const COUNT = 33;
/** A software device compiles the kernels of llama.cpp for a minute, and runs a larger model for hours. */
const MOST_EMULATED = 16 * 1024 * 1024;

const SMALL: Shape = {
  name: "Llama of 3.7 million",
  vocab: 2048,
  dim: 256,
  hidden: 768,
  depth: 4,
  heads: 4,
  kvHeads: 2,
};
/** As SmolLM2-135M. */
const LARGE: Shape = {
  name: "Llama of 135 million",
  vocab: 49152,
  dim: 576,
  hidden: 1536,
  depth: 30,
  heads: 9,
  kvHeads: 3,
};
const MADE: readonly (readonly [Shape, FileType])[] = [
  [SMALL, "F32"],
  [SMALL, "Q8_0"],
  [SMALL, "Q4_0"],
  [LARGE, "Q8_0"],
  [LARGE, "Q4_0"],
];

const usage = "npm run bench -- llama [--only text] [--rounds n] [--threads n] [model.gguf …]";

async function main(): Promise<void> {
  const { values, positionals: files } = parseArgs({
    options: {
      only: { type: "string", default: "" },
      rounds: { type: "string" },
      threads: { type: "string" },
    },
    allowPositionals: true,
  });
  const [rounds, threads] = [Number(values.rounds ?? 5), Number(values.threads ?? 1)];
  if (![rounds, threads].every((n) => Number.isSafeInteger(n) && n > 0)) throw new Error(usage);
  const date = new Date();
  const before = loadavg()[0]!;
  const scratch = mkdtempSync(join(tmpdir(), "modc-bench-llama-"));
  const measured: Measured[] = [];
  try {
    for (const [shape, type] of files.length > 0 ? [] : MADE) {
      const title = `${shape.name}, ${type}`;
      if (!title.includes(values.only)) continue;
      const path = join(scratch, "model.gguf");
      writeLlama(path, shape, type);
      measured.push(await measure(title, path, { rounds, threads, vocabulary: shape.vocab }));
    }
    for (const path of files) measured.push(await measure(basename(path), path, { rounds, threads, vocabulary: 256 }));
  } finally {
    rmSync(scratch, { recursive: true });
  }
  const text = report(measured, { date, rounds, prompt: PROMPT, count: COUNT, load: [before, loadavg()[0]!] });
  process.stdout.write(text);
  if (files.length === 0 && values.only === "") replaceFile("llama.md", text);
}

interface Options {
  readonly rounds: number;
  readonly threads: number;
  /** Tokens of prompts are below this. */
  readonly vocabulary: number;
}

async function measure(title: string, path: string, { rounds, threads, vocabulary }: Options): Promise<Measured> {
  const { size } = statSync(path);
  const rng = random(3);
  const prompt = Array.from({ length: PROMPT }, () => 3 + rng.below(vocabulary - 3));
  const runs = new Map<Way, Run>();
  const faults = new Map<Way, string>();
  const processes = new Map<Way, Child>();
  for (const way of WAYS) {
    say(`${title}: ${way} begins`);
    const child = new Child(way);
    try {
      const opened = await child.ask({ kind: "open", path, threads, context: PROMPT + COUNT + 64 }, "opened");
      if (way === "vulkan" && opened.software && size > MOST_EMULATED) {
        child.end();
        continue;
      }
      // The first run compiles.
      const { tokens } = await child.ask({ kind: "run", prompt, count: COUNT }, "ran");
      runs.set(way, { ...opened, tokens, firsts: [], each: [] });
      processes.set(way, child);
    } catch (fault) {
      faults.set(way, fault instanceof Error ? fault.message.split("\n")[0]! : String(fault));
      child.end();
    }
  }
  try {
    for (let round = 0; round < rounds; round++) {
      say(`${title}: round ${round + 1} of ${rounds}`);
      const ways = [...processes.keys()];
      for (const way of ways.map((_, i) => ways[(i + round) % ways.length]!)) {
        const { first, each } = await processes.get(way)!.ask({ kind: "run", prompt, count: COUNT }, "ran");
        runs.get(way)!.firsts.push(first);
        runs.get(way)!.each.push(each);
      }
    }
  } finally {
    for (const child of processes.values()) child.end();
  }
  return { title, bytes: size, runs, faults };
}

/** The process of a way. */
class Child {
  readonly #child: ChildProcess;

  constructor(way: Way) {
    const env = { ...process.env, ...(way === "vulkan" && { GGML_VK_VISIBLE_DEVICES: "0" }) };
    // Said so, llama.cpp takes a software device too.
    this.#child = fork(fileURLToPath(new URL("worker.ts", import.meta.url)), [way], {
      env,
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
  }

  async ask<K extends Reply["kind"]>(request: Request, kind: K): Promise<Extract<Reply, { kind: K }>> {
    const child = this.#child;
    const reply = await new Promise<Reply>((resolve, reject) => {
      const ended = (): void => reject(new Error("the process ended"));
      child.once("exit", ended);
      child.once("message", (message: Reply) => {
        child.off("exit", ended);
        resolve(message);
      });
      child.send(request);
    });
    if (reply.kind === "failed") throw new Error(reply.message);
    if (reply.kind !== kind) throw new Error(`${request.kind} is answered by ${reply.kind}`);
    return reply as Extract<Reply, { kind: K }>; // compared above
  }

  end(): void {
    this.#child.kill();
  }
}

const say = (text: string): void => void process.stderr.write(`bench: ${text}\n`);

await main();
