// Blocks that divide by numbers of their streams, on a device: small streams and rows of zeros have the gradients of
// the reference.
import { expect, it } from "vitest";
import { compiled, onDevice, randomWeights, reference, sessionOf, type Case } from "../../end-to-end/model.js";
import { expectClose } from "../../close.js";
import { testDevice } from "../../device.js";
import { random } from "../../random.js";

const [BATCH, TOKENS, DIM] = [2, 12, 32];

const BLOCKS = [
  "RMSNorm(32)",
  "LayerNorm(32)",
  "L2Norm()",
  "Mamba2(32, 4, state_dim: 8)",
  "Griffin(32, heads: 2)",
  'MoE([SwiGLU(32, 16), GeluMLP(32, 16), SwiGLU(32, 16)], 32, 2, "sigmoid", renormalize: true)',
  'MoE([SwiGLU(32, 16), GeluMLP(32, 16), SwiGLU(32, 16)], 32, 2, "chosen", z: 0.01)',
  "Chunks(ShortConv(32, 2), 32)",
  "GatedDeltaNet(32, 4)",
  "KDA(32, 4)",
  "Memories(32, 4, count: 3, value_dim: 8)",
  "RWKV7TimeMix(32, 8)",
];

const sourceOf = (call: string): string => `
import { ${[...new Set([...call.matchAll(/\w+(?=\()/g)].map(([name]) => name))].join(", ")} } from "std"
model M() {
  m: ${call}
  weight size: f32[${DIM}]
  forward(x: f32[B, T <= 16, ${DIM}]) -> f32[B, T, ${DIM}] { m(x * size) }
  objective(x: f32[B, T <= 16, ${DIM}]) {
    y = forward(x)
    loss all = sum(y * y + sin(y))
  }
}`;

/** Of this deviation; `padded`: the first rows of each sequence and some in the middle are zeros. */
function stream(deviation: number, padded: boolean): Case {
  const rng = random(5);
  const data = Float32Array.from({ length: BATCH * TOKENS * DIM }, () => deviation * rng.normal());
  if (padded)
    for (let b = 0; b < BATCH; b++)
      for (const row of [0, 1, 6, 7, 9]) data.fill(0, (b * TOKENS + row) * DIM, (b * TOKENS + row + 1) * DIM);
  return { inputs: { x: { shape: [BATCH, TOKENS, DIM], data } } };
}

it.each(BLOCKS)("%s", { tags: "long", timeout: 240_000 }, async (call) => {
  const { program, graph } = compiled(sourceOf(call), { phase: "train", gradients: true });
  const device = await testDevice();
  const weights = randomWeights(program, 11);
  const session = await sessionOf(program, device, weights, { B: BATCH, T: TOKENS });
  try {
    for (const given of [stream(0.02, false), stream(0.02, true), stream(1e-5, false), stream(1, true)]) {
      const found = await onDevice(session, given);
      const { outputs } = reference(graph, weights, given);
      const gradients = graph.outputs.filter(({ name }) => name.startsWith("grad."));
      expect(gradients).toHaveLength(weights.size);
      for (const { name } of gradients) {
        const expected = outputs.get(name)!.data;
        const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
        expectClose(found[name]!.data, expected, () => 1e-3 * largest, name);
      }
    }
  } finally {
    session.dispose();
  }
});
