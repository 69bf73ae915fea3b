// The bench's servers and their loads, in separate processes.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { at } from "../cases.js";
import type { Load, Seen } from "./client.js";

export interface Serving {
  readonly url: string;
  readonly process: ChildProcess;
}

/** Starts `modc serve` with such arguments; resolves when it listens. */
export async function serve(args: readonly string[]): Promise<Serving> {
  const process_ = spawn(
    process.execPath,
    [at("dist/src/cli/main.js").pathname, "serve", ...args, "--port", "0", "--log", "json"],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  for await (const line of createInterface({ input: process_.stdout })) {
    const told = JSON.parse(line) as { event: string; url?: string };
    if (told.event !== "listening" || told.url === undefined) continue;
    process_.stdout.resume();
    return { url: told.url, process: process_ };
  }
  throw new Error("the server ended before it listened");
}

export async function loaded(load: Load): Promise<Seen> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...process.execArgv, at("bench/serving/client.ts").pathname, JSON.stringify(load)],
    { maxBuffer: 2 ** 27 },
  );
  return JSON.parse(stdout) as Seen;
}
