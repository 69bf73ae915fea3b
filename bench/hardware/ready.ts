// Ends with 3, and says what to install, where this machine cannot open the GPU that `--card` names or, without it, the
// first: start.mjs asks before it installs anything.
import { GPU_IDS, gpuOf } from "../../src/tools/hardware/isa/cards.js";
import { missingForNullDevice } from "../../src/tools/hardware/drivers-node.js";

const words = process.argv.slice(2).flatMap((word) => word.split("="));
const id = GPU_IDS.find((known) => known === words[words.indexOf("--card") + 1]);
const missing = missingForNullDevice(process.env, gpuOf(id ?? GPU_IDS[0]).vendor);
if (missing) {
  process.stderr.write(`bench: ${missing.message}; ${missing.hint ?? ""}\n`);
  process.exitCode = missing.exit;
}
