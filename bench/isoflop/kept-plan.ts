// The plan as it was when its first run began, so that a compiler that has changed since changes neither steps nor costs of what is compared.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PlannedRun } from "./plan.js";

const NAME = "plan.json";

/** The plan that a folder keeps; where it keeps none, this one, which it keeps from now on if `begins`. */
export function keptPlan(folder: string, planned: readonly PlannedRun[], begins: boolean): readonly PlannedRun[] {
  const path = join(folder, NAME);
  if (existsSync(path)) {
    const kept = JSON.parse(readFileSync(path, "utf8")) as readonly PlannedRun[]; // written below
    const [a, b] = [kept, planned].map((plan) => plan.map((run) => run.id).join());
    if (a !== b) throw new Error(`${path} plans other runs (${a}): move the folder away to begin again`);
    return kept;
  }
  if (begins) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${path}.draft`, `${JSON.stringify(planned, null, 1)}\n`);
    renameSync(`${path}.draft`, path);
  }
  return planned;
}
