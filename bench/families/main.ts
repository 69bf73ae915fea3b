// The budgets of attention that reads pairs, of recurrences and of a routed Mamba-2, measured in one run:
// `node bench/start.mjs families` writes families.md.
//
// Floors. Four equal documents show a quarter of the pairs of all tokens, or nearly that of causal ones. A cap and a
// bias add about 12 operations to the 256 of a score and its value in heads of 64 columns: 1.05. Sinks add a number for
// each head and query. A step reads 2 · 64 numbers a key and head in attention, and reads and writes 64 · 64 in linear
// attention: at 16,384 keys 0.004 of the bytes; a dispatch's cost adds to both.
import { compile, formatDiagnostics } from "../../src/compiler/index.js";
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { createGenerator } from "../../src/generation/generate/index.js";
import { load, openDevice, type Device, type Session } from "../../src/runtime/index.js";
import { random } from "../random.js";
import { replaceFile } from "../replace-file.js";
import { spreadOf } from "../statistics.js";
import { structureOf } from "../structure.js";
import { spread, table } from "../tables.js";

const [T, WIDTH, HEADS, KEYS, ROUNDS] = [2048, 512, 8, 16_384, 15];
const CALLS: Readonly<Record<string, string>> = {
  nothing: "q + k + v",
  "attention, causal": "attention(q, k, v, causal: true)",
  "attention, of all": "attention(q, k, v)",
  "four documents, causal": "attention(q, k, v, causal: true, mask: doc[:, :, None] == doc[:, None, :])",
  "four documents, of all": "attention(q, k, v, mask: doc[:, :, None] == doc[:, None, :])",
  "a cap": "attention(q, k, v, causal: true, cap: 30.0)",
  "a bias, ALiBi": "attention(q, k, v, causal: true, bias: slopes[:, None, None] * gap[:, None])",
  "a cap and a bias": "attention(q, k, v, causal: true, cap: 30.0, bias: slopes[:, None, None] * gap[:, None])",
  sinks: "attention(q, k, v, causal: true) * sigmoid(mass(q, k, causal: true) - slopes[:, None])[..., None]",
  "linear attention with forget": "linear_attention(q, k, v, forget: 0.05 * k, at: 0.05 * k)",
};

const operation = (call: string): string => `model M(dim: int = ${WIDTH}, heads: int = ${HEADS}) {
  weight w: f32[dim, 3 * dim]
  weight slopes: f32[heads]
  forward(x: f32[B, T <= ${T}, dim], doc: u32[B, T]) -> f32[B, T, dim] {
    y = x @ w
    q = rearrange(y[..., 0:dim], "b t (h d) -> b h t d", h: heads)
    k = rearrange(y[..., dim:2 * dim], "b t (h d) -> b h t d", h: heads)
    v = rearrange(y[..., 2 * dim:3 * dim], "b t (h d) -> b h t d", h: heads)
    at = f32(position(x))
    gap = at[:, None, :] - at[:, :, None]
    z = ${call}
    rearrange(z, "b h t d -> b t (h d)") + f32(doc)[..., None]
  }
}`;
const mamba = (inner: string): string => `import { Mamba2, MoD, RMSNorm } from "std"
block Inner(dim: int) {
  norm: RMSNorm(dim)
  mixer: Mamba2(dim, ${2 * HEADS}, state_dim: 64)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { mixer(norm(x)) }
}
model M(dim: int = ${WIDTH}) {
  inner: ${inner}
  forward(x: f32[B, T <= ${T}, dim]) -> f32[B, T, dim] { ${inner.startsWith("MoD") ? "" : "x + "}inner(x) }
}`;
const decoder = (call: string): string => `import { Embedding } from "std"
model M(dim: int = ${WIDTH}, heads: int = ${HEADS}) {
  embed: Embedding(64, dim)
  weight w: f32[dim, 3 * dim]
  weight out: f32[dim, 64]
  forward(tokens: u32[B, T <= ${KEYS + 64}]) -> f32[B, T, 64] {
    x = embed(tokens)
    y = x @ w
    q = rearrange(y[..., 0:dim], "b t (h d) -> b h t d", h: heads)
    k = rearrange(y[..., dim:2 * dim], "b t (h d) -> b h t d", h: heads)
    v = rearrange(y[..., 2 * dim:3 * dim], "b t (h d) -> b h t d", h: heads)
    z = ${call}
    (x + rearrange(z, "b h t d -> b t (h d)")) @ out
  }
}`;

interface Timed {
  readonly times: readonly number[];
  readonly flops: number;
}

/** Milliseconds of processor time of each round: every program once, the next round the other way. */
async function inTurns(device: Device, sources: Readonly<Record<string, string>>): Promise<ReadonlyMap<string, Timed>> {
  const names = Object.keys(sources);
  const rng = random(5);
  const x = { data: Float32Array.from({ length: T * WIDTH }, () => rng.normal()), shape: [1, T, WIDTH] };
  const doc = { data: Uint32Array.from({ length: T }, (_, i) => Math.floor((4 * i) / T)), shape: [1, T] };
  const sessions: Session[] = [];
  const flops: number[] = [];
  for (const file of names) {
    const { program, diagnostics, sources: files } = compile(sources[file]!, { file, target: device.target });
    if (!program) throw new Error(formatDiagnostics(diagnostics, { sources: files }));
    sessions.push(await load(program, device, undefined, { max: { B: 1, T }, seed: 1 }));
    flops.push(structureOf(program, T).flops);
  }
  const times = names.map((): number[] => []);
  // The first round compiles kernels.
  for (let round = 0; round <= ROUNDS; round++)
    for (const i of names.keys()) {
      const n = round % 2 === 0 ? i : names.length - 1 - i;
      const used = process.cpuUsage();
      await sessions[n]!.run(sources[names[n]!]!.includes("doc: u32") ? { x, doc } : { x });
      const { user, system } = process.cpuUsage(used);
      if (round > 0) times[n]!.push((user + system) / 1000);
    }
  for (const session of sessions) session.dispose();
  return new Map(names.map((name, i) => [name, { times: times[i]!, flops: flops[i]! }]));
}

/** Milliseconds of a step behind `KEYS` tokens, each of another text. */
async function stepTimes(device: Device, call: string): Promise<readonly number[]> {
  const source = decoder(call);
  const { generation, diagnostics, sources } = compileGeneration(source, { file: call, target: device.target });
  if (!generation) throw new Error(formatDiagnostics(diagnostics, { sources }));
  const generator = await createGenerator(generation, device, undefined, { seed: 1 });
  const times: number[] = [];
  for (let round = 0; round < 4; round++) {
    const prompt = Uint32Array.from({ length: KEYS }, (_, i) => (i * 7 + round) % 64);
    for await (const _ of generator.generate([prompt], { maxTokens: 33 }));
    const { generation: rest, generatedTokens } = generator.summary!;
    if (round > 0) times.push(rest / (generatedTokens - 1));
  }
  generator.dispose();
  return times;
}

const device = await openDevice();
const operations = await inTurns(
  device,
  Object.fromEntries(Object.entries(CALLS).map(([name, call]) => [name, operation(call)])),
);
const without = operations.get("nothing")!.times;
const own = (name: string): number =>
  spreadOf(operations.get(name)!.times.map((time, round) => time - without[round]!)).median;
const layers = await inTurns(device, { dense: mamba("Inner(dim)"), routed: mamba("MoD(Inner(dim), dim, 12.5%)") });
const steps = new Map<string, readonly number[]>();
for (const name of ["nothing", "attention, causal", "linear attention with forget", "a cap"])
  steps.set(name, await stepTimes(device, CALLS[name]!));
const step = (name: string): number => spreadOf(steps.get(name)!).median - spreadOf(steps.get("nothing")!).median;

const [dense, routed] = [layers.get("dense")!, layers.get("routed")!];
const layerTime = spreadOf(routed.times.map((time, i) => time / dense.times[i]!)).median;
const leastTime = Math.min(...routed.times) / Math.min(...dense.times);
const layerFlops = routed.flops / dense.flops;
const causal = own("attention, causal");
const verdict = (name: string, ratio: number, most: number): string[] => [
  name,
  ratio.toFixed(3),
  `at most ${most}`,
  ratio <= most ? "met" : "**missed**",
];
const verdicts = [
  verdict("four documents, causal", own("four documents, causal") / causal, 0.45),
  verdict("four documents, of all tokens", own("four documents, of all") / own("attention, of all"), 0.45),
  verdict("a cap", own("a cap") / causal, 1.15),
  verdict("a bias", own("a bias, ALiBi") / causal, 1.15),
  verdict("a cap and a bias", own("a cap and a bias") / causal, 1.15),
  verdict("sinks", own("sinks") / causal, 1.03),
  verdict("linear attention with forget", own("linear attention with forget") / causal, 0.5),
  verdict(`its step behind ${KEYS} tokens`, step("linear attention with forget") / step("attention, causal"), 0.1),
  verdict("Mamba-2 under 12.5% MoD: time over operations", layerTime / layerFlops, 1.15),
];
const text = `# Pairs of tokens, recurrences and a routed Mamba-2

\`node bench/start.mjs families\` on ${device.info.name}: ${T} tokens,
width ${WIDTH}, ${HEADS} heads of 64 columns. A program is a product of x and the operation.
${ROUNDS} rounds behind a first that compiles, all programs in turns in one process. Milliseconds of
processor time as the median with the least and the most. The operation alone is the difference to
the same program without it.

${table(
  ["operation", "program", "operation alone"],
  Object.keys(CALLS).map((name) => [name, spread(operations.get(name)!.times), own(name).toFixed(1)]),
)}

A Mamba-2 layer of the same width, ${2 * HEADS} heads of ${WIDTH / HEADS} columns, a state of 64 rows:
dense ${spread(dense.times)}, under 12.5% MoD ${spread(routed.times)}, which is ${layerTime.toFixed(3)}
of the time and ${layerFlops.toFixed(3)} of the operations; by the least times ${leastTime.toFixed(3)} of the
time.

Steps of a decoder of one such operation behind ${KEYS} tokens, in milliseconds of the clock:

${table(
  ["operation", "step", "operation alone"],
  [...steps].map(([name, times]) => [name, spread(times), step(name).toFixed(3)]),
)}

| operation alone, over attention without it | ratio | must | |
| --- | --- | --- | --- |
${verdicts.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}
`;
device.destroy();
replaceFile("families.md", text);
process.stdout.write(text);
