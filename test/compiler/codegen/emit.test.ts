import { describe, expect, it } from "vitest";
import { emit } from "../../../src/compiler/codegen/emit.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { graphOf } from "../schedule/graphs.js";

const OUTPUT = "[B, T, 4] packed T 0 1";

describe("slots", () => {
  it("exist for what a kernel reads, and for nothing else", () => {
    const program = emit(
      schedule(
        graphOf(
          `%c = constant {"value":1,"dtype":"f32","shape":["rows(T)",4]}()\n%y = exp(%c)\nresult "y" = %y ${OUTPUT}`,
        ),
      ),
    );
    expect(program.inputs.map((i) => i.slot)).toEqual([null]);
    expect(program.slots.map((s) => s.label)).toEqual(["y"]);
  });
  it("are one for the reads of one weight", () => {
    const weight = (id: string): string => `%${id} = weight {"path":"w","dtype":"f32","shape":[4]}()`;
    const program = emit(
      schedule(
        graphOf(`${weight("a")}\n${weight("b")}\n%p = mul(%x, %a)\n%y = add(%p, %b)\nresult "y" = %y ${OUTPUT}`),
      ),
    );
    expect(program.weights).toHaveLength(1);
    expect(program.slots.filter((s) => s.label === "w")).toHaveLength(1);
  });
});
