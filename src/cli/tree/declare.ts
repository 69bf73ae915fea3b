// How a command is declared: its arguments, what it does in a sentence, and its options. What it calls is in `acts.ts`,
// so that a command's own file can have the types that follow from here.
import type { InferArguments } from "@commander-js/extra-typings";
import type { AnyOption, FlagsOf } from "./flags.js";

export interface Declared<
  Takes extends string = string,
  Options extends readonly AnyOption[] = readonly AnyOption[],
  Choice extends string = string,
> {
  /** Arguments: `<file> [kernel]`; empty: none. */
  readonly takes: Takes;
  readonly does: string;
  readonly options: Options;
  /** What its only argument may be, where that is one of some words. */
  readonly choices?: readonly Choice[];
  /** Below the options of its help. */
  readonly note?: string;
  /** Whether the first argument is a model, which may be what `train` wrote. */
  readonly opens?: boolean;
}

export const declare = <
  const Takes extends string,
  const Options extends readonly AnyOption[],
  const Choice extends string = never,
>(
  command: Declared<Takes, Options, Choice>,
): Declared<Takes, Options, Choice> => command;

/** The flags of a command. */
export type Flags<Command extends Declared> = FlagsOf<Command["options"]>;

/** What a command is called with: its arguments, then its flags. */
export type Given<Command> =
  Command extends Declared<infer Takes, infer Options, infer Choice>
    ? [...([Choice] extends [never] ? (Takes extends "" ? [] : InferArguments<Takes>) : [Choice]), FlagsOf<Options>]
    : never;
