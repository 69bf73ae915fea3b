// Processes that are interrupted, or whose reader goes away, at random moments: none crashes, whatever its driver is
// at, each that has something to keep says so, and nothing temporary stays.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { cases, patience, seedOf } from "../../soak.js";
import { main, root, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const text = folder.file("text.txt", "It was the best of times, it was the worst of times. ".repeat(400));

const MOBY = ["examples/moby.mod", "--weights", "examples/moby.safetensors"];
/** What is stopped, and how: by a signal, or by a reader that reads no more. */
const COMMANDS = {
  run: (output: string) => ["run", ...MOBY, "--text", "Call me", "-o", join(output, "run.safetensors")],
  generate: () => ["generate", ...MOBY, "--prompt", "Call me", "--max-tokens", "40"],
  train: (output: string) => [
    "train",
    "examples/moby.mod",
    "--set",
    "depth=2",
    "--data",
    text,
    "-o",
    join(output, "train"),
    "--steps",
    "30",
    "--batch",
    "2",
  ],
  head: () => [
    "generate",
    "examples/moby.mod",
    "--set",
    "depth=1",
    "--prompt",
    "Call me",
    "--max-tokens",
    "40",
    "--json",
  ],
} as const;
const KINDS = ["run", "generate", "train", "head"] as const;
type Kind = (typeof KINDS)[number];

interface Ending {
  readonly kind: Kind;
  readonly status: number | null;
  readonly signal: string | null;
  readonly stderr: string;
  /** Milliseconds from the signal to the end. */
  readonly after: number;
  /** Whether it was over by itself before. */
  readonly early: boolean;
}

/** Starts a process, stops it after `stopAfter` milliseconds, and waits for its end; null: does not stop it. */
function stopped(
  device: string,
  kind: Kind,
  output: string,
  signal: "SIGINT" | "SIGTERM",
  stopAfter: number | null,
): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...COMMANDS[kind](output), "--device", device], {
      cwd: root,
      env: { ...process.env, NO_COLOR: "1", MESA_SHADER_CACHE_DISABLE: "true" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stderr = "";
    let began = Infinity;
    child.stderr.setEncoding("utf8").on("data", (more: string) => (stderr += more));
    child.stdout.on("data", () => {});
    const stop = (): void => {
      began = performance.now();
      if (kind === "head") child.stdout.destroy();
      else child.kill(signal);
    };
    const timer = stopAfter === null ? undefined : setTimeout(stop, stopAfter);
    child.on("error", reject).on("close", (status, by) => {
      clearTimeout(timer);
      resolve({ kind, status, signal: by, stderr, after: performance.now() - began, early: began === Infinity });
    });
  });
}

describe.skipIf(process.platform === "win32").each(["software", "swiftshader"])(
  "a process on the device %s",
  (device) => {
    const count = cases(5);
    it(`ends as it should at ${count} random moments`, { tags: "long", timeout: patience(300_000) }, async () => {
      let state = seedOf(77) + device.length;
      const random = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
      // How long each takes by itself says where its moments are.
      const whole = new Map<Kind, number>();
      const ends: Ending[] = [];
      let next = 0;
      const worker = async (): Promise<void> => {
        for (let i = next++; i < count; i = next++) {
          const kind = KINDS[i % KINDS.length]!;
          const output = join(folder.path, `${device}-${i}`);
          folder.folder(`${device}-${i}`);
          const longest = whole.get(kind) ?? FIRST_MS;
          const ending = await stopped(device, kind, output, i % 8 < 4 ? "SIGINT" : "SIGTERM", random() * longest);
          // If the process ended early, the next limit is shorter; if it was still running, the limit grows a little.
          whole.set(kind, ending.early ? longest * 0.9 : Math.min(longest * 1.02, MOST_MS));
          ends.push(ending);
          const left = existsSync(output) ? readdirSync(output, { recursive: true }).map(String) : [];
          expect({ left: left.filter((name) => /\.tmp|\.new-/.test(name)) }).toEqual({ left: [] });
          rmSync(output, { recursive: true, force: true });
        }
      };
      await Promise.all([worker(), worker()]);
      const wrong = ends.filter((e) => !endedWell(e));
      const told = wrong.map(({ kind, status, signal, stderr }) => ({
        kind,
        status,
        signal,
        stderr: stderr.slice(-500),
      }));
      const byKind = KINDS.map((kind) => {
        const own = ends.filter((e) => e.kind === kind);
        const stops = own.filter((e) => !e.early);
        return (
          `${kind}: ${stops.length} stopped of ${own.length}, at most ` +
          `${Math.round(Math.max(0, ...stops.map((e) => e.after)))} ms later`
        );
      });
      if (process.env["SOAK"]) process.stderr.write(`${device}: ${byKind.join("; ")}\n`);
      expect(told).toEqual([]);
      expect(ends).toHaveLength(count);
    });
  },
);

describe.skipIf(process.platform === "win32")("what the host computes for long", () => {
  const model = folder.file(
    "large.mod",
    "model Large() { weight w: f32[16000, 8000] = orthogonal(1); forward(x: f32[B, T <= 512, 8000]) -> f32[B, T, " +
      "16000] { x @ transpose(w) } }\n",
  );
  it.each([
    [
      "starting values",
      ["init", model, "-o", join(folder.path, "large.safetensors")],
      () => readdirSync(folder.path).some((name) => name.endsWith(".tmp")),
    ],
    [
      "what kernels must give",
      ["tune", model, "--device", "software", "-o", join(folder.path, "large.json")],
      (said: string) => said.includes("measuring"),
    ],
  ] as const)(
    "is interrupted within a second: %s",
    { tags: "long", timeout: patience(60_000) },
    async (_, words, begun) => {
      const child = spawn(process.execPath, [main, ...words], { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
      let [said, since] = ["", Infinity];
      child.stderr.setEncoding("utf8").on("data", (more: string) => (said += more));
      const watch = setInterval(() => {
        if (!begun(said)) return;
        clearInterval(watch);
        // In the midst of it.
        setTimeout(() => {
          since = performance.now();
          child.kill("SIGINT");
        }, 700);
      }, 20);
      const [status, signal] = await new Promise<readonly [number | null, string | null]>((resolve) =>
        child.on("close", (...ended) => resolve(ended)),
      );
      const after = performance.now() - since;
      expect([status, signal], said).toEqual(words[0] === "tune" ? [130, null] : [null, "SIGINT"]);
      expect(after).toBeLessThan(patience(1000));
      expect(readdirSync(folder.path).filter((name) => name.startsWith("large."))).toEqual(["large.mod"]);
    },
  );
});

/** By itself; by the signal, where there was nothing to keep; or with 130, once what there was is kept and told. */
function endedWell({ kind, status, signal, stderr, after, early }: Ending): boolean {
  if (early || kind === "head") return status === 0;
  if (signal === "SIGINT" || signal === "SIGTERM") return true;
  if (status === 130) return KEPT[kind]?.test(stderr) ?? false;
  return status === 0 && after < patience(LAST_MS); // it had done everything as the signal came
}

/** Messages of the commands that keep their partial results. */
const KEPT: { readonly [K in Kind]?: RegExp } = {
  generate: /: ended by an interrupt\ntime /,
  train: /stopping after this step/,
};

/** How long a process that has done everything may still take to end. */
const LAST_MS = 2000;

/** Where the first moments of each are. */
const FIRST_MS = 3000;
const MOST_MS = 20_000;
