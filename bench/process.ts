// The bench's side of a peer's process.
import { fork, type ChildProcess } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import type { GenerateReply, GenerateRequest } from "./generating/protocol.js";
import type { PeerName, Reply as BlockReply, Request as BlockRequest } from "./protocol.js";
import type { TrainReply, TrainRequest } from "./training/protocol.js";

type Request = BlockRequest | TrainRequest | GenerateRequest;
type Reply = BlockReply | TrainReply | GenerateReply;

const worker = builtWorker();

/**
 * Bundles the peer's process beforehand, like the package's modules: otherwise a first run would spend much of its time
 * on finding, reading and transpiling modules. The bundle is in node_modules, next to the bench's packages.
 */
function builtWorker(): string {
  const here = fileURLToPath(new URL(".", import.meta.url));
  const to = join(here, "node_modules", ".modc-bench");
  const { dependencies } = JSON.parse(readFileSync(join(here, "package.json"), "utf8")) as Manifest;
  const gradients = join(here, "node_modules", "@tensorflow", "tfjs-core", "dist", "register_all_gradients.js");
  rmSync(to, { recursive: true, force: true });
  buildSync({
    // Tests import this module without the bench's packages.
    entryPoints: { worker: join(here, "worker.ts"), ...(existsSync(gradients) && { gradients }) },
    outdir: to,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "es2022",
    external: ["webgpu", "@huggingface/*", ...Object.keys(dependencies)],
    logLevel: "error",
  });
  return join(to, "worker.js");
}

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
}

/** Timeout, longer than any measurement. */
const PATIENCE = 10 * 60_000;

const open = new Set<ChildProcess>();

/** Kills all peers. */
export function killAll(): void {
  for (const child of open) child.kill("SIGKILL");
}

export class PeerProcess {
  readonly name: PeerName;
  readonly #child: ChildProcess;
  #errors = "";

  constructor(name: PeerName, env: Readonly<Record<string, string>> = {}) {
    this.name = name;
    this.#child = fork(worker, [name], {
      serialization: "advanced",
      // Without the translator that the bench itself runs with.
      execArgv: [],
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const child = this.#child;
    open.add(child);
    child.once("exit", () => open.delete(child));
    // The output of a peer is only used if the peer dies.
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (chunk: Buffer) => {
        this.#errors = (this.#errors + chunk.toString()).slice(-4000);
      });
  }

  async ask<K extends Reply["kind"]>(request: Request, kind: K): Promise<Extract<Reply, { kind: K }>> {
    const reply = await this.#send(request);
    if (reply.kind === "failed") throw new Error(reply.message);
    if (reply.kind !== kind) throw new Error(`${this.name} answers ${reply.kind} to ${request.kind}`);
    return reply as Extract<Reply, { kind: K }>; // compared above
  }

  #send(request: Request): Promise<Reply> {
    const child = this.#child;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        finish();
        child.kill("SIGKILL");
        reject(new Error(`${this.name} did not answer to ${request.kind} in time`));
      }, PATIENCE);
      const onMessage = (reply: Reply): void => {
        finish();
        resolve(reply);
      };
      const onExit = (code: number | null, signal: string | null): void => {
        finish();
        reject(new Error(`${this.name} ended (${signal ?? code}): ${this.#errors.trim()}`));
      };
      const finish = (): void => {
        clearTimeout(timer);
        child.off("message", onMessage);
        child.off("exit", onExit);
      };
      if (child.exitCode !== null || child.signalCode !== null) {
        onExit(child.exitCode, child.signalCode);
        return;
      }
      child.on("message", onMessage);
      child.on("exit", onExit);
      child.send(request);
    });
  }

  async close(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => {
      child.once("exit", resolve);
    });
    child.disconnect();
    const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
    await gone;
    clearTimeout(timer);
  }
}
