// What routing saves in an exported graph of ONNX: `node bench/start.mjs exported` writes exported.md.
//
// Floor: the products that are left, those of routed layers on an eighth of their rows. The additional work is small
// compared with products of 512 columns: a score of all rows, two choices, a gather and a scatter of rows. A step of
// generation reads one row, so its products wait for the weights of the layers that the token does not skip.
import { readFileSync } from "node:fs";
import type * as Ort from "onnxruntime-node";
import { check } from "../../src/language/check/check.js";
import { ledger } from "../../src/compiler/cost/ledger.js";
import { onnxFile } from "../../src/tools/export/onnx/file.js";
import { onnxGraph } from "../../src/tools/export/onnx/onnx.js";
import { asProgramWeight } from "../../src/runtime/program/program.js";
import { graphsOf } from "../../src/compiler/recipes.js";
import { initialValues } from "../../src/runtime/weights/init.js";
import { fileDtype, toBytes } from "../../src/runtime/weights/to-bytes.js";
import { atMost, between, two } from "../musts.js";
import { random } from "../random.js";
import { replaceFile } from "../replace-file.js";
import { ratioOf } from "../statistics.js";
import { spread, table } from "../tables.js";

const { InferenceSession, Tensor } = await import("onnxruntime-node");

const TEXT = readFileSync(new URL("../models/decoder.mod", import.meta.url), "utf8");
const [DIM, DEPTH, CONTEXT] = [512, 8, 1024];
const ROUNDS = 9;
/** Milliseconds that a turn takes at least. */
const TURN = 400;
/** Time of the routed model over the dense one: every second layer at 12.5% is skipped by seven tokens of eight. */
const LIMITS = [0.8, 0.65] as const;

interface Exported {
  readonly model: Uint8Array;
  /** Operations of a pass over so many tokens. */
  readonly operations: (tokens: number) => number;
}

/** The decoder with starting values, and predictors that skip every token. */
function exported(routed: boolean, caches: boolean): Exported {
  const phase = caches ? "generate" : "infer";
  const set = { routed: String(routed), dim: `${DIM}`, heads: "8", depth: `${DEPTH}`, context: `${CONTEXT}` };
  const { model } = check({ file: "decoder.mod", text: TEXT }, { phase, set, read: () => null });
  if (!model) throw new Error("decoder.mod does not check");
  const { graph } = onnxGraph(model, { caches });
  const file = onnxFile(graph, {
    producer: "modc",
    version: "bench",
    name: model.name,
    doc: null,
    metadata: [],
    beside: { name: "none", always: false },
  });
  const pieces = file.pieces.map((piece) => {
    if (piece instanceof Uint8Array) return piece;
    const weight = asProgramWeight(piece.of.weight);
    const values = initialValues(weight, 1);
    return toBytes(weight.path.endsWith("guess.down.bias") ? values.fill(-100) : values, fileDtype(weight.dtype));
  });
  const computed = graphsOf(model).optimized("infer");
  const operations = (tokens: number): number =>
    ledger(computed, model, { extents: new Map([["B", 1], ["T", tokens]]) }).total.executed.flops; // prettier-ignore
  return { model: Buffer.concat(pieces), operations };
}

const session = (model: Uint8Array): Promise<Ort.InferenceSession> =>
  InferenceSession.create(model, { executionProviders: ["cpu"], logSeverityLevel: 3, intraOpNumThreads: 1 });

/** Milliseconds of the processor that a call takes, of so many that a turn is long enough. */
async function timed(call: () => Promise<unknown>): Promise<number> {
  const [before, begun] = [process.cpuUsage(), performance.now()];
  let calls = 0;
  do {
    await call();
    calls++;
  } while (performance.now() - begun < TURN);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / calls;
}

type Call = () => Promise<unknown>;

async function row(title: string, routed: Call, dense: Call, share: number | null): Promise<readonly string[]> {
  const [own, other]: readonly [number[], number[]] = [[], []];
  for (let round = 0; round <= ROUNDS; round++) {
    const pair = [await timed(routed), await timed(dense)] as const;
    if (round === 0) continue; // sets memory aside
    own.push(pair[0]);
    other.push(pair[1]);
  }
  const ratio = ratioOf(own, other);
  const cells = [
    title,
    spread(own),
    spread(other),
    between(ratio, two),
    share === null ? "" : two(share),
    `${LIMITS[0]}`,
    atMost(ratio.median, LIMITS),
  ];
  process.stderr.write(`exported: ${title}: ${cells[3]}, ${cells[6]}\n`);
  return cells;
}

const rng = random(1);
const tokensOf = (count: number): Ort.Tensor =>
  new Tensor(
    "int64",
    BigInt64Array.from({ length: count }, () => BigInt(rng.below(256))),
    [1, count],
  );

async function wholeSequences(): Promise<readonly (readonly string[])[]> {
  const [routed, dense] = [exported(true, false), exported(false, false)];
  const [own, other] = [await session(routed.model), await session(dense.model)];
  const rows: (readonly string[])[] = [];
  for (const T of [64, 256, 1024]) {
    const tokens = tokensOf(T);
    const share = routed.operations(T) / dense.operations(T);
    const run = (of: Ort.InferenceSession) => () => of.run({ tokens });
    rows.push(await row(`${T} tokens at once`, run(own), run(other), share));
  }
  await own.release();
  await other.release();
  return rows;
}

/** Computes one token after a prompt; the cache stays at the prompt's end. */
async function step(model: Uint8Array, prompt: number): Promise<Call> {
  const own = await session(model);
  const none = Object.fromEntries(
    own.inputMetadata.flatMap(({ name, type, shape }) => {
      if (!name.startsWith("past.")) return [];
      const empty = shape.map((size, dim) => (dim === 0 ? 1 : typeof size === "number" ? size : 0));
      const whole = type === "int64";
      const start = whole ? BigInt64Array.from(empty.length === 1 ? [0n] : []) : new Float32Array(0);
      return [
        [name, start instanceof Float32Array ? new Tensor("float32", start, empty) : new Tensor("int64", start, empty)],
      ];
    }),
  );
  const read = await own.run({ tokens: tokensOf(prompt), ...none });
  const past = Object.fromEntries(
    Object.entries(read).flatMap(([name, x]) =>
      name.startsWith("present.") ? [[name.replace("present", "past"), x]] : [],
    ),
  );
  const tokens = tokensOf(1);
  return () => own.run({ tokens, ...past });
}

const rows = [...(await wholeSequences())];
const [routed, dense] = [exported(true, true), exported(false, true)];
rows.push(
  await row(
    "a token of generation behind 256, whose routed layers are skipped",
    await step(routed.model, 256),
    await step(dense.model, 256),
    null,
  ),
);
const text = `# A routed decoder in ONNX beside a dense one

\`node bench/start.mjs exported\`: a decoder of ${DEPTH} layers, width ${DIM}, starting values, exported by
\`modc export --to onnx\` with every second layer routed at 12.5%, and without routes; onnxruntime-node on one thread of
the processor, batch 1. Both run in turns of ${TURN} ms or more, ${ROUNDS} behind a first that sets memory aside;
times are milliseconds of the processor, medians with the smallest and the largest. *Operations* is the ratio of those
that the ledger counts.

${table(["", "routed, ms", "dense, ms", "ratio", "operations", "must", ""], rows)}
`;
process.stdout.write(text);
replaceFile("exported.md", text);
