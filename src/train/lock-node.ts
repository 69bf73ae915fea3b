// One process at a time trains into a folder.
import { open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder, writing } from "./disk-node.js";
import { TrainError } from "./errors.js";

const NAME = ".lock";

/** Takes a run's folder, which it makes where it is missing, for this process; returns what gives it back. A lock whose process is gone is taken over. Throws TrainError where another has it. */
export async function lockFolder(path: string): Promise<() => Promise<void>> {
  const file = join(path, NAME);
  await writing(path, () => makeFolder(path));
  for (let tries = 0; ; tries++) {
    const taken = await writing(path, () => make(file));
    if (taken) return () => rm(file, { force: true });
    const owner = Number(await readFile(file, "utf8").catch(() => ""));
    if (tries === 0 && !lives(owner)) {
      await rm(file, { force: true });
      continue;
    }
    throw new TrainError("bad-option", `another process (${owner}) trains into ${path}`, {
      hint: `give another folder; where no such process runs, remove ${file}`,
    });
  }
}

async function make(file: string): Promise<boolean> {
  try {
    const handle = await open(file, "wx");
    await handle.writeFile(String(process.pid));
    await handle.close();
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

/** Whether a process of that number runs, be it another user's. */
function lives(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
