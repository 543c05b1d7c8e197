/**
 * One connection of an adapter, dialled when it is needed. Any failure and any missed deadline ends it, for it may be dead
 * without saying so, and so does its client's word that it broke between two uses; the next use dials anew.
 */
export interface Dialled<T> {
  line: T;
  hangUp: () => void;
}

export type Dial<T> = (signal: AbortSignal, onBroken: () => void) => Promise<Dialled<T>>;

export class Connection<T> {
  private readonly dial: Dial<T>;
  private current: Promise<Dialled<T>> | undefined;

  constructor(dial: Dial<T>) {
    this.dial = dial;
  }

  async use<R>(signal: AbortSignal, act: (line: T) => Promise<R>): Promise<R> {
    signal.throwIfAborted();
    this.current ??= this.open(signal);
    const { current } = this;
    const drop = (): void => this.drop(current);
    signal.addEventListener('abort', drop, { once: true });
    try {
      return await act((await current).line);
    } catch (error) {
      drop();
      throw error;
    } finally {
      signal.removeEventListener('abort', drop);
    }
  }

  close(): void {
    if (this.current) this.drop(this.current);
  }

  private open(signal: AbortSignal): Promise<Dialled<T>> {
    const opened: Promise<Dialled<T>> = this.dial(signal, () => this.drop(opened));
    return opened;
  }

  private drop(which: Promise<Dialled<T>>): void {
    if (this.current === which) this.current = undefined;
    which.then(
      ({ hangUp }) => hangUp(),
      () => undefined,
    );
  }
}
