// Runs blocks and generators on a null device: records the commands that the runtime encodes, and the shaders that it
// compiles.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Card } from "../../src/tools/hardware/isa/cards.js";
import { nullEnvironment } from "../../src/tools/hardware/drivers-node.js";

/** What was encoded from one mark to the next. */
export interface RunCounts {
  readonly name: string;
  readonly dispatches: number;
  /** Dispatches of a single workgroup. */
  readonly alone: number;
  readonly barriers: number;
  readonly sets: number;
  readonly submits: number;
  readonly copies: number;
  readonly pipelines: number;
  readonly compileMs: number;
}

type Line =
  | { readonly mark: string }
  | { readonly command: string; readonly groups?: readonly number[] }
  | { readonly pipeline: number; readonly compileMs: number };

/** Which runs: those of `runs.ts`, by their names' beginnings; null: all. */
export function countRuns(card: Card, env: NodeJS.ProcessEnv, only: string | null = null): readonly RunCounts[] {
  const out = mkdtempSync(join(tmpdir(), "modc-hardware-"));
  try {
    const script = fileURLToPath(new URL("runs.mjs", import.meta.url));
    const { stderr } = spawnSync(process.execPath, [script, only ?? ""], {
      env: nullEnvironment(card, out, env, { commands: true }),
      encoding: "utf8",
      timeout: 300_000,
    });
    const path = join(out, "log.jsonl");
    const lines = existsSync(path)
      ? readFileSync(path, "utf8")
          .split("\n")
          .filter((l) => l.startsWith("{"))
      : [];
    const counts = countsIn(lines.map((l) => JSON.parse(l) as Line));
    if (counts.length === 0 || !lines.some((l) => l.includes('"mark":"end"')))
      throw new Error(`the runs on ${card.id} did not come to their end: ${stderr.slice(0, 2000)}`);
    return counts;
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

export function countsIn(lines: readonly Line[]): readonly RunCounts[] {
  const found: { -readonly [K in keyof RunCounts]: RunCounts[K] }[] = [];
  for (const line of lines) {
    if ("mark" in line) {
      const zeros = {
        dispatches: 0,
        alone: 0,
        barriers: 0,
        sets: 0,
        submits: 0,
        copies: 0,
        pipelines: 0,
        compileMs: 0,
      };
      found.push({ name: line.mark, ...zeros });
      continue;
    }
    const last = found.at(-1);
    if (!last) continue;
    if ("command" in line) {
      if (line.command === "dispatch") {
        last.dispatches++;
        if (line.groups?.every((n) => n === 1)) last.alone++;
      } else if (line.command === "barrier") last.barriers++;
      else if (line.command === "sets") last.sets++;
      else if (line.command === "submit") last.submits++;
      else if (line.command === "copy") last.copies++;
    } else {
      last.pipelines++;
      last.compileMs += line.compileMs;
    }
  }
  return found.filter((run) => run.name !== "end" && run.name !== "between");
}
