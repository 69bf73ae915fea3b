// The flags of a command as a type: what commander makes of its options, inferred from the options themselves.
import type { InferOptions, Option } from "@commander-js/extra-typings";

/** An option of any value. */
export type AnyOption = Option<string, unknown, unknown, unknown, boolean, unknown>;

/** A property for each option, of the type that its parser gives. */
export type FlagsOf<Options extends readonly AnyOption[], Known = {}> = Options extends readonly [
  Option<infer Usage, infer Preset, infer Default, infer Value, infer Mandatory, infer Choice>,
  ...infer Others extends readonly AnyOption[],
]
  ? FlagsOf<Others, InferOptions<Known, Usage, Default, Value, Mandatory, Preset, Choice>>
  : Readonly<Known>;
