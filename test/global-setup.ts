// Before any test: the embedded library, kernels and runtime are those on disk.
import { bundle } from "../scripts/bundle.mjs";
import { embed } from "../scripts/embed.mjs";

export default async function setup(): Promise<void> {
  embed();
  await bundle();
}
