// modc itself, through its public face.
import { load, openDevice, type Device } from "../../src/runtime/index.js";
import { compileBlock } from "../cases.js";
import type { CaseData } from "../protocol.js";
import type { Built, Peer } from "./peer.js";

let device: Device | null = null;

/** Once `modc` is open. */
export function modcDevice(): Device {
  if (!device) throw new Error("modc's device is not open");
  return device;
}

export const modc: Peer = {
  async open() {
    device = await openDevice();
    return device.info.driver || device.info.name;
  },

  async build(data: CaseData, repeat: number): Promise<Built> {
    const { program } = compileBlock(data, repeat, device!.target);
    const weights = new Map(data.weights);
    const session = await load(program, device!, (w) => weights.get(w.path)!.data, { max: { B: 1, T: data.T } });
    const inputs = Object.fromEntries(data.inputs);
    const run = async (): Promise<Float32Array> => {
      const { output } = await session.run(inputs, { outputs: ["output"] });
      return output!.data as Float32Array; // every block here has one f32 result
    };
    return {
      first: run,
      run,
      async dispose() {
        session.dispose();
      },
    };
  },
};
