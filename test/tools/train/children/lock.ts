// Takes the lock of each folder that it is told, at a moment that all are told, and says whether it got it; releases
// the lock on request.
import { createInterface } from "node:readline";
import { TrainError } from "../../../../src/tools/train/errors.js";
import { lockFolder } from "../../../../src/tools/train/lock-node.js";

let giveBack: (() => Promise<void>) | null = null;
const tell = (word: string): void => void process.stdout.write(`${word}\n`);
tell("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const [word, folder, moment] = JSON.parse(line) as [word: "take" | "give", folder: string, moment: number];
  if (word === "give") {
    await giveBack?.();
    giveBack = null;
    tell("gave");
    continue;
  }
  while (Date.now() < moment);
  try {
    giveBack = await lockFolder(folder);
    tell("won");
  } catch (fault) {
    tell(fault instanceof TrainError && fault.message.includes("trains into") ? "refused" : String(fault));
  }
}
