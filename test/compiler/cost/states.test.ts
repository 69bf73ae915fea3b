// The cache column of `modc cost` counts what generation keeps of recurrences.
import { expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { ledger } from "../../../src/compiler/cost/ledger.js";
import { forwardGraph } from "../../../src/compiler/forward.js";
import { RECURRENT_MODELS } from "../../generation/generate/models.js";

it.each([
  "a delta rule behind a short convolution",
  "sums that decay",
  "rows before, read by several calls",
  "the latest row of a route, held",
])("counts states of recurrences, of each sequence: %s", (name) => {
  const source = RECURRENT_MODELS[name]!;
  const { generation, graphs, model } = compileGeneration(source);
  const states = generation!.states!.reduce((sum, { bytes }) => sum + bytes, 0);
  const sequences = 3;
  const extents = new Map([
    ["B", sequences],
    ["generate.sequence", 1],
    ["T", 1],
    ["T.capacity", 16],
  ]);
  const { total, bytesPerValue } = ledger(graphs!.step, model!, { extents });
  expect((total.executed.cache * 4) / bytesPerValue).toBe(sequences * states);
  // One pass over whole texts holds as much at its end, whatever their length.
  const { model: infer } = check({ file: "m.mod", text: source }, { phase: "infer", set: {}, read: () => null });
  const whole = (length: number): number =>
    ledger(forwardGraph(infer!), infer!, {
      extents: new Map([
        ["B", sequences],
        ["T", length],
      ]),
    }).total.executed.cache;
  expect([whole(5), whole(20)].map((bytes) => (bytes * 4) / bytesPerValue)).toEqual([
    sequences * states,
    sequences * states,
  ]);
});
