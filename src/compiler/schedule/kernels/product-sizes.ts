// Declares the sizes of a product in its kernel: words of the uniform buffer, or numbers in the text.
import type { Size } from "../../../ground/size/size.js";
import type { KernelBuilder } from "./spec.js";

interface Sizes {
  readonly batches: Size;
  readonly rows: Size;
  readonly columns: Size;
  readonly depth: Size;
}

/** Where a kernel fixes sizes, known columns and depth are numbers of the text: loops over them have known lengths. */
export function declareSizes(kernel: KernelBuilder, { batches, rows, columns, depth }: Sizes): KernelBuilder {
  kernel.count("batchCount", batches).count("rowCount", rows);
  const declare = (name: string, size: Size): void => {
    if (kernel.isFixed && typeof size === "number") kernel.function(`fn ${name}() -> u32 { return ${size}u; }`);
    else kernel.count(name, size);
  };
  declare("columnCount", columns);
  declare("depth", depth);
  return kernel;
}
