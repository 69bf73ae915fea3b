// Opens the device that its arguments describe, and a second one if they ask for it, and prints a line of JSON: what
// the first is, or the error.
import { existsSync, readdirSync } from "node:fs";
import { openDevice, RuntimeError, type OpenDeviceOptions } from "../../../../src/runtime/index.js";

/** On Linux a folder for each thread of this process. */
const TASKS = "/proc/self/task";

const { beside, ...options } = JSON.parse(process.argv[2] ?? "{}") as OpenDeviceOptions & {
  readonly beside?: OpenDeviceOptions;
};
try {
  const [device] = await Promise.all([openDevice(options), ...(beside ? [openDevice(beside)] : [])]);
  // An error that no scope catches: it must not reach stdout.
  device.gpu.createBuffer({ size: 4, usage: 0 });
  await device.gpu.queue.onSubmittedWorkDone();
  process.stdout.write(
    JSON.stringify({
      info: device.info,
      uncaptured: device.uncaptured.length,
      drivers: process.env["VK_DRIVER_FILES"] ?? null,
      threads: existsSync(TASKS) ? readdirSync(TASKS).length : null,
      asked: process.env["LP_NUM_THREADS"] ?? null,
    }) + "\n",
  );
} catch (error) {
  if (!(error instanceof RuntimeError)) throw error;
  process.stdout.write(JSON.stringify({ code: error.code, message: error.message, hint: error.hint }) + "\n");
}
