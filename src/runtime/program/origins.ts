// Origins of a program as it is written: without the folders of the disk on which it was compiled.
import { withinFolder } from "../../ground/base/within-folder.js";
import type { Program } from "./program.js";

/** The program with the files of its origins named from the folder of the model's file, `model`. */
export const namedFrom = (program: Program, model: string): Program => ({
  ...program,
  origins: program.origins.map((origin) => ({ ...origin, file: withinFolder(origin.file, model) })),
});
