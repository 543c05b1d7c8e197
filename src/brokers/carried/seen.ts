/**
 * Payloads that were heard before are not heard again: carriers repeat, and so would whoever recorded one (a replay).
 * The last `windowSize` sequences of each sender at each inbox are known one by one; what is older than all that are
 * known is taken for a repetition. Senders that were silent longest are forgotten first.
 */
import { RecentSet } from '../../lib/recent-set.ts';

const windowSize = 1024;
const sendersMax = 20_000;

interface Window {
  known: RecentSet<number>;
  /** None at or below it is new. */
  floor: number;
}

export class Seen {
  private readonly windows = new Map<string, Window>();

  /** True once for each sequence of a sender at an inbox. */
  isNew(sender: string, inbox: string, sequence: number): boolean {
    const key = `${sender} ${inbox}`;
    const window = this.windows.get(key) ?? { known: new RecentSet(windowSize), floor: -1 };
    this.windows.delete(key);
    this.windows.set(key, window);
    if (this.windows.size > sendersMax) this.windows.delete(this.windows.keys().next().value!);
    const { known } = window;
    if (sequence <= window.floor || known.has(sequence)) return false;
    const oldest = known.add(sequence);
    if (oldest !== undefined) window.floor = Math.max(window.floor, oldest);
    return true;
  }
}
