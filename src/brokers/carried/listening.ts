/**
 * Who listens at one address: each of them gets every batch, one at a time, and once more if it throws. What the carrier
 * handed over is acknowledged when all are done with it.
 */
type Handle = (messages: readonly Uint8Array[]) => void | Promise<void>;

export class Listening {
  readonly address: string;
  private readonly listeners = new Set<OneListener>();

  constructor(address: string) {
    this.address = address;
  }

  get isEmpty(): boolean {
    return this.listeners.size === 0;
  }

  add(handle: Handle): OneListener {
    const listener = new OneListener(handle);
    this.listeners.add(listener);
    return listener;
  }

  remove(listener: OneListener): boolean {
    return this.listeners.delete(listener);
  }

  async hand(messages: readonly Uint8Array[]): Promise<void> {
    await Promise.all([...this.listeners].map((listener) => listener.hand(messages)));
  }

  async close(): Promise<void> {
    await Promise.all([...this.listeners].map((listener) => listener.close()));
  }
}

class OneListener {
  private readonly handle: Handle;
  private isClosed = false;
  /** A batch of an earlier connection may be under way when the first of the next one comes. */
  private under: Promise<void> = Promise.resolve();

  constructor(handle: Handle) {
    this.handle = handle;
  }

  hand(messages: readonly Uint8Array[]): Promise<void> {
    this.under = this.under.then(() => this.run(messages));
    return this.under;
  }

  /** Resolves when no handle is under way. */
  close(): Promise<void> {
    this.isClosed = true;
    return this.under;
  }

  private async run(messages: readonly Uint8Array[]): Promise<void> {
    for (let tries = 0; tries < 2 && !this.isClosed; tries++) {
      try {
        return await this.handle(messages);
      } catch {
        // The port promises a repetition, and no more than one: the protocol above repeats what matters.
      }
    }
  }
}

export type { OneListener };
