// What makes a page hard to use, looked for within it: controls without a name, and text that hardly differs from what
// is behind it.

/** Controls that a screen reader could not name. Runs in the page. */
export function nameless(): string[] {
  const controls = [
    ...document.querySelectorAll<HTMLElement>(
      "button, input, select, textarea, canvas, svg, [role=tab], [role=button], [tabindex]",
    ),
  ];
  const nameOf = (e: HTMLElement): string => {
    const labels =
      "labels" in e && e.labels instanceof NodeList ? [...e.labels].map((l) => l.textContent ?? "").join(" ") : "";
    const by = (e.getAttribute("aria-labelledby") ?? "")
      .split(" ")
      .map((id) => document.getElementById(id)?.textContent ?? "")
      .join(" ");
    const own = e.matches("select, input, textarea") ? "" : (e.textContent ?? "");
    return `${e.getAttribute("aria-label") ?? ""} ${labels} ${by} ${own}`.trim();
  };
  return controls
    .filter((e) => e.id !== "panels" && e.checkVisibility() && nameOf(e) === "")
    .map((e) => e.outerHTML.slice(0, 120));
}

/** Visible text with less contrast than WCAG 2.2 asks for (4.5), the editor's included. Runs in the page. */
export function faint(): string[] {
  type Colour = readonly [number, number, number, number];
  const parse = (text: string): Colour => {
    const numbers = (/\(([^)]*)\)/.exec(text)?.[1] ?? "0,0,0,0").split(/[,/ ]+/).map(Number);
    return [numbers[0] ?? 0, numbers[1] ?? 0, numbers[2] ?? 0, numbers[3] ?? 1];
  };
  const over = (top: Colour, below: Colour): Colour => {
    const mix = (i: 0 | 1 | 2): number => top[i] * top[3] + below[i] * (1 - top[3]);
    return [mix(0), mix(1), mix(2), 1];
  };
  const luminance = ([r, g, b]: Colour): number => {
    const linear = (v: number): number => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const parentOf = (e: Element): Element | null =>
    e.parentElement ?? (e.getRootNode() instanceof ShadowRoot ? (e.getRootNode() as ShadowRoot).host : null);
  const behind = (e: Element | null): Colour => {
    if (!e) return [255, 255, 255, 1];
    const own = parse(getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(parentOf(e)));
  };
  const found: string[] = [];
  const visit = (root: ParentNode): void => {
    for (const e of root.querySelectorAll<HTMLElement>("*")) {
      if (e.shadowRoot) visit(e.shadowRoot);
      const text = [...e.childNodes].filter((n) => n.nodeType === 3 && n.textContent!.trim() !== "");
      if (
        text.length === 0 ||
        e instanceof SVGElement ||
        e.matches("option, script, style, noscript, :disabled, .hidden, .skip-link")
      )
        continue;
      if (!e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
      const style = getComputedStyle(e);
      const back = behind(e);
      const [a, b] = [luminance(over(parse(style.color), back)), luminance(back)].sort((x, y) => y - x) as [
        number,
        number,
      ];
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < 4.5)
        found.push(
          `${ratio.toFixed(2)} ${style.color} on ${back.map(Math.round).join()}: ` +
            text[0]!.textContent!.trim().slice(0, 40),
        );
    }
  };
  visit(document);
  return [...new Set(found)];
}
