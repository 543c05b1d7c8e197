/**
 * Carries out what the core decided, in its order. Most effects are done on the spot; one that needs bytes which
 * are no longer at hand waits for the journal, and all later ones wait behind it.
 */
import type { Broker } from '../brokers/broker.ts';
import { post } from '../brokers/post.ts';
import type { LogLine, ToClient, ToWorker } from '../core/messages.ts';
import type { Effect, Slice } from '../core/turn.ts';
import type { Journal } from '../journals/journal.ts';
import { Bodies } from './bodies.ts';
import type { LocalSession } from './sessions.ts';

const bodiesBytesMax = 64 * 1024 * 1024;

export interface EffectsOptions {
  broker: Broker;
  journal: Journal;
  session: (id: string) => LocalSession | undefined;
  onLogs: (lines: readonly LogLine[]) => void;
  onWarning: (line: string) => void;
  /** The space of these streams is free again. */
  onDropped: (streams: readonly string[]) => void;
  /** Asks the election's clock: this process may have stood still while it waited for the journal (C04). */
  isLost: () => boolean;
  /** The journal can't give what it holds. */
  fail: (error: unknown) => void;
}

export class Effects {
  readonly bodies = new Bodies(bodiesBytesMax);
  private readonly options: EffectsOptions;
  /** Effects behind one that waits for the journal. */
  private lane: Promise<void> | undefined;
  private waiting = 0;
  private isEnded = false;
  /** Carried out behind the journal so far. */
  count = 0;
  /** Streams that are gone, and whose space is not reclaimed yet. */
  private readonly dropped: string[] = [];
  /** Of these, how many have come since the last time. */
  droppedCount = 0;

  constructor(options: EffectsOptions) {
    this.options = options;
  }

  /** When all effects given so far are carried out. */
  get settled(): Promise<void> {
    return this.lane ?? Promise.resolve();
  }

  get isWaiting(): boolean {
    return this.lane !== undefined;
  }

  /** Leading is over, or bytes are missing that come before others: nothing more is said, and nothing is taken away (C06). */
  end(): void {
    this.isEnded = true;
    this.dropped.length = 0;
  }

  /** Space comes back now and then, many streams at a time: nobody waits for it, and no commit should. */
  reclaim(): void {
    this.droppedCount = 0;
    const streams = this.dropped.splice(0);
    if (streams.length === 0) return;
    const { journal, onDropped } = this.options;
    // What fails is tried again, and at the latest by the next leader.
    const gone = (stream: string): Promise<string[]> =>
      journal.drop(stream).then(
        () => [stream],
        () => {
          this.dropped.push(stream);
          return [];
        },
      );
    void Promise.all(streams.map(gone)).then((all) => {
      if (!this.isEnded) onDropped(all.flat());
    });
  }

  carryOut(effects: readonly Effect[]): void {
    if (this.isEnded) return;
    for (const effect of effects) {
      // Lines wait for nothing: the end of their job is told without the journal, too.
      if ((this.lane && effect.effect !== 'logs') || !this.tryNow(effect)) this.enqueue(effect);
    }
  }

  private enqueue(effect: Effect): void {
    this.waiting++;
    this.lane = (this.lane ?? Promise.resolve()).then(async () => {
      try {
        if (!this.isOver() && !this.tryNow(effect)) await this.withJournal(effect as Extract<Effect, { slices: Slice[] }>);
      } catch (error) {
        this.options.fail(error);
      }
      this.count++;
      if (--this.waiting === 0) this.lane = undefined;
    });
  }

  private isOver(): boolean {
    return this.isEnded || this.options.isLost();
  }

  private async withJournal(effect: Extract<Effect, { slices: Slice[] }>): Promise<void> {
    const body = await this.options.journal.readBodies(effect.stream, effect.slices);
    if (!this.isOver()) this.withBody(effect, body);
  }

  /** False if its bytes must come from the journal. */
  private tryNow(effect: Effect): boolean {
    switch (effect.effect) {
      case 'assign':
      case 'sendBundle':
      case 'deliver': {
        const body = this.bodies.read(effect.stream, effect.slices);
        if (!body) return false;
        this.withBody(effect, body);
        return true;
      }
      case 'send':
        this.send(effect.address, effect.message);
        return true;
      case 'tell':
        this.tell(effect.session, effect.message);
        return true;
      case 'dropStream':
        this.bodies.drop(effect.stream);
        this.dropped.push(effect.stream);
        this.droppedCount++;
        return true;
      case 'logs':
        this.options.onLogs(effect.lines);
        return true;
      case 'warn':
        this.options.onWarning(effect.line);
        return true;
    }
  }

  /** `body` first: V8 takes a microsecond for each field that is added behind a spread. */
  private withBody(effect: Extract<Effect, { slices: Slice[] }>, body: Uint8Array[]): void {
    if (effect.effect === 'assign' || effect.effect === 'sendBundle') this.send(effect.address, { body, ...effect.message });
    else this.tell(effect.session, { body, ...effect.message });
  }

  /** A message that the broker did not take is as good as lost: heartbeats find out (rule 8). */
  private send(address: string, message: ToWorker): void {
    post(this.options.broker, address, message).catch(() => undefined);
  }

  private tell(session: string, message: ToClient): void {
    try {
      this.options.session(session)?.onMessage(message);
    } catch (error) {
      // A client's mistake is the client's: it surfaces there, and the loop goes on.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
