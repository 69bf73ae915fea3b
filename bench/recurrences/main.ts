// What linear attention costs beside causal attention: `node bench/start.mjs recurrences` writes recurrences.md.
//
// Floor, for a token of a head with K = V = 64 and chunks of C = 64: 4KV + C(K + V) = 24,576 operations, with forget
// C(2K + V) + C² = 16,384 more; causal attention over T = 2048 has T(K + V) = 262,144, so that the ratios are 0.09 and
// 0.16 at equal rates. States are read and written once a chunk: 8KV/C = 512 bytes a token beside the 1024 of q, k, v
// and y. Dispatches: 2, with forget 3. Expected before measuring: on the software device loads cost as much as the
// arithmetic of attention, and twice that of chunks, which reuse a value for 16 rows alone: 0.15 to 0.2, with forget
// 0.4.
import { openDevice, load, type Device, type Session } from "../../src/runtime/index.js";
import { compile, formatDiagnostics } from "../../src/compiler/index.js";
import { random } from "../random.js";
import { replaceFile } from "../replace-file.js";
import { spreadOf } from "../statistics.js";
import { spread, table } from "../tables.js";

/** The most of causal attention's time that linear attention with forget may take. */
const MOST = 0.5;
const [T, WIDTH, HEADS] = [2048, 512, 8];
const PHASES = [
  { name: "forward", phase: "infer", rounds: 7 },
  { name: "training", phase: "train", rounds: 5 },
] as const;

interface Form {
  readonly name: string;
  /** Columns of the product, in widths of the stream. */
  readonly slices: 3 | 4;
  readonly call: string;
}

const FORMS: readonly Form[] = [
  { name: "causal attention", slices: 3, call: "attention(q, k, v, causal: true)" },
  { name: "sums", slices: 3, call: "linear_attention(q, k, v)" },
  { name: "a decay of each head", slices: 3, call: "linear_attention(q, k, v, log_decay: 0 - abs(g))" },
  { name: "what is forgotten", slices: 4, call: "linear_attention(q, k, v, forget: f, at: 0.05 * k)" },
  { name: "decays of dimensions", slices: 4, call: "linear_attention(q, k, v, log_decay: 0 - abs(f))" },
];
/** The same programs without the operation: its time is the difference. */
const WITHOUT: readonly Form[] = [
  { name: "3 without", slices: 3, call: "q + k + v + g[..., None]" },
  { name: "4 without", slices: 4, call: "q + k + v + f" },
];

const sourceOf = ({ slices, call }: Form): string => {
  const slice = (i: number): string => `rearrange(y[..., ${i} * dim:${i + 1} * dim], "b t (h d) -> b h t d", h: heads)`;
  return `model M(dim: int = ${WIDTH}, heads: int = ${HEADS}) {
  weight w: f32[dim, ${slices} * dim]
  weight d: f32[dim, heads]
  forward(x: f32[B, T <= ${T}, dim]) -> f32[B, T, dim] {
    y = x @ w
    q = ${slice(0)}
    k = ${slice(1)}
    v = ${slice(2)}
    ${slices === 4 ? `f = 0.05 * ${slice(3)}` : 'g = rearrange(x @ d, "b t h -> b h t")'}
    z = ${call}
    rearrange(z, "b h t d -> b t (h d)")
  }
  objective(x: f32[B, T <= ${T}, dim]) { loss size = mean(forward(x) ^ 2) }
}`;
};

async function sessionOf(device: Device, form: Form, phase: "infer" | "train"): Promise<Session> {
  const { program, diagnostics, sources } = compile(sourceOf(form), {
    phase,
    file: form.name,
    target: device.target,
    ...(phase === "train" && { gradients: true }),
  });
  if (!program) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return load(program, device, undefined, { max: { B: 1, T }, seed: 1 });
}

const device = await openDevice();
const rng = random(5);
const x = { data: Float32Array.from({ length: T * WIDTH }, () => rng.normal()), shape: [1, T, WIDTH] };
const rows: string[][] = [];
const found = new Map<string, number>();
for (const { name: phaseName, phase, rounds } of PHASES) {
  const all = [...FORMS, ...WITHOUT];
  const sessions: Session[] = [];
  for (const form of all) sessions.push(await sessionOf(device, form, phase));
  const times = all.map((): number[] => []);
  // The first round compiles kernels. Each round goes the other way.
  for (let round = 0; round <= rounds; round++)
    for (const i of all.keys()) {
      const n = round % 2 === 0 ? i : all.length - 1 - i;
      const used = process.cpuUsage();
      await sessions[n]!.run({ x });
      const { user, system } = process.cpuUsage(used);
      if (round > 0) times[n]!.push((user + system) / 1000);
    }
  for (const session of sessions) session.dispose();
  const own = ({ slices }: Form, i: number): number => {
    const without = times[FORMS.length + slices - 3]!;
    return spreadOf(times[i]!.map((time, round) => time - without[round]!)).median;
  };
  const attention = own(FORMS[0]!, 0);
  const whole = spreadOf(times[0]!).median;
  for (const [i, form] of FORMS.entries()) {
    found.set(`${phase} ${form.name}`, own(form, i) / attention);
    rows.push([
      phaseName,
      form.name,
      spread(times[i]!),
      (spreadOf(times[i]!).median / whole).toFixed(2),
      own(form, i).toFixed(1),
      (own(form, i) / attention).toFixed(2),
    ]);
  }
}
const verdict = (phase: "infer" | "train"): string => {
  const ratio = found.get(`${phase} what is forgotten`)!;
  return `${ratio.toFixed(2)} | at most ${MOST} | ${ratio <= MOST ? "met" : "**missed**"}`;
};
const counts = PHASES.map(({ rounds }) => rounds).join(" and ");
const text = `# Linear attention beside causal attention

\`node bench/start.mjs recurrences\` on ${device.info.name}: ${T} tokens,
width ${WIDTH}, ${HEADS} heads of 64 columns. A program is a product of x, the operation, and in
training their gradients.
${counts} rounds behind a first that compiles, all programs in turns in one process. Milliseconds of
processor time as the median with the least and the most, which other work on the machine disturbs
less than the clock. The operation alone is the difference to the same program without it.

${table(["", "operation", "program", "of attention's", "operation alone", "of attention's"], rows)}

| operation alone, with forget, over causal attention | | must | |
| --- | --- | --- | --- |
| forward | ${verdict("infer")} |
| training | ${verdict("train")} |
`;
device.destroy();
replaceFile("recurrences.md", text);
process.stdout.write(text);
