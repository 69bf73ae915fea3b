// A run of the pretend trainer that takes its time, until it is done or killed; goes on where the one before was.
import { existsSync, readdirSync } from "node:fs";
import { trainModel } from "../../../../src/tools/train/run-node.js";
import type { DataOptions } from "../../../../src/tools/train/data.js";
import { TrainError } from "../../../../src/tools/train/errors.js";
import { DATA_KINDS, kindRun } from "../data-kinds.js";

const [output, named, written] = process.argv.slice(2) as [string, string, string];
const kind = DATA_KINDS.find(({ name }) => name === named)!;
const saved =
  existsSync(`${output}/checkpoints`) && readdirSync(`${output}/checkpoints`).some((name) => name.startsWith("step-"));
const options = kindRun(kind, JSON.parse(written) as DataOptions, output, {
  resume: saved ? "last" : null,
  pretence: { before: () => new Promise((resolve) => setTimeout(resolve, 3)) },
});
process.stdout.write("begun\n");
try {
  for await (const event of trainModel(options)) if (event.kind === "end") process.stdout.write("done\n");
} catch (fault) {
  if (!(fault instanceof TrainError)) throw fault;
  process.stdout.write(`${JSON.stringify({ fault: fault.message })}\n`);
}
