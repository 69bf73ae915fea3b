// The kernels of the program, as the WGSL that a device compiles.
import type { Kernel } from "../compiler/kernels.js";
import { choice, field, h } from "../dom.js";
import { Reader, wgslLanguage } from "../editor/reader.js";
import type { View, ViewContext } from "./view.js";

export function kernelsView({ compiler }: ViewContext): View {
  let kernels: readonly Kernel[] = [];
  let chosen = "";
  const reader = new Reader("WGSL of the kernel", wgslLanguage);
  const note = h("p", { class: "note" });
  const place = h("div", { class: "bar" });
  const panel = h("div", {}, place, note, reader.element);

  function draw(): void {
    const kernel = kernels.find((k) => k.name === chosen) ?? kernels[0];
    if (!kernel) return;
    chosen = kernel.name;
    const dispatches = kernels.reduce((sum, k) => sum + k.dispatches, 0);
    note.textContent =
      `${kernels.length} kernels, ${dispatches} dispatches in a run, for any device; for your device ` +
      "the playground compiles with its features.";
    const options = kernels.map(({ name, dispatches: n }) => ({
      value: name,
      label: `${name}, ${n === 1 ? "once" : `${n} times`} a run`,
    }));
    place.replaceChildren(
      field(
        "Kernel",
        choice(options, chosen, (value) => ((chosen = value), draw())),
      ),
    );
    reader.show(kernel.wgsl.trimEnd());
  }
  return {
    id: "kernels",
    label: "Kernels",
    panel,
    async show(source) {
      const found = await compiler.call("kernels", source);
      if (!found) return;
      kernels = found;
      draw();
    },
  };
}
