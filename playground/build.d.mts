export function buildPlayground(out: string): Promise<boolean>;
