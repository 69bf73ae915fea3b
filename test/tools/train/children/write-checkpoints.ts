// Writes checkpoints in a loop until it is killed; prints a line once it has written one.
import { openRunFolder } from "../../../../src/tools/train/run-folder-node.js";
import { contentsAt } from "../contents.js";

const run = await openRunFolder(process.argv[2]!);
const last = (await run.steps()).at(-1) ?? 0;
for (let step = last + 1; ; step++) {
  await run.save(contentsAt(step), { keep: 2, best: step % 3 === 0 });
  if (step === last + 1) process.stdout.write("written\n");
}
