// modc itself, through its public face.
import { compile } from "../../src/compile.js";
import { formatDiagnostics } from "../../src/diagnostics/format.js";
import { load, openDevice, type Device } from "../../src/runtime/index.js";
import type { CaseData } from "../protocol.js";
import type { Built, Peer } from "./peer.js";

let device: Device | null = null;

export const modc: Peer = {
  async open() {
    device = await openDevice();
    return device.info.driver || device.info.name;
  },

  async build(data: CaseData, repeat: number): Promise<Built> {
    const files = new Map(data.files);
    const { program, diagnostics, sources } = compile(data.source, {
      file: `${data.id}.mod`,
      set: { ...data.set, repeat },
      target: device!.target,
      read: (path) => files.get(path) ?? null,
    });
    if (!program) throw new Error(formatDiagnostics(diagnostics, { sources }));
    const weights = new Map(data.weights);
    const session = await load(program, device!, (w) => weights.get(w.path)!.data, { max: { B: 1, T: data.T } });
    const inputs = Object.fromEntries(data.inputs);
    return {
      async run() {
        const { output } = await session.run(inputs, { outputs: ["output"] });
        return output!.data as Float32Array; // every block here has one f32 result
      },
      async dispose() {
        session.dispose();
      },
    };
  },
};
