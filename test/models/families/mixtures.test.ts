// Folders of mixtures of experts against PyTorch's own reading of the same files, expert by expert and token by token.
// @module-tag long
import { againstPytorch } from "./against-pytorch.js";
import { writeFolder } from "./folders.js";
import { MIXTURES, mixtureTensors } from "./mixture-folders.js";

againstPytorch(MIXTURES, (folder, variant, seed) => writeFolder(folder, variant, seed, mixtureTensors), {
  steps: 16,
  prompts: 3,
});
