export function embed(): void;
