/**
 * Assignments whose program is not on this machine yet: held, but not started. Each program is asked for once, and again
 * while no answer comes; with it all that waited for it goes on, or goes back uncharged.
 */
import type { ErrorRecord } from '../core/messages.ts';
import type { HeldAssignment } from './held.ts';

interface Awaited {
  held: HeldAssignment[];
  /** Undefined: the disk is being looked at. */
  askedMs: number | undefined;
}

export class AwaitedBundles {
  private readonly ready = new Set<string>();
  private readonly awaited = new Map<string, Awaited>();

  isReady(hash: string): boolean {
    return this.ready.has(hash);
  }

  /** True if nobody waited for it before: look for it. */
  add(hash: string, held: HeldAssignment): boolean {
    const known = this.awaited.get(hash);
    if (known) known.held.push(held);
    else this.awaited.set(hash, { held: [held], askedMs: undefined });
    return known === undefined;
  }

  asked(hash: string, nowMs: number): void {
    const known = this.awaited.get(hash);
    if (known) known.askedMs = nowMs;
  }

  /** Programs that were asked for longer than `ms` ago. */
  *overdue(nowMs: number, ms: number): Generator<string> {
    for (const [hash, { askedMs }] of this.awaited) if (askedMs !== undefined && nowMs - askedMs >= ms) yield hash;
  }

  /** It is here, or never will be: what waited for it. */
  settle(hash: string, isHere: boolean): HeldAssignment[] {
    if (isHere) this.ready.add(hash);
    const waited = this.awaited.get(hash)?.held ?? [];
    this.awaited.delete(hash);
    return waited;
  }

  /** Its file is gone again. */
  forget(hash: string): void {
    this.ready.delete(hash);
  }

  clear(): void {
    this.awaited.clear();
  }
}

export function bundleError(why: string, hash: string): ErrorRecord {
  return { name: 'ShoalError', code: 'SH5010', message: `${why}: ${hash.slice(0, 12)}…` };
}
