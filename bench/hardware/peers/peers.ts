// Other runtimes on the null device: which pipelines and dispatches each operator came to, by the layer's log.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Gpu } from "../../../src/tools/hardware/isa/cards.js";
import { nullEnvironment } from "../../../src/tools/hardware/drivers-node.js";
import type { Pipeline } from "../../../src/tools/hardware/null-device-node.js";
import { END, LATE } from "./marks.js";

export const PEERS = { tfjs: "TensorFlow.js", jax: "jax-js", onnxruntime: "onnxruntime", llama: "llama.cpp" } as const;
export type PeerId = keyof typeof PEERS;

/** The package by which a peer is found to be installed, from bench/. */
const PACKAGES: Readonly<Record<PeerId, string>> = {
  tfjs: "node_modules/@tensorflow/tfjs-backend-webgpu",
  jax: "node_modules/@jax-js/jax",
  onnxruntime: "node_modules/onnxruntime-node",
  llama: "llama/node_modules/node-llama-cpp",
};

export interface PeerDispatch {
  readonly pipeline: Pipeline;
  readonly groups: number;
}

/** What a peer encoded for one operator. */
export interface PeerRun {
  readonly peer: PeerId;
  readonly mark: string;
  readonly dispatches: readonly PeerDispatch[];
  /** Whether the peer did not end in time, so that dispatches may be missing. */
  readonly late: boolean;
}

type Line =
  | { readonly mark: string }
  | { readonly command: string; readonly pipeline?: number; readonly groups?: readonly number[] }
  | (Omit<Pipeline, "number" | "code"> & { readonly pipeline: number; readonly statistics: object });

export const isInstalled = (peer: PeerId): boolean =>
  existsSync(fileURLToPath(new URL(`../../${PACKAGES[peer]}`, import.meta.url)));

/** Why a peer has no results, as a sentence; `detail`: what its process said. */
export class PeerFault extends Error {
  readonly detail: string;

  constructor(message: string, detail = "") {
    super(message);
    this.detail = detail;
  }
}

/** `late`: operators that are left out, because they did not end in time. Throws PeerFault. */
export function runPeer(
  peer: PeerId,
  gpu: Gpu,
  env: NodeJS.ProcessEnv,
): { readonly runs: readonly PeerRun[]; readonly late: readonly string[] } {
  const out = mkdtempSync(join(tmpdir(), "modc-hardware-"));
  try {
    const script = fileURLToPath(new URL("run.ts", import.meta.url));
    const { stderr } = spawnSync(process.execPath, ["--import", import.meta.resolve("tsx"), script, peer], {
      env: nullEnvironment(gpu, out, env, { commands: true }),
      encoding: "utf8",
      timeout: 600_000,
      maxBuffer: 1 << 28,
    });
    const log = join(out, "log.jsonl");
    const text = existsSync(log) ? readFileSync(log, "utf8") : "";
    const fault = (): PeerFault => new PeerFault(`${PEERS[peer]} did not come to its end.`, stderr.trim().slice(-1000));
    const end = text.indexOf(JSON.stringify({ mark: END }));
    if (end < 0) throw fault();
    const runs = runsIn(peer, text.slice(0, end), (n) => {
      const path = join(out, "code", `${n}.s`);
      return existsSync(path) ? readFileSync(path, "utf8") : "";
    });
    if (runs.length === 0) throw fault();
    return { runs: runs.filter(({ late }) => !late), late: runs.filter(({ late }) => late).map(({ mark }) => mark) };
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

export function runsIn(peer: PeerId, log: string, codeOf: (pipeline: number) => string): readonly PeerRun[] {
  const pipelines = new Map<number, Pipeline>();
  const runs: { peer: PeerId; mark: string; dispatches: PeerDispatch[]; late: boolean }[] = [];
  for (const text of log.split("\n")) {
    if (!text.startsWith("{")) continue;
    const line = JSON.parse(text) as Line;
    if ("mark" in line && line.mark.startsWith(LATE)) {
      const last = runs.at(-1);
      if (last) last.late = true;
    } else if ("mark" in line) runs.push({ peer, mark: line.mark, dispatches: [], late: false });
    else if ("statistics" in line) {
      const { pipeline: number, ...rest } = line;
      pipelines.set(number, { ...rest, number, code: codeOf(number) });
    } else if (line.command === "dispatch") {
      const pipeline = pipelines.get(line.pipeline ?? 0);
      const groups = (line.groups ?? []).reduce((a, b) => a * b, 1);
      if (pipeline) runs.at(-1)?.dispatches.push({ pipeline, groups });
    }
  }
  return runs.filter(({ mark }) => mark !== END);
}
