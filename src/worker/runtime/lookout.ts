/**
 * Looking out for an answer that is near: to be woken costs more than many a task takes, on both sides of a line between two
 * threads. Whoever expects something looks for it without sleeping, about as long as the waking would cost, which is at most twice
 * what the best guess would have cost (competitive spinning; Karlin, Li, Manasse and Owicki, SOSP 1991).
 *
 * Where it comes too late several times in a row the next chances are let pass, twice as many each time: what is waited for may
 * need this very core.
 */
const vainFree = 3;
const passMax = 64;

export class Lookout {
  private readonly ms: number;
  private vain = 0;
  private passes = 0;

  constructor(ms: number) {
    this.ms = ms;
  }

  /** True as soon as `take` took something. */
  look(take: () => boolean): boolean {
    if (this.passes > 0) {
      this.passes--;
      return false;
    }
    const startMs = performance.now();
    do {
      if (!take()) continue;
      this.vain = 0;
      return true;
    } while (performance.now() - startMs < this.ms);
    this.vain++;
    if (this.vain > vainFree) this.passes = Math.min(passMax, 2 ** (this.vain - vainFree));
    return false;
  }
}
