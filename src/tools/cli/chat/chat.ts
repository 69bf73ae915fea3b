// `modc chat`: a conversation with a model in the terminal.
import type { OpenedModel } from "../../../models/open.js";
import { expectTemplate } from "../../session/prompts.js";
import { samplingOf } from "../generate/sampling.js";
import { openServed } from "../serve/open.js";
import type { ExitCode } from "../terminal/exit.js";
import { Progress } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { linesOfInput } from "./lines.js";
import { Talk } from "./talk.js";

/** An engine of one text: the next message finds what was said before in its cache. */
const ALONE = { maxBatch: 1, queue: 0 } as const;

export async function chat(model: OpenedModel, flags: Flags<typeof runningCommands.chat>): Promise<ExitCode> {
  const chosen = samplingOf(flags);
  if (flags.system !== undefined) await expectTemplateOf(model);
  const progress = new Progress();
  const opened = await openServed(model, { ...flags, ...ALONE }, {}, progress);
  try {
    const lines = linesOfInput();
    try {
      return await new Talk(opened, lines, progress, flags, chosen).untilEnd();
    } finally {
      lines.close();
    }
  } finally {
    await opened.close();
  }
}

/** Throws SessionError for a model without a chat template, before weights are read and a device is opened. */
async function expectTemplateOf(model: OpenedModel): Promise<void> {
  expectTemplate((await model.texts()).chat);
}
