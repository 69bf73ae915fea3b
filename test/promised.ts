// A promise that a test resolves or rejects itself.
export interface Promised<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

export function promised<T>(): Promised<T> {
  let [resolve, reject] = [(_value: T): void => {}, (_error: Error): void => {}];
  const promise = new Promise<T>((...own) => ([resolve, reject] = own));
  return { promise, resolve, reject };
}
