// Folders of dense decoders against PyTorch's own reading of the same files.
// @module-tag long
import { againstPytorch } from "./against-pytorch.js";
import { VARIANTS, writeFolder } from "./folders.js";

againstPytorch(VARIANTS, writeFolder, { steps: 64, prompts: 4 });
