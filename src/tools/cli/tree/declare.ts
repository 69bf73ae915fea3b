// Declares a command: its arguments, a sentence of description, and its options. Its implementation is named in
// `command-line.ts`, so that a command's file can use the types inferred here.
import type { InferArguments, InferOptions, Option } from "@commander-js/extra-typings";
import type { OpenedModel } from "../../../models/opened/model.js";

export interface Declared<
  Takes extends string = string,
  Options extends readonly AnyOption[] = readonly AnyOption[],
  Choice extends string = string,
  Opens extends boolean = boolean,
> {
  /** Arguments: `<file> [kernel]`; empty if there are none. */
  readonly takes: Takes;
  readonly does: string;
  readonly options: Options;
  /** The choices of its only argument, if that is one of some words. */
  readonly choices?: readonly Choice[];
  /** A note below the options in the help. */
  readonly note?: string;
  /** Whether the first argument is a model: the implementation gets it opened. */
  readonly opens?: Opens;
}

export const declare = <
  const Takes extends string,
  const Options extends readonly AnyOption[],
  const Choice extends string = never,
  const Opens extends boolean = false,
>(
  command: Declared<Takes, Options, Choice, Opens>,
): Declared<Takes, Options, Choice, Opens> => command;

/** The flags of a command. */
export type Flags<Command extends Declared> = FlagsOf<Command["options"]>;

/** The parameters of a command's implementation: its arguments, then its flags. */
export type Given<Command> =
  Command extends Declared<infer Takes, infer Options, infer Choice, infer Opens>
    ? [...([Choice] extends [never] ? Arguments<Takes, Opens> : [Choice]), FlagsOf<Options>]
    : never;

type Arguments<Takes extends string, Opens> = Takes extends ""
  ? []
  : [Opens] extends [true]
    ? WithModel<InferArguments<Takes>>
    : InferArguments<Takes>;

/** The arguments with the opened model in place of the first. */
type WithModel<Words extends readonly unknown[]> = Words extends readonly [infer First, ...infer Rest]
  ? [OpenedModel | Exclude<First, string>, ...Rest]
  : never;

/** An option of any value. */
export type AnyOption = Option<string, unknown, unknown, unknown, boolean, unknown>;

/** A property for each option, with the type of its parser's result. */
export type FlagsOf<Options extends readonly AnyOption[], Known = {}> = Options extends readonly [
  Option<infer Usage, infer Preset, infer Default, infer Value, infer Mandatory, infer Choice>,
  ...infer Others extends readonly AnyOption[],
]
  ? FlagsOf<Others, InferOptions<Known, Usage, Default, Value, Mandatory, Preset, Choice>>
  : Readonly<Known>;
