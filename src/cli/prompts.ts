// Prompts as flags say them: a text, the text of a file or of standard input, or the message of a chat.
import type { Prompt } from "../generate/prompts.js";
import { EXIT, UserError } from "./exit.js";
import { pathIn, readText } from "./files.js";

export interface PromptFlags {
  /** A text, `@file`, or `-` for standard input. */
  readonly prompt?: readonly string[];
  readonly chat?: boolean;
  /** A message that comes before that of a chat. */
  readonly system?: string;
}

export function promptsOf({ prompt = [], chat = false, system }: PromptFlags): readonly Prompt[] {
  if (prompt.length === 0) throw new UserError("there is no prompt", 'give --prompt "…", --prompt @file, or --prompt - for standard input', EXIT.usage);
  if (system !== undefined && !chat) throw new UserError("--system is a message of a chat", "give --chat too", EXIT.usage);
  const texts = prompt.map((text) => {
    const path = pathIn(text);
    return path === null ? text : readText(path);
  });
  if (!chat) return texts;
  const before = system === undefined ? [] : [{ role: "system", content: system }];
  return texts.map((content) => [...before, { role: "user", content }]);
}
