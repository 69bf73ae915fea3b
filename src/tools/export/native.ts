// Blocks of the library that PyTorch has as modules: their classes extend those, so that what shards, quantizes or
// fuses such modules knows them.
import type { Instance } from "../../language/check/model.js";
import type { Hole } from "./holes.js";

export interface Native {
  /** The class of PyTorch. */
  readonly base: string;
  /** Parameters of the class in the order of the base's, beside `bias`. */
  readonly parameters: readonly string[];
  /** What the sizes of its weights are called, in order of declaration. */
  readonly sizes: readonly string[];
  /** Whether the base takes `bias`. */
  readonly biased: boolean;
}

const NATIVE: Readonly<Record<string, Native>> = {
  Linear: { base: "nn.Linear", parameters: ["d_in", "d_out"], sizes: ["d_out", "d_in", "d_out"], biased: true },
  RMSNorm: { base: "nn.RMSNorm", parameters: ["dim", "eps"], sizes: ["dim"], biased: false },
  LayerNorm: { base: "nn.LayerNorm", parameters: ["dim", "eps"], sizes: ["dim", "dim"], biased: true },
};

/** In a list with blocks that take or give more, it is a class like theirs. */
export function nativeOf({ block, library }: Pick<Instance, "block" | "library">, takesMore: boolean): Native | null {
  return library && !takesMore && Object.hasOwn(NATIVE, block) ? NATIVE[block]! : null;
}

/** The parameter that each of its numbers is: sizes of weights, and the only number that it computes with. */
export function nativeNames({ sizes }: Native, holes: readonly Hole[]): readonly string[] {
  let size = 0;
  return holes.map(({ hint }) => (hint === "size" ? sizes[size++]! : "eps"));
}

/** The class of kinds that differ in whether there is a bias. */
export function nativeText(
  name: string,
  { base, parameters, biased }: Native,
  doc: readonly string[],
  kinds: readonly { readonly resets: readonly string[] }[],
): readonly string[] {
  const most = kinds.reduce((a, b) => (b.resets.length > a.resets.length ? b : a));
  const [weight, ...bias] = most.resets;
  const given = [...parameters, ...(biased ? ["bias=bias"] : [])].join(", ");
  const typed = [
    ...parameters.map((name) => `${name}: ${name === "eps" ? "float" : "int"}`),
    ...(biased ? ["bias: bool = False"] : []),
  ];
  const lines = [
    ...doc,
    "",
    `def __init__(self, ${typed.join(", ")}) -> None:`,
    `    super().__init__(${given})`,
    "",
    "def reset_parameters(self) -> None:",
    `    ${weight!}`,
    ...(bias.length === 0 ? [] : ["    if self.bias is not None:", ...bias.map((line) => `        ${line}`)]),
  ];
  return [`class ${name}(${base}):`, ...lines.map((line) => (line === "" ? line : `    ${line}`))];
}
