/**
 * Appends until the outcome is known (rule 3): an unknown outcome means the same bytes again, a full journal
 * means the same bytes again once there is room. What is beyond that (a conflict, damage) is the caller's end.
 */
import { type Entry, type Journal, JournalFullError, OutcomeUnknownError } from '../journals/journal.ts';
import type { Outside } from '../lib/outside.ts';

/** Deadlines that may pass without an answer before the leader gives up (S10). */
const unknownTriesMax = 10;
/** Where another may lead, whose way to the journal may be open: more than an outage of ten seconds (S09). */
const unknownMsMax = 12_000;
const retryMs = 250;

export class Appender {
  /** There was no room at the last try. */
  isFull = false;
  /** Outcomes heard so far, of whatever kind. */
  count = 0;
  /** Not known yet, or tried again. */
  isUnderWay = false;
  /** Another may lead. */
  isReplaceable = false;
  /** The append under way, if any; never rejects. */
  settled: Promise<void> = Promise.resolve();
  private readonly journal: Journal;
  private readonly outside: Outside;
  private isEnding = false;

  constructor(journal: Journal, outside: Outside) {
    this.journal = journal;
    this.outside = outside;
  }

  /** Whoever closes does not wait for room: what was not stored was never confirmed either. */
  end(): void {
    this.isEnding = true;
  }

  /** `onFull` is called once, when the journal first says that it has no room for this; `before`: to be stored first, one after another. */
  append(entries: readonly Entry[], onFull: () => void = () => {}, before: readonly Entry[] = []): Promise<void> {
    const appended = this.inOrder([...before.map((entry) => [entry]), entries], onFull);
    this.isUnderWay = true;
    this.settled = appended.then(
      () => this.ended(),
      () => this.ended(),
    );
    return appended;
  }

  private async inOrder(groups: readonly (readonly Entry[])[], onFull: () => void): Promise<void> {
    for (const entries of groups) await this.untilKnown(entries, onFull);
  }

  private async untilKnown(entries: readonly Entry[], onFull: () => void): Promise<void> {
    let unknown = 0;
    let startMs = this.outside.nowMs();
    for (;;) {
      try {
        await this.journal.append(entries);
        this.isFull = false;
        return;
      } catch (error) {
        this.count++;
        if (this.isEnding) throw error;
        if (error instanceof JournalFullError) {
          if (!this.isFull) onFull();
          this.isFull = true;
          // It answers.
          unknown = 0;
          startMs = this.outside.nowMs();
        } else if (!(error instanceof OutcomeUnknownError) || ++unknown >= unknownTriesMax || this.isHopeless(startMs)) throw error;
      }
      await new Promise<void>((resolve) => void this.outside.after(retryMs, resolve));
    }
  }

  private isHopeless(startMs: number): boolean {
    return this.isReplaceable && this.outside.nowMs() - startMs >= unknownMsMax;
  }

  private ended(): void {
    this.count++;
    this.isUnderWay = false;
  }
}
