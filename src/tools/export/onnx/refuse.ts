// Refuses, by name, operations that have no ONNX form.
import { ExportError } from "../refused.js";

/** Throws ExportError: `what`, in the block at `path`, cannot be exported. */
export function refuse(what: string, path: string): never {
  throw new ExportError(`${what}${path === "" ? "" : ` (in ${path})`} has no form in ONNX yet`);
}
