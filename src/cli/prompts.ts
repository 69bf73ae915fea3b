// Prompts as flags say them: a text, the text of a file or of standard input, or the message of a chat.
import type { Prompt } from "../generate/prompts.js";
import { EXIT, UserError } from "./exit.js";
import { readText } from "./files.js";
import { io } from "./io.js";

export interface PromptFlags {
  /** A text, `@file`, or `-` for standard input. */
  readonly prompt?: readonly string[];
  readonly chat?: boolean;
  /** A message that comes before that of a chat. */
  readonly system?: string;
}

export function promptsOf({ prompt = [], chat = false, system }: PromptFlags): readonly Prompt[] {
  if (prompt.length === 0) throw new UserError("there is no prompt", 'give --prompt "…", --prompt @file, or --prompt - for standard input', EXIT.usage);
  if (prompt.filter((text) => text === "-").length > 1) throw new UserError("--prompt - reads standard input, which can be read once", null, EXIT.usage);
  if (system !== undefined && !chat) throw new UserError("--system is a message of a chat", "give --chat too", EXIT.usage);
  const texts = prompt.map((text) => (text === "-" ? standardInput() : text.startsWith("@") ? readText(text.slice(1)) : text));
  if (!chat) return texts;
  const before = system === undefined ? [] : [{ role: "system", content: system }];
  return texts.map((content) => [...before, { role: "user", content }]);
}

function standardInput(): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(io().stdin());
  } catch (fault) {
    if (fault instanceof TypeError) throw new UserError("standard input is not UTF-8 text");
    throw fault;
  }
}
