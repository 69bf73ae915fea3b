// The map of routes: a column for each token, a row for each route, filled where the token took it.

const [COLUMN, ROW, GAP] = [5, 10, 2];

export class RouteMap {
  readonly #canvas: HTMLCanvasElement;
  #columns: { readonly taken: readonly boolean[]; readonly prompt: boolean }[] = [];
  #rows = 0;

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
  }

  /** Begins anew, with so many routes. */
  clear(routes: number): void {
    this.#columns = [];
    this.#rows = routes;
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
