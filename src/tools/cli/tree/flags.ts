// The type of a command's flags, inferred from its options as commander parses them.
import type { InferOptions, Option } from "@commander-js/extra-typings";

/** An option of any value. */
export type AnyOption = Option<string, unknown, unknown, unknown, boolean, unknown>;

/** A property for each option, with the type of its parser's result. */
export type FlagsOf<Options extends readonly AnyOption[], Known = {}> = Options extends readonly [
  Option<infer Usage, infer Preset, infer Default, infer Value, infer Mandatory, infer Choice>,
  ...infer Others extends readonly AnyOption[],
]
  ? FlagsOf<Others, InferOptions<Known, Usage, Default, Value, Mandatory, Preset, Choice>>
  : Readonly<Known>;
