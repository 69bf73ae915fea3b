// Writes a conversation to a file: as messages in JSON, or as text.
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { escapedName } from "../../../ground/base/shown.js";
import { UserError } from "../terminal/exit.js";
import { writeText } from "../source/files.js";
import type { Conversation } from "./conversation.js";

/** Writes conversations to files, over those only that it wrote itself. */
export class Saver {
  readonly #own = new Set<string>();

  /** Returns what was written, as a sentence. Throws UserError. */
  save(name: string, { messages }: Conversation): string {
    if (name === "") throw new UserError("give a file: /save talk.txt, or talk.json for messages in JSON");
    if (messages.length === 0) throw new UserError("there is nothing to save yet");
    const path = resolve(name.replace(/^~(?=\/)/, () => homedir()));
    if (existsSync(path) && !this.#own.has(path))
      throw new UserError(`${escapedName(name)} already exists: name another file`);
    const text = path.endsWith(".json")
      ? `${JSON.stringify(messages, null, 1)}\n`
      : messages.map(({ role, content }) => `${role}: ${content}\n`).join("\n");
    writeText(path, text);
    this.#own.add(path);
    return `${escapedName(name)} has the ${messages.length} messages of the conversation`;
  }
}
