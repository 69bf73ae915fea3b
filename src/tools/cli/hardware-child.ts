// The process of a null device (src/tools/hardware/null-device-node.ts): prints the device's target, then translates
// kernels, a JSON string a line, and answers each. The build bundles this script separately.
import { createInterface } from "node:readline";
import { openDevice } from "../../runtime/index.js";
import type { ChildLine } from "../hardware/null-device-node.js";

const tell = (line: ChildLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

try {
  // As the runtime opens a card whose self-test has passed.
  const device = await openDevice({ kind: "gpu", matrices: true });
  tell({ kind: "device", target: device.target, name: device.info.name });
  for await (const line of createInterface({ input: process.stdin })) {
    const module = device.gpu.createShaderModule({ code: JSON.parse(line) as string });
    const compiled = device.gpu.createComputePipelineAsync({ layout: "auto", compute: { module } });
    const fault = await compiled.then(
      () => null,
      (error: unknown) => (error instanceof Error ? error.message : String(error)).slice(0, 2000),
    );
    tell({ kind: "compiled", fault });
  }
} catch (error) {
  tell({ kind: "none", message: error instanceof Error ? error.message : String(error) });
}
// Dawn ends in a crash where a device without hardware is destroyed.
process.stdout.write("", () => process.kill(process.pid, "SIGKILL"));
