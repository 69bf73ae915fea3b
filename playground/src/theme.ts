// The light or dark theme: the system's, until the user chooses one.
import { h } from "./dom.js";

const KEY = "modc-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** The stored choice. If the browser refuses storage, the choice lasts as long as the page. */
function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function store(theme: string): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // The choice is not kept, but the page works.
  }
}

/** A button that toggles the theme. */
export function themeButton(): HTMLButtonElement {
  let chosen = stored();
  const button = h("button", { type: "button", class: "icon" });
  const show = (): void => {
    const theme = chosen ?? (dark.matches ? "dark" : "light");
    document.documentElement.dataset["theme"] = theme;
    button.textContent = theme === "dark" ? "☀" : "☾";
    button.setAttribute("aria-label", theme === "dark" ? "Light theme" : "Dark theme");
    button.title = theme === "dark" ? "Light theme" : "Dark theme";
  };
  button.addEventListener("click", () => {
    chosen = document.documentElement.dataset["theme"] === "dark" ? "light" : "dark";
    store(chosen);
    show();
  });
  dark.addEventListener("change", show);
  show();
  return button;
}
