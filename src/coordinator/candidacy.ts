/**
 * A coordinator process over its life: it campaigns, leads with fresh state, loses, and campaigns again.
 *
 * 1. Only while it leads has it a journal open and a `Coordinator`; each leadership gets new ones, and an id of its own (C09).
 * 2. What ends a leadership ends it at once and for good; another begins after a pause that grows while they are short (C10).
 * 3. A loop of the leader that hangs is noticed here, and it resigns (C11).
 * 4. What another coordinator could not do better (damage, a bug, no election at all) ends the candidacy.
 */
import type { Broker } from '../brokers/broker.ts';
import type { SomeBounds } from '../core/limits.ts';
import type { LogLine } from '../core/messages.ts';
import type { Dealing } from '../core/policies.ts';
import type { Election, Leadership } from '../elections/election.ts';
import type { Journal } from '../journals/journal.ts';
import { ShoalError } from '../lib/errors.ts';
import { type Outside, realOutside, type Timer } from '../lib/outside.ts';
import { Coordinator } from './coordinator.ts';
import { Ids } from './ids.ts';
import { lostError } from './refusals.ts';
import { Watchdog } from './watchdog.ts';

export interface CandidacyOptions {
  election: Election;
  broker: Broker;
  /** Where that is, for those who ask; without credentials. */
  brokerAddress?: string;
  /** Called when it has been elected, for this leadership alone. */
  openJournal: () => Promise<Journal>;
  /** Where clients and workers reach this coordinator. */
  url?: string;
  /** See CoordinatorOptions. */
  bounds?: SomeBounds;
  dealing?: Dealing;
  onLog?: (line: LogLine) => void;
  /** One line for the log of this process. */
  onWarning?: (line: string) => void;
  onChange?: (standing: 'leads' | 'standby') => void;
  /** It can't go on, and has stopped. */
  onFailed?: (error: unknown) => void;
  outside?: Outside;
}

const pauseMsFirst = 200;
const pauseMsMax = 5_000;
/** Who led for so long was no part of a flapping. */
const steadyMs = 10_000;
const lookMs = 500;
const watchMs = 1_000;
/** What a leadership leaves behind may take so long to settle; the next does not depend on it. */
const settleMs = 2_000;

export class Candidacy {
  readonly #options: CandidacyOptions;
  readonly #outside: Outside;
  readonly #ids: Ids;
  readonly #stopping = new AbortController();
  #leading: Coordinator | undefined;
  #durability: Journal['durability'] | undefined;
  #leadership: Leadership | undefined;
  #me = '';
  #leaderUrl: string | undefined;
  #loop: Promise<void> | undefined;
  #settle: ((error?: unknown) => void) | undefined;

  constructor(options: CandidacyOptions) {
    this.#options = options;
    this.#outside = options.outside ?? realOutside;
    this.#ids = new Ids(this.#outside);
  }

  /** The one that leads here, while it does. */
  get coordinator(): Coordinator | undefined {
    return this.#leading;
  }

  /** Where the other one that leads is reached; undefined if nobody is known to, or this one does. */
  get leaderUrl(): string | undefined {
    return this.#leading ? undefined : this.#leaderUrl;
  }

  /** Of the journal that was opened last. */
  get durability(): Journal['durability'] | undefined {
    return this.#durability;
  }

  /** Resolves when it leads, or knows that another does; rejects if neither can be. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = (error) => {
        this.#settle = undefined;
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#loop = this.#run();
    });
  }

  /** Finishes the commit under way, resigns, so that the next can lead at once, and ends. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    // One that is taking over is not waited for: another may.
    if (!this.#leading) await this.#leadership?.resign().catch(() => undefined);
    await this.#leading?.stop();
    if (this.#loop) await this.#atMost(settleMs, this.#loop);
  }

  async #run(): Promise<void> {
    const looks = this.#outside.every(lookMs, () => void this.#look());
    looks.unref();
    void this.#look();
    let pauseMs = pauseMsFirst;
    try {
      while (!this.#stopping.signal.aborted) {
        const ledMs = await this.#leadOnce();
        pauseMs = ledMs >= steadyMs ? pauseMsFirst : Math.min(pauseMsMax, 2 * pauseMs);
        await this.#pause(pauseMs / 2 + this.#outside.randomBelow(pauseMs));
      }
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      if (this.#settle) this.#settle(error);
      else this.#options.onFailed?.(error);
    } finally {
      looks.cancel();
      this.#settle?.();
    }
  }

  /** One leadership, from its campaign to its end. Returns how long it was held; throws what ends the candidacy. */
  async #leadOnce(): Promise<number> {
    const { election, url } = this.#options;
    const { signal } = this.#stopping;
    this.#me = this.#ids.next();
    let sinceMs = Number.POSITIVE_INFINITY;
    let journal: Journal | undefined;
    try {
      const leadership = await election.campaign({ id: this.#me, address: 'hello', ...(url !== undefined && { url }) }, signal);
      this.#leadership = leadership;
      sinceMs = this.#outside.nowMs();
      if (signal.aborted) return 0;
      journal = await this.#options.openJournal();
      this.#durability = journal.durability;
      // It may have taken long, and then another leads: what is written now would depose that one.
      if (signal.aborted) return 0;
      if (leadership.lost.aborted) throw lostError(leadership.lost);
      await this.#lead(leadership, journal);
    } catch (error) {
      if (signal.aborted) return 0;
      if (!this.#isForAnother(error)) throw error;
      this.#options.onWarning?.(`${textOf(error)}; it stands by and campaigns again`);
      this.#settle?.();
    } finally {
      this.#leading = undefined;
      const leadership = this.#leadership;
      this.#leadership = undefined;
      if (leadership) {
        this.#options.onChange?.('standby');
        await this.#atMost(settleMs, leadership.resign());
      }
      if (journal) await this.#atMost(settleMs, journal.close());
    }
    return Math.max(0, this.#outside.nowMs() - sinceMs);
  }

  /** Resolves when it was stopped; rejects with what ended it. */
  async #lead(leadership: Leadership, journal: Journal): Promise<void> {
    const { broker, brokerAddress, url, bounds, dealing, onLog, onWarning } = this.#options;
    let watch: Timer | undefined;
    let coordinator: Coordinator | undefined;
    let onStopping = (): void => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        onStopping = resolve;
        this.#stopping.signal.addEventListener('abort', onStopping);
        const own = new Coordinator({
          broker,
          place: { ...(url !== undefined && { url }), ...(brokerAddress !== undefined && { broker: brokerAddress }) },
          journal,
          election: { campaign: () => Promise.resolve(leadership) },
          isOneMachine: false,
          outside: this.#outside,
          ...(bounds && { bounds }),
          ...(dealing && { dealing }),
          ...(onLog && { onLog }),
          ...(onWarning && { onWarning }),
          onFailed: reject,
        });
        coordinator = own;
        own.start().then(() => {
          if (this.#stopping.signal.aborted) return;
          this.#leading = own;
          const watchdog = new Watchdog((error) => own.fail(error));
          // Where nobody else can lead, resigning helps nobody.
          if (leadership.ttlMs !== Number.POSITIVE_INFINITY) {
            watch = this.#outside.every(watchMs, () => watchdog.look(own.loops()));
            watch.unref();
          }
          this.#options.onChange?.('leads');
          this.#settle?.();
        }, reject);
      });
    } finally {
      this.#stopping.signal.removeEventListener('abort', onStopping);
      watch?.cancel();
      if (coordinator) await this.#atMost(settleMs, coordinator.stop());
    }
  }

  /** Who leads now: for those who come here. */
  async #look(): Promise<void> {
    if (this.#leading) return;
    const leader = await this.#options.election.leader().catch(() => undefined);
    const isOther = leader !== undefined && leader.id !== this.#me;
    this.#leaderUrl = isOther ? leader.url : undefined;
    if (isOther && !this.#leadership) this.#settle?.();
  }

  /** Another coordinator may lead, and may do better. */
  #isForAnother(error: unknown): boolean {
    const { code = '' } = error as { code?: unknown };
    if (lostCodes.has(code as string)) return this.#leadership?.ttlMs !== Number.POSITIVE_INFINITY;
    // At its start it says at once what is wrong, rather than to try in silence.
    if (code === 'SH4004' || code === 'SH4011' || this.#settle !== undefined) return false;
    return error instanceof ShoalError || /^E[A-Z]+$/.test(String(code));
  }

  #pause(ms: number): Promise<void> {
    if (this.#stopping.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        this.#stopping.signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = this.#outside.after(ms, end);
      this.#stopping.signal.addEventListener('abort', end);
    });
  }

  async #atMost(ms: number, what: Promise<unknown>): Promise<void> {
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      timer = this.#outside.after(ms, resolve);
    });
    await Promise.race([what.catch(() => undefined), late]);
    timer?.cancel();
  }
}

/** Another leads, has written or opened the journal, or the journal did not answer; a loop hangs. */
const lostCodes = new Set(['SH3003', 'SH3021', 'SH4001', 'SH4002', 'SH4006']);

function textOf(error: unknown): string {
  const { message, why } = error as ShoalError;
  return `it leads no more: ${message}${why === undefined ? '' : ` (${why})`}`;
}
