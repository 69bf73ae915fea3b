// A run of the pretend trainer that takes its time, until it is done or killed; goes on where the one before was.
import { existsSync, readdirSync } from "node:fs";
import { trainModel } from "../../../../src/tools/train/run-node.js";
import { pretendRun } from "../pretend.js";

const [output, data, settings] = process.argv.slice(2) as [string, string, string];
const saved =
  existsSync(`${output}/checkpoints`) && readdirSync(`${output}/checkpoints`).some((name) => name.startsWith("step-"));
const resume = saved ? "last" : null;
const options = pretendRun(output, data, JSON.parse(settings) as { context: number }, {
  resume,
  pretence: { before: () => new Promise((resolve) => setTimeout(resolve, 3)) },
});
process.stdout.write("begun\n");
for await (const event of trainModel(options)) if (event.kind === "end") process.stdout.write("done\n");
