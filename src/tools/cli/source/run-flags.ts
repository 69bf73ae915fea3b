// The options of a command that a training run determines.
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { Pairs } from "../tree/arguments.js";

export interface RunFlags {
  readonly set?: Pairs;
  readonly live?: Pairs;
  readonly liveSchedule?: Pairs;
  readonly model?: string;
  readonly weights?: string;
  readonly tokenizer?: string;
  readonly data?: string;
  readonly text?: string;
  readonly field?: string;
  readonly validation?: number;
  /** The run's context: default length of evaluation windows. */
  readonly ownContext?: number;
}

/** Whether a command has an option, by the name of its attribute. */
export const hasOption = (command: CommandUnknownOpts, name: string): boolean =>
  command.options.some((o) => o.attributeName() === name);
