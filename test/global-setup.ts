// Before any test: the build, which the tests run, is that of the sources on disk.
import { bundle } from "../scripts/bundle.mjs";
import { embed } from "../scripts/embed.mjs";
import { build } from "../scripts/setup.mjs";

export default async function setup(): Promise<void> {
  embed();
  await bundle();
  build();
}
