import { createEmit } from "/tmp/wt/kern/src/ir/build.js";
import { ops } from "/tmp/wt/kern/src/ops/index.js";
import { emit } from "/tmp/wt/kern/src/codegen/emit.js";
import { schedule } from "/tmp/wt/kern/src/schedule/schedule.js";
import { load, openDevice } from "/tmp/wt/kern/src/runtime/index.js";
import { tuningsFor } from "/tmp/wt/kern/src/schedule/tunings/index.js";
import { rowsSize, axisSize } from "/tmp/wt/kern/src/size/size.js";
const device = await openDevice({});
const axes: any = [{ role: "batch", name: "B", bound: null }, { role: "sequence", name: "T", bound: 4096, count: { kind: "input" } }];
type Build = (e: any, rows: (before: number[], behind: number[], dtype?: string) => any, starts: any, positions: any, state: (name: string, shape: number[]) => any) => any[];
export async function bench(name: string, T: number, B: number, flops: number, build: Build, repeat = 9) {
  const e = createEmit(ops, axes);
  const inputs: any[] = []; const data: any = {}; const states: any[] = [];
  const rows = (before: number[], behind: number[], dtype = "f32") => {
    const n = `x${inputs.length}`;
    const node = e.node("input", [], { name: n, dtype: dtype as any, shape: [...before, rowsSize("T"), ...behind] });
    inputs.push({ name: n, node, shape: [axisSize("B"), ...before, axisSize("T"), ...behind], packing: { axis: "T", batchDim: 0, tokenDim: before.length + 1 }, least: 0, below: null });
    const shape = [B, ...before, T, ...behind]; const c = shape.reduce((a, b) => a * b, 1);
    data[n] = { shape, data: dtype === "f32" ? Float32Array.from({ length: c }, () => Math.random() - 0.5) : Uint32Array.from({ length: c }, () => Math.floor(Math.random() * 256)) };
    return node;
  };
  rows([], []);
  const starts = e.node("starts", [], { axis: "T" });
  const positions = e.node("positions", [starts], { axis: "T" });
  const state = (name: string, shape: number[]) => { const n = e.node("state", [], { name, dtype: "f32", shape }); states.push({ name, type: n.types[0], init: { kind: "zeros" }, next: n }); return n; };
  const outs = build(e, rows, starts, positions, state);
  const outputs = outs.map((node, i) => { const d = node.types[0].shape.findIndex((s: any) => typeof s !== "number"); const shape = node.types[0].shape;
    return d < 0 ? { name: `y${i}`, role: "result", node, shape, packing: null } : { name: `y${i}`, role: "result", node, shape: [axisSize("B"), ...shape.map((s: any, k: number) => k === d ? axisSize("T") : s)], packing: { axis: "T", batchDim: 0, tokenDim: d + 1 } }; });
  const graph: any = { name: "b", axes, live: [], inputs, outputs, states, starts: new Map([["T", starts]]) };
  const plan = schedule(graph, device.target, tuningsFor(device.target));
  const t0 = performance.now();
  const session = await load(emit(plan), device);
  await session.run(data, { outputs: outputs.map((o: any) => o.name) }); const t1 = performance.now();
  all.push({ name, flops, session, data, first: t1 - t0, profiles: [] });
}
const all: any[] = [];
async function report(rounds = 12) {
  for (let r = 0; r < rounds; r++) for (const a of all) a.profiles.push(await a.session.profile(a.data, { repeat: 3 }));
  for (const a of all) {
    const best = (i: number) => Math.min(...a.profiles.map((p: any) => p.works[i].ms));
    const works = a.profiles[0].works;
    const sum = works.reduce((t: number, _w: any, i: number) => t + best(i), 0);
    console.log(`${a.name}: ${sum.toFixed(2)} ms${a.flops ? `, ${(a.flops / sum / 1e6).toFixed(1)} GFLOP/s` : ""} (first ${a.first.toFixed(0)} ms)`);
    if (process.env.STEPS) works.forEach((w: any, i: number) => console.log(`   ${w.steps.map((k: number) => (a.session.program.steps[k] as any).kernel === undefined ? a.session.program.steps[k]!.kind : a.session.program.kernels[(a.session.program.steps[k] as any).kernel]!.name).join(",")}: ${best(i).toFixed(3)}`));
  }
}
export const only = process.argv.slice(2);
const want = (n: string) => only.length === 0 || only.some((o) => n.includes(o));
const N = 512, D = 512;
if (want("fwd")) await bench("fwd x·Wᵀ state", N, 1, 2 * N * D * D, (e, rows, _s, _p, state) => [e.node("matmul", [rows([], [D]), state("w", [D, D])], { transposed: true })]);
if (want("bwd")) await bench("bwd dy·W state", N, 1, 2 * N * D * D, (e, rows, _s, _p, state) => [e.node("matmul", [rows([], [D]), state("w", [D, D])], { transposed: false })]);
if (want("wgt")) await bench("x·Wᵀ weight", N, 1, 2 * N * D * D, (e, rows) => [e.node("matmul", [rows([], [D]), e.node("weight", [], { path: "w", dtype: "f32", shape: [D, D] })], { transposed: true })]);
if (want("contract")) await bench("contract 512", N, 1, 2 * N * D * D, (e, rows) => [e.node("contract", [rows([], [D]), rows([], [D])], {})]);
if (want("cwide")) await bench("contract 512x2048", N, 1, 2 * N * D * 2048, (e, rows) => [e.node("contract", [rows([], [D]), rows([], [2048])], {})]);
if (want("csmall")) await bench("contract 128x128 n 1024", 1024, 1, 2 * 1024 * 128 * 128, (e, rows) => [e.node("contract", [rows([], [128]), rows([], [128])], {})]);
const H = 8, W = 64;
const att = { causal: true, window: 0, scale: 0.125 };
const fl = H * 2 * (2 * W) * (N * (N + 1) / 2);
if (want("att")) await bench("attention", N, 1, fl, (e, rows, s, p) => [e.node("attention", [rows([H], [W]), rows([H], [W]), rows([H], [W]), s, s, p, p], att)]);
if (want("kept")) await bench("attention_kept", N, 1, fl, (e, rows, s, p) => { const k = e.node("attention_kept", [rows([H], [W]), rows([H], [W]), rows([H], [W]), s, s, p, p], att); return [e.pick(k, 0), e.pick(k, 1)]; });
if (want("agrad")) await bench("attention_grad", N, 1, 2.5 * fl, (e, rows, s, p) => { const q = [rows([H], [W]), rows([H], [W]), rows([H], [W])]; const k = e.node("attention_grad", [...q, s, s, p, p, rows([H], []), rows([H], []), rows([H], [W])], att); return [0, 1, 2].map((i) => e.pick(k, i)); }, 5);
if (want("gather")) await bench("gather_grad 256", N, 1, 0, (e, rows) => [e.node("gather_grad", [rows([], [], "u32"), rows([], [D])], { rows: 256 })]);
if (want("gbig")) await bench("gather_grad 32768", N, 1, 0, (e, rows) => [e.node("gather_grad", [rows([], [], "u32"), rows([], [D])], { rows: 32768 })]);
if (want("ce")) await bench("cross_entropy_grad 512x8192", N, 1, 0, (e, rows) => [e.node("cross_entropy_grad", [rows([], [8192]), rows([], [], "u32"), rows([], [])], {})]);
if (want("colsum")) await bench("column sums 512x512", N, 1, 0, (e, rows) => [e.node("sum", [rows([], [D])], { axes: [0], keep: false })]);
if (want("adamw")) await bench("adamw 1M", 1, 1, 0, (e, rows, _s, _p, state) => { const [w, m, v, g] = ["w", "m", "v", "g"].map((n) => state(n, [1024, 1024])); const st = e.node("adamw", [w, m, v, g, state("s", [5])], { beta1: 0.9, beta2: 0.99, eps: 1e-8 }); return [0].map((i) => e.pick(st, i)); });
await report(Number(process.env.ROUNDS ?? 12));
device.destroy();
process.exit(0);
