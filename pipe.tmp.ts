import { readFileSync } from "node:fs";
import { compileTraining } from "./src/train/programs.js";
import { createTrainer } from "./src/train/trainer.js";
import { openDevice } from "./src/runtime/index.js";
const device = await openDevice();
console.log(device.info.name);
const source = readFileSync("examples/moby.mod", "utf8");
const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
for (const [set, rows, T, N] of [[{ dim: "32", heads: "2", depth: "2", context: "64" }, 2, 64, 40], [{ dim: "128", depth: "6" }, 8, 256, 12]] as const) {
  const { programs } = compileTraining({ source, file: "x.mod", set }, { optimizer, clip: 1, microBatches: 1 }, { target: device.target });
  const t = await createTrainer({ programs: programs!, device, optimizer, weightDecay: 0, rows, length: T, microBatches: 1, seed: 1 });
  const w = () => Uint32Array.from({ length: rows * T }, (_, i) => (i * 17) % 251);
  const b = [{ rows, length: T, inputs: { tokens: w(), targets: w() } }];
  const s = { learningRate: 1e-3 };
  for (let i = 0; i < 3; i++) await t.step(b, s);
  const one = async () => { const a = performance.now(); for (let i = 0; i < N; i++) await t.step(b, s); return (performance.now() - a) / N; };
  const two = async () => { const a = performance.now(); let before = t.step(b, s); for (let i = 1; i < N; i++) { const next = t.step(b, s); await before; before = next; } await before; return (performance.now() - a) / N; };
  const r: number[][] = [];
  for (let i = 0; i < 5; i++) r.push([await one(), await two()]);
  console.log(JSON.stringify(set), r.map((x) => x.map((y) => y.toFixed(2)).join("/")).join("  "));
  t.dispose();
}
device.destroy();
