/**
 * What a job is told that was opened under a key when its inputs turn out to be others than those that the key stands for
 * (SH1403). That may come late: of two that begin at the same time neither knows of the other when it submits.
 */
import type { ShoalError } from '../lib/errors.ts';

export class Conflict {
  error: ShoalError | undefined;
  readonly #watchers = new Set<(error: ShoalError) => void>();

  found(error: ShoalError): void {
    if (this.error) return;
    this.error = error;
    for (const watcher of this.#watchers) watcher(error);
    this.#watchers.clear();
  }

  watch(watcher: (error: ShoalError) => void): void {
    if (this.error) watcher(this.error);
    else this.#watchers.add(watcher);
  }

  /** The promise, or the conflict if that is known first. */
  orElse<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.watch(reject);
      promise.then(resolve, reject).finally(() => this.#watchers.delete(reject));
    });
  }
}
