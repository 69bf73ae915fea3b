// The map of routes: a column for each token, a row for each route with its name, filled where the token took it.

/** In pixels; a name is as high as a row with its gap. */
const [COLUMN, ROW, GAP] = [5, 14, 2];

export class RouteMap {
  readonly #canvas: HTMLCanvasElement;
  readonly #names: HTMLElement;
  #columns: { readonly taken: readonly boolean[]; readonly prompt: boolean }[] = [];
  #rows = 0;

  constructor(canvas: HTMLCanvasElement, names: HTMLElement) {
    this.#canvas = canvas;
    this.#names = names;
  }

  /** Begins anew, with these routes; "": that of all tokens. */
  clear(paths: readonly string[]): void {
    this.#columns = [];
    this.#rows = paths.length;
    this.#names.replaceChildren(
      ...paths.map((path) => {
        const name = document.createElement("li");
        name.textContent = path === "" ? "all" : path;
        return name;
      }),
    );
    this.#draw(0);
  }

  add(tokens: readonly (readonly boolean[])[], prompt: boolean): void {
    const from = this.#columns.length;
    for (const taken of tokens) this.#columns.push({ taken, prompt });
    this.#draw(from);
  }

  /** A canvas loses what it shows when it grows: it grows by half, and is drawn again then. */
  #draw(from: number): void {
    const canvas = this.#canvas;
    const wanted = this.#columns.length * COLUMN;
    let first = from;
    if (wanted > canvas.width || from === 0) {
      canvas.width = Math.max(320, wanted * 1.5);
      canvas.height = this.#rows * (ROW + GAP);
      first = 0;
    }
    const context = canvas.getContext("2d");
    if (!context) return;
    const style = getComputedStyle(canvas);
    const [own, prompt, none] = ["--own", "--read", "--none"].map((name) => style.getPropertyValue(name).trim());
    for (let x = first; x < this.#columns.length; x++) {
      const column = this.#columns[x]!;
      column.taken.forEach((took, y) => {
        context.fillStyle = (took ? (column.prompt ? prompt : own) : none)!;
        context.fillRect(x * COLUMN, y * (ROW + GAP), COLUMN - 1, ROW);
      });
    }
  }
}
