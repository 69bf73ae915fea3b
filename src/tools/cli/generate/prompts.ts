// Reads from flags what to answer (a text, a file, standard input, or a chat message) and the form of answers.
import { existsSync } from "node:fs";
import type { Prompt } from "../../../generation/generate/prompts.js";
import { InputError } from "../../../runtime/device/errors.js";
import { escapedName } from "../../../ground/base/shown.js";
import { tokensOf } from "../../session/session.js";
import type { ModelTexts } from "../../../models/opened/model.js";
import { bytesTokenizer } from "../../../models/tokenizer/tokenizer.js";
import { EXIT, UserError, misuse } from "../terminal/exit.js";
import { pathIn, readText } from "../source/files.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { compileForm, ConstraintError, type Form } from "../../../generation/constrain/index.js";

export function promptsOf({
  prompt = [],
  chat,
  system,
  chatTemplate,
}: Flags<typeof runningCommands.generate>): readonly Prompt[] {
  if (prompt.length === 0)
    throw misuse("there is no prompt", 'give --prompt "…", --prompt @file, or --prompt - for standard input');
  if (system !== undefined && !chat) throw misuse("--system needs --chat", "give --chat too");
  if (chatTemplate !== undefined && !chat) throw misuse("--chat-template needs --chat", "give --chat too");
  const texts = prompt.map((text) => {
    const path = pathIn(text);
    if (path === null) return text;
    if (text.startsWith("@") && !existsSync(path))
      throw new UserError(
        `cannot read ${escapedName(path)}: there is no such file`,
        "pass a text that begins with @ on standard input: --prompt -",
        EXIT.user,
        "cannot-read",
      );
    return readText(path);
  });
  if (!chat) return texts;
  const before = system === undefined ? [] : [{ role: "system", content: system }];
  return texts.map((content) => [...before, { role: "user", content }]);
}

/**
 * Checks the prompts before weights are read and a device is opened. Throws TokenizerError, InputError for a prompt
 * without tokens, and SessionError for a chat without a template.
 */
export async function expectTokens(prompts: readonly Prompt[], { tokenizer, chat }: ModelTexts): Promise<void> {
  for (const [i, prompt] of prompts.entries()) {
    const tokens = await tokensOf(prompt, tokenizer ?? bytesTokenizer, chat, { alone: true });
    if (tokens.length > 0) continue;
    throw new InputError(
      "prompts",
      `${prompts.length === 1 ? "the prompt" : `prompt ${i}`} is empty`,
      "give --prompt a text to continue",
    );
  }
}

/** The form that texts must have; null if any will do. Throws UserError for one that modc cannot follow. */
export function formOf({ jsonSchema, grammar }: Flags<typeof runningCommands.generate>): Form | null {
  if (jsonSchema !== undefined && grammar !== undefined)
    throw misuse("--json-schema and --grammar exclude each other", "give one of them");
  const path = jsonSchema ?? grammar;
  if (path === undefined) return null;
  const text = isWritten(path) ? path : readText(path);
  const form: Form =
    jsonSchema === undefined ? { kind: "grammar", grammar: text } : { kind: "schema", schema: parsed(text, path) };
  try {
    compileForm(form);
    return form;
  } catch (fault) {
    if (fault instanceof ConstraintError) throw new UserError(`${escapedName(path)}: ${fault.message}`, fault.hint);
    throw fault;
  }
}

/** Whether a schema or a grammar itself is given, not its file. */
const isWritten = (given: string): boolean => /^\s*\{/.test(given) || given.includes("::=");

function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (fault) {
    throw new UserError(`${escapedName(path)} is not JSON: ${fault instanceof Error ? fault.message : String(fault)}`);
  }
}
