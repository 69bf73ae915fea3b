// Origins of a serialized program: file names without the folders of the machine that compiled it.
import { withinFolder } from "../../ground/base/within-folder.js";
import type { Program } from "./program.js";

/** The program with the files of its origins named relative to the folder of the model's file, `model`. */
export const namedFrom = (program: Program, model: string): Program => ({
  ...program,
  origins: program.origins.map((origin) => ({ ...origin, file: withinFolder(origin.file, model) })),
});
