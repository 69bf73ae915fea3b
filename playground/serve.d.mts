export function servePlayground(
  folder: string,
  port?: number,
): Promise<{ readonly url: string; close(): Promise<void> }>;
