// Library blocks that PyTorch provides as modules. Their classes extend the PyTorch module, so that tools for sharding,
// quantization and fusion recognize the class.
import type { Instance } from "../../language/check/model/model.js";
import type { Hole } from "./text.js";

export interface Native {
  /** The PyTorch class. */
  readonly base: string;
  /** Class parameters in the order of the base class, without `bias`. */
  readonly parameters: readonly string[];
  /** The parameter that each weight dimension equals, in declaration order. */
  readonly sizes: readonly string[];
  /** Whether the base class takes `bias`. */
  readonly biased: boolean;
}

const NATIVE: Readonly<Record<string, Native>> = {
  Linear: { base: "nn.Linear", parameters: ["d_in", "d_out"], sizes: ["d_out", "d_in", "d_out"], biased: true },
  RMSNorm: { base: "nn.RMSNorm", parameters: ["dim", "eps"], sizes: ["dim"], biased: false },
  LayerNorm: { base: "nn.LayerNorm", parameters: ["dim", "eps"], sizes: ["dim", "dim"], biased: true },
};

/**
 * The PyTorch module for a library block, or null. With `takesMore` the block shares a list with blocks that take or
 * return more; all of them then need the same ordinary class interface.
 */
export function nativeOf({ block, library }: Pick<Instance, "block" | "library">, takesMore: boolean): Native | null {
  return library && !takesMore && Object.hasOwn(NATIVE, block) ? NATIVE[block]! : null;
}

/** The parameter for each hole: the weights' sizes, or `eps`, the only number in the computation. */
export function nativeNames({ sizes }: Native, holes: readonly Hole[]): readonly string[] {
  let size = 0;
  return holes.map(({ hint }) => (hint === "size" ? sizes[size++]! : "eps"));
}

/** Writes one class for kinds that differ only in the bias. */
export function nativeText(
  name: string,
  { base, parameters, biased }: Native,
  doc: readonly string[],
  kinds: readonly { readonly resets: readonly string[] }[],
): readonly string[] {
  const most = kinds.reduce((a, b) => (b.resets.length > a.resets.length ? b : a));
  const [weight, ...bias] = most.resets;
  const args = [...parameters, ...(biased ? ["bias=bias"] : [])].join(", ");
  const typed = [
    ...parameters.map((name) => `${name}: ${name === "eps" ? "float" : "int"}`),
    ...(biased ? ["bias: bool = False"] : []),
  ];
  const lines = [
    ...doc,
    "",
    `def __init__(self, ${typed.join(", ")}) -> None:`,
    `    super().__init__(${args})`,
    "",
    "def reset_parameters(self) -> None:",
    `    ${weight!}`,
    ...(bias.length === 0 ? [] : ["    if self.bias is not None:", ...bias.map((line) => `        ${line}`)]),
  ];
  return [`class ${name}(${base}):`, ...lines.map((line) => (line === "" ? line : `    ${line}`))];
}
