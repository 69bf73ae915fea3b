// The first minute: from the start of a process to its first token, with no shader cache, in processes that take turns.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { generateCases, prepareGeneration } from "../generating/cases.js";
import { below, PEER_OF, TOLERANCE } from "../generating/measure.js";
import type { Way } from "../generating/protocol.js";
import { firstLine, rotated, say } from "../measure.js";
import type { Options } from "../options.js";
import { PeerProcess } from "../process.js";

/** Mesa compiles every kernel anew. */
const NO_CACHE = { MESA_SHADER_CACHE_DISABLE: "true" };
/** Number of new processes for each peer. */
const ROUNDS = 5;

/** Milliseconds of each peer, round by round; the reason why others do not take part. */
export interface FirstTokens {
  readonly decoder: { readonly times: ReadonlyMap<Way, readonly number[]>; readonly faults: ReadonlyMap<Way, string> };
  /** `modc generate` on examples/moby.mod: times of this checkout, and of another checkout if the options name one. */
  readonly moby: { readonly own: readonly number[]; readonly before: readonly number[] };
}

export async function measureFirstTokens({ rounds, before }: Options): Promise<FirstTokens> {
  const most = Math.min(rounds, ROUNDS);
  return { decoder: await decoderFirst(most), moby: await mobyFirst(most, before) };
}

const WAYS: readonly Way[] = ["modc", "onnx-cache"];

/**
 * The decoder of four layers, d = 512, its libraries loaded and its device opened within the time; tokens are held
 * against the reference.
 */
async function decoderFirst(rounds: number): Promise<FirstTokens["decoder"]> {
  const prepared = await prepareGeneration(generateCases.find((c) => c.id === "generate-dense")!);
  const data = { ...prepared.data, count: 1 };
  const [times, faults] = [new Map<Way, number[]>(), new Map<Way, string>()];
  for (let round = 0; round < rounds; round++) {
    say(`first token of the decoder: round ${round + 1} of ${rounds}`);
    for (const way of rotated(WAYS, round)) {
      const began = performance.now();
      const peer = new PeerProcess(PEER_OF[way], NO_CACHE);
      try {
        await peer.ask({ kind: "open" }, "opened");
        await peer.ask({ kind: "prepare", data, way }, "prepared");
        const { tokens } = await peer.ask({ kind: "generate", id: data.id, way, drawn: false }, "generated");
        const milliseconds = performance.now() - began;
        const off = below(prepared, tokens);
        if (off <= TOLERANCE) times.set(way, [...(times.get(way) ?? []), milliseconds]);
        else faults.set(way, `wrong: the token is ${off.toExponential(1)} of the largest logit below it`);
      } catch (error) {
        faults.set(way, `fails: ${firstLine(error)}`);
      } finally {
        await peer.close();
      }
    }
  }
  for (const way of faults.keys()) times.delete(way);
  return { times, faults };
}

const HERE = fileURLToPath(new URL("../..", import.meta.url));

async function mobyFirst(rounds: number, before: string | null): Promise<FirstTokens["moby"]> {
  const [own, other]: [number[], number[]] = [[], []];
  const folders: readonly (readonly [string, number[]])[] = [
    [HERE, own],
    ...(before === null ? [] : [[before, other] as const]),
  ];
  for (let round = 0; round < rounds; round++) {
    say(`first token of moby: round ${round + 1} of ${rounds}`);
    for (const [folder, times] of rotated(folders, round)) times.push(await untilFirstToken(folder));
  }
  return { own, before: other };
}

const COMMAND = ["generate", "examples/moby.mod", "--prompt", "Call me Ishmael", "--max-tokens", "4", "--json"];

/** Milliseconds from the start of the command line of a checkout, which is built, to its first line. */
function untilFirstToken(folder: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(process.execPath, ["dist/src/cli/main.js", ...COMMAND], {
      cwd: folder,
      env: { ...process.env, ...NO_CACHE },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [first, errors] = [null as number | null, ""];
    child.stdout.once("data", () => (first = performance.now() - began));
    child.stdout.resume();
    child.stderr.on("data", (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-2000)));
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0 && first !== null) resolve(first);
      else reject(new Error(`modc generate in ${folder} ended with ${code}: ${errors.trim()}`));
    });
  });
}
