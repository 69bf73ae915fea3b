// The process of commands.ts: runs blocks and generators of the built modc on the null device that its environment
// names, and marks in the layer's log where each begins. Plain Node, so that nothing is translated.
import { appendFileSync, readFileSync } from "node:fs";

const root = new URL("../..", import.meta.url);
const [only] = process.argv.slice(2);
const mark = (name) => appendFileSync(process.env.MODC_LAYER_LOG, `${JSON.stringify({ mark: name })}\n`);
const text = (name) => readFileSync(new URL(`bench/models/${name}.mod`, root), "utf8");
const zeros = ({ shape }) => new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.01);

try {
  const modc = await import(new URL("dist/lib/index.js", root));
  const { load, openDevice } = await import(new URL("dist/lib/runtime.js", root));
  const { createGenerator } = await import(new URL("dist/lib/generate.js", root));
  const device = await openDevice({ kind: "gpu", matrices: true });
  for (const name of ["dense", "mod"]) {
    if (!`${name} block`.startsWith(only)) continue;
    const { program } = modc.compile(text(name), { file: name, target: device.target });
    mark(`${name} block, 2048 tokens: load`);
    const session = await load(program, device, zeros);
    const x = { x: { data: new Float32Array(2048 * 512), shape: [1, 2048, 512] } };
    for (const which of ["first run", "later run"]) {
      mark(`${name} block, 2048 tokens: ${which}`);
      await session.run(x);
    }
    mark("end");
    session.dispose();
  }
  for (const [title, routed] of [
    ["dense", false],
    ["routed", true],
  ]) {
    const name = `token of 4 layers, ${routed ? "half routed" : "dense"}`;
    if (!`${title} token`.startsWith(only)) continue;
    const { generation } = modc.compileGeneration(text("decoder"), {
      file: "decoder",
      target: device.target,
      set: { dim: 512, heads: 8, depth: 4, context: 512, ...(routed && { routed }) },
      precision: { weights: "q8" },
    });
    const generator = await createGenerator(generation, device, zeros);
    const prompt = Array.from({ length: 32 }, (_, i) => i + 1);
    mark(`${name}: prompt of 32, first token`);
    // The generator encodes tokens ahead of reading them: later, one token is encoded per token read.
    let n = 0;
    for await (const _ of generator.generate([prompt], { maxTokens: 32 })) {
      if (++n === 1) mark("between");
      if (n === 12) mark(`${name}: a later token`);
      if (n !== 13) continue;
      mark("end");
      break;
    }
    mark("end");
  }
} catch (error) {
  process.stderr.write(`${error?.stack ?? error}\n`);
}
// Dawn ends in a crash where a device without hardware is destroyed.
process.stderr.write("", () => process.kill(process.pid, "SIGKILL"));
