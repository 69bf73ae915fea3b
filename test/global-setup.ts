// Before any test: the embedded library and kernels are those on disk.
import { embed } from "../scripts/embed.mjs";

export default function setup(): void {
  embed();
}
