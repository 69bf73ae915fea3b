// Checks every peer's tokens against the reference, then times those that agree, in turns.
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { firstLine, openAll, rotated, say } from "../measure.js";
import type { Options } from "../options.js";
import { PeerProcess } from "../process.js";
import type { PeerName } from "../protocol.js";
import { generateCases, prepareGeneration, weightBytes, type GenerateCase, type PreparedGeneration } from "./cases.js";
import type { Skipped, Way } from "./protocol.js";

export const PEER_OF: Readonly<Record<Way, PeerName>> = {
  modc: "modc",
  "onnx-cache": "onnxruntime",
  "onnx-whole": "onnxruntime",
};

export interface MeasuredGeneration {
  readonly case: GenerateCase;
  readonly prompt: number;
  readonly count: number;
  /** Milliseconds for a token after the first, round by round, and until the first. */
  readonly times: ReadonlyMap<Way, readonly number[]>;
  readonly firsts: ReadonlyMap<Way, readonly number[]>;
  /**
   * How far the logit of a chosen token was below the largest, at most, over the largest magnitude: by the reference.
   */
  readonly differences: ReadonlyMap<Way, number>;
  readonly faults: ReadonlyMap<Way, string>;
  /** The share of timed tokens that took the layer, by routed layer. */
  readonly shares: readonly number[];
  /** That a token read on average. */
  readonly weightBytes: number;
  /** Of a model in which every routed layer is skipped. */
  readonly skipped: Skipped | null;
}

/** A token may be chosen for a larger one by the errors of 32-bit arithmetic, which are far smaller. */
export const TOLERANCE = 1e-4;

export function chosenGeneration({ only }: Pick<Options, "only">): readonly (readonly GenerateCase[])[] {
  const chosen = generateCases.filter((c) => only === null || c.id.startsWith(only));
  return [...new Set(chosen.map((c) => c.group))].map((group) => chosen.filter((c) => c.group === group));
}

interface Readied extends Omit<MeasuredGeneration, "shares" | "weightBytes" | "skipped"> {
  readonly prepared: PreparedGeneration;
  readonly times: Map<Way, number[]>;
  readonly firsts: Map<Way, number[]>;
  readonly faults: Map<Way, string>;
  shares: readonly number[];
}

export async function measureGeneration(
  group: readonly GenerateCase[],
  options: Options,
): Promise<readonly MeasuredGeneration[]> {
  const ways = [...new Set(group.flatMap((c) => c.ways))];
  const processes = new Map([...new Set(ways.map((way) => PEER_OF[way]))].map((name) => [name, new PeerProcess(name)]));
  try {
    const unopened = await openAll(processes);
    const readied: Readied[] = [];
    for (const c of group) readied.push(await ready(c, processes, unopened));
    for (let round = 0; round < options.rounds; round++) {
      say(`${group.map((c) => c.id).join(", ")}: round ${round + 1} of ${options.rounds}`);
      for (const way of rotated(ways, round))
        for (const r of rotated(readied, round)) await timeRound(r, way, processes.get(PEER_OF[way])!);
    }
    const measured: MeasuredGeneration[] = [];
    for (const { prepared, ...r } of readied) {
      const without =
        r.case.routed === "none" && r.times.has("modc")
          ? readied.find((o) => o.case.routed === null && o.case.depth === r.case.depth / 2 && o.times.has("modc"))
          : undefined;
      if (without) say(`${r.case.id}, ${without.case.id}: what a layer costs that is skipped`);
      const asked = without && { kind: "skip" as const, id: r.case.id, without: without.case.id };
      const skipped = asked ? (await processes.get("modc")!.ask(asked, "skipped")).times : null;
      measured.push({ ...r, skipped, weightBytes: weightBytes(prepared.data, r.shares) });
    }
    return measured;
  } finally {
    await Promise.all([...processes.values()].map((peer) => peer.close()));
  }
}

async function ready(
  c: GenerateCase,
  processes: ReadonlyMap<PeerName, PeerProcess>,
  unopened: ReadonlyMap<PeerName, string>,
): Promise<Readied> {
  say(`${c.id}: the reference, and who agrees with it`);
  const prepared = await prepareGeneration(c);
  const { data } = prepared;
  const [differences, faults, times, firsts] = [
    new Map<Way, number>(),
    new Map<Way, string>(),
    new Map<Way, number[]>(),
    new Map<Way, number[]>(),
  ];
  const known = new Map<string, number>();
  for (const way of c.ways) {
    const name = PEER_OF[way];
    const closed = unopened.get(name);
    if (closed !== undefined) faults.set(way, closed);
    else
      try {
        const peer = processes.get(name)!;
        await peer.ask({ kind: "prepare", data, way }, "prepared");
        const { tokens } = await peer.ask({ kind: "generate", id: c.id, way, drawn: false }, "generated");
        const off = known.get(tokens.join()) ?? below(prepared, tokens);
        known.set(tokens.join(), off);
        differences.set(way, off);
        if (off <= TOLERANCE) for (const samples of [times, firsts]) samples.set(way, []);
        else faults.set(way, `wrong: a token is ${off.toExponential(1)} of the largest logit below it`);
      } catch (error) {
        faults.set(way, `fails: ${firstLine(error)}`);
      }
    say(`${c.id}: ${way} ${faults.get(way) ?? "agrees"}`);
  }
  return {
    case: c,
    prepared,
    prompt: data.prompt.length,
    count: data.count,
    times,
    firsts,
    differences,
    faults,
    shares: [],
  };
}

async function timeRound(r: Readied, way: Way, peer: PeerProcess): Promise<void> {
  const samples = r.times.get(way);
  if (!samples) return;
  try {
    const given = await peer.ask({ kind: "generate", id: r.case.id, way, drawn: r.case.drawn }, "generated");
    samples.push(given.milliseconds);
    r.firsts.get(way)!.push(given.first);
    if (way === "modc") r.shares = given.shares;
  } catch (error) {
    r.times.delete(way);
    r.faults.set(way, `fails: ${firstLine(error)}`);
  }
}

/**
 * How far below the largest logit that of a chosen token lies, at most, over the largest magnitude: by the whole text
 * in 64 bits.
 */
export function below(
  { graph, data: { prompt, weights } }: Pick<PreparedGeneration, "graph" | "data">,
  tokens: ArrayLike<number>,
): number {
  const text = [...prompt, ...Array.from(tokens)].slice(0, -1);
  const inputs = new Map([["tokens", { shape: [1, text.length], data: Uint32Array.from(text) }]]);
  const { data, shape } = evaluate(graph, { inputs, weights: new Map(weights) }).outputs.get("output")!;
  const vocabulary = shape.at(-1)!;
  let most = 0;
  for (let i = 0; i < tokens.length; i++) {
    const row = data.subarray((prompt.length - 1 + i) * vocabulary, (prompt.length + i) * vocabulary);
    const [largest, magnitude] = [
      row.reduce((a, b) => Math.max(a, b), -Infinity),
      row.reduce((a, b) => Math.max(a, Math.abs(b)), 0),
    ];
    most = Math.max(most, (largest - (row[tokens[i]!] ?? -Infinity)) / magnitude);
  }
  return most;
}
