/**
 * The coordinator's shell: one loop around the core. What arrives gathers in an inbox; a turn takes it, the
 * core decides, the turn's entries are appended, and only then its effects are carried out (rule 1). One append
 * is in flight; what arrives meanwhile is the next turn, which is how commits group by themselves.
 *
 * Owns: the inbox, the clock, timers, sessions, ids, the bytes of recent entries. Decides nothing about jobs.
 */
import type { Broker, Listener } from '../brokers/broker.ts';
import { listen } from '../brokers/post.ts';
import type { Input } from '../core/inputs.ts';
import { entryBytesMin, type SomeBounds } from '../core/limits.ts';
import type { FromClient, FromWorker, LogLine, Refusal } from '../core/messages.ts';
import type { Dealing } from '../core/policies.ts';
import { type About, createState, type State } from '../core/state.ts';
import { endTurn, step } from '../core/step.ts';
import { advanceStreams, type Draft, type Effect, Turn } from '../core/turn.ts';
import { farewell } from '../core/workers.ts';
import type { Election, Leadership } from '../elections/election.ts';
import type { Journal } from '../journals/journal.ts';
import { ShoalError } from '../lib/errors.ts';
import { type Outside, realOutside, type Timer } from '../lib/outside.ts';
import { version } from '../lib/version.ts';
import { Alarm } from './alarm.ts';
import { Appender } from './appender.ts';
import { Effects } from './effects.ts';
import { beginningOf, boundsOf, entriesOf } from './entries.ts';
import { Ids } from './ids.ts';
import { Inbox } from './inbox.ts';
import { LogStore } from './log-store.ts';
import { Proof } from './proof.ts';
import { closed, fullRefusal, lostError, stoppedRefusal } from './refusals.ts';
import { LocalSession } from './sessions.ts';
import { takeOver } from './takeover.ts';
import type { Loop } from './watchdog.ts';

export interface CoordinatorOptions {
  broker: Broker;
  place?: Pick<About, 'url' | 'broker'>;
  journal: Journal;
  election: Pick<Election, 'campaign'>;
  /** One process holds client, coordinator and worker: code nobody has fails the job, jobs of earlier runs rest. */
  isOneMachine: boolean;
  onLog?: (line: LogLine) => void;
  /** One line for the log of this process. */
  onWarning?: (line: string) => void;
  /** It has stopped by itself: its journal or its leadership is lost. */
  onFailed?: (error: unknown) => void;
  /** Instead of those that are fit for real clusters. */
  bounds?: SomeBounds;
  dealing?: Dealing;
  /** Time and chance; the simulator's, or those of this process. */
  outside?: Outside;
}

/** Journals and brokers have deadlines of their own, and come back by themselves: these are for those that hang beyond that. */
const journalLooksMax = 30;
const brokerLooksMax = 15;
const tickMs = 1_000;
/** Streams that are not left to the next tick: thousands of small jobs a second would make that one long. */
const reclaimCount = 256;

export class Coordinator {
  private readonly options: CoordinatorOptions;
  private readonly outside: Outside;
  private readonly state: State;
  private readonly appender: Appender;
  private readonly effects: Effects;
  private readonly logs: LogStore;
  private readonly sessions = new Map<string, LocalSession>();
  private readonly inbox = new Inbox();
  private carried = new Map<string, Draft>();
  private roll: Turn['roll'];
  private readonly afterCommit: Effect[] = [];
  private isPumping = false;
  private isStopped = false;
  private tookMs: number | undefined;
  private leadership: Leadership | undefined;
  private proof: Proof | undefined;
  private readonly listeners: Listener[] = [];
  private ticker: Timer | undefined;
  private readonly alarm: Alarm;
  /** Hints wait for the next commit, but not longer than a tick. */
  private flushDue = false;
  /** A timer of the core is due. */
  private turnDue = false;
  private unreadable: unknown;
  private turnCount = 0;
  private tickCount = 0;
  private quitting: Promise<void> | undefined;
  private sessionCount = 0;
  private readonly ids: Ids;

  constructor(options: CoordinatorOptions) {
    if (options.journal.maxEntryBytes < entryBytesMin)
      throw new RangeError('the journal’s entries are too small for what may have to be stored');
    this.options = options;
    this.outside = options.outside ?? realOutside;
    this.ids = new Ids(this.outside);
    const writer = this.ids.next();
    this.state = createState({
      writer,
      registryStream: 'registry',
      isOneMachine: options.isOneMachine,
      about: { version, durability: options.journal.durability, startedWallMs: this.outside.wallMs(), ...options.place },
      bounds: boundsOf(options.journal, options.bounds),
      ...(options.dealing && { dealing: options.dealing }),
    });
    this.alarm = new Alarm(this.outside, () => {
      this.turnDue = true;
      this.wake();
    });
    this.appender = new Appender(options.journal, this.outside);
    this.logs = new LogStore({
      journal: options.journal,
      outside: this.outside,
      writer,
      tell: (session, message) => this.sessions.get(session)?.onMessage(message),
      look: (id) => {
        const job = this.state.jobs.get(id);
        return job && { generation: job.logs, isOver: job.outcome !== undefined };
      },
      isBusy: () => this.isPumping,
      onFull: (job, generation) => this.push({ from: 'self', event: 'logFull', job, generation }),
    });
    this.effects = new Effects({
      broker: options.broker,
      journal: options.journal,
      session: (id) => this.sessions.get(id),
      onLogs: (lines) => this.onLogs(lines),
      onWarning: (line) => options.onWarning?.(line),
      onDropped: (streams) => this.push({ from: 'self', event: 'streamsGone', streams }),
      // While it stops, too: only who has resigned before its time was over may still say what is durable.
      isLost: () => this.leadership?.lost.aborted === true,
      fail: (error) => this.onUnreadable(error),
    });
  }

  /** Campaigns, takes over, and serves. */
  async start(): Promise<void> {
    const { election, journal } = this.options;
    const me = { id: this.state.writer, address: 'hello' };
    this.leadership = await election.campaign(me, new AbortController().signal);
    const { lost } = this.leadership;
    const goOn = (): void => {
      if (this.isStopped) throw new ShoalError('SH1302', 'it was stopped while it took over');
      if (lost.aborted) throw lostError(lost);
    };
    const term = await takeOver(this.state, journal, this.outside, goOn);
    goOn();
    this.proof = new Proof(this.leadership.ttlMs, this.outside.nowMs());
    this.appender.isReplaceable = this.leadership.ttlMs !== Number.POSITIVE_INFINITY;
    // Before anything that is heard from now on.
    this.inbox.push({ from: 'self', event: 'tookOver', term });
    this.logs.begin(term);
    // In this order: whose hello is answered may write to the term's address at once.
    for (const address of [`coordinator.${term}`, 'hello']) this.listeners.push(await this.listen(address));
    try {
      goOn();
    } catch (error) {
      await (this.isStopped ? this.deafen() : this.stop());
      throw error;
    }
    lost.addEventListener('abort', () => this.fail(lostError(lost)));
    this.ticker = this.outside.every(tickMs, () => this.tick());
    this.ticker.unref();
    this.wake();
  }

  session(): LocalSession {
    const id = `s${++this.sessionCount}`;
    const session = new LocalSession(id, (from, message) => this.receive(from, message));
    this.sessions.set(id, session);
    if (this.isStopped) queueMicrotask(() => session.end(closed));
    return session;
  }

  /** Whoever listened at these addresses of the broker is no longer connected. */
  connectionsClosed(addresses: readonly string[]): void {
    if (this.isStopped) return;
    for (const address of addresses) this.push({ from: 'self', event: 'connectionClosed', address });
  }

  /** Leads, and its journal takes what it is given. */
  get isServing(): boolean {
    return this.state.leading && !this.isStopped && !this.state.full;
  }

  /** Resolves when the inbox has room again; undefined while it has. */
  room(): Promise<void> | undefined {
    return this.isStopped ? undefined : this.inbox.room();
  }

  /** What has to go on while it leads (C11). A full journal keeps turns waiting, and nothing else is wrong then. */
  loops(): Loop[] {
    const { isUnderWay, isFull, count } = this.appender;
    return [
      { name: 'clock', steps: this.tickCount, isDue: true },
      { name: 'turns', steps: this.turnCount, isDue: !isUnderWay && (this.isPumping || this.inbox.length > 0) },
      { name: 'journal', steps: count, isDue: isUnderWay && !isFull, looksMax: journalLooksMax },
      { name: 'reads of the journal', steps: this.effects.count, isDue: this.effects.isWaiting, looksMax: journalLooksMax },
      { name: 'broker', steps: 0, isDue: this.options.broker.state === 'down', looksMax: brokerLooksMax },
    ];
  }

  /** Finishes the commit under way, resigns, then ends. Jobs stay as the journal has them. Idempotent. */
  stop(): Promise<void> {
    if (!this.isStopped) {
      this.isStopped = true;
      this.quitting = this.finish();
    }
    return this.quitting ?? Promise.resolve();
  }

  private async finish(): Promise<void> {
    await this.deafen();
    await this.appender.settled;
    await this.logs.end();
    try {
      const beginning = beginningOf(this.roll, this.state.writer);
      if (this.carried.size > 0) await this.appender.append(entriesOf(this.carried.values(), this.state), undefined, beginning);
      this.effects.carryOut(this.afterCommit.splice(0));
      this.effects.reclaim();
      if (!this.leadership?.lost.aborted) this.effects.carryOut(farewell(this.state));
    } catch {
      // What was not stored is not gone, and its space stays (rule 12, H2).
    }
    // What is still told is durable: the next may lead already, and nobody who comes back waits for this one's reads.
    const resigned = this.leadership?.resign().catch(() => undefined);
    await this.effects.settled;
    this.endSessions(closed);
    await resigned;
  }

  private async deafen(): Promise<void> {
    this.ticker?.cancel();
    this.alarm.cancel();
    this.appender.end();
    // Nobody is held back any more: a listener closes once its last message was taken.
    this.inbox.letGo();
    await Promise.all(this.listeners.map((listener) => listener.close()));
  }

  /** Asks the election's clock, too: after a pause messages are heard before timers (C04). */
  private isLost(): boolean {
    const lost = this.leadership?.lost;
    if (lost?.aborted) this.fail(lostError(lost));
    return this.isStopped;
  }

  private endSessions(why: Refusal): void {
    for (const session of this.sessions.values()) session.end(why);
    this.sessions.clear();
  }

  /** Leading is over: memory may be ahead of the journal, so nothing more is said from it (rules 2–4). */
  fail(error: unknown): void {
    if (this.isStopped) return;
    this.isStopped = true;
    this.effects.end();
    this.logs.abandon();
    this.quitting = this.deafen();
    const why = stoppedRefusal(error);
    this.options.onWarning?.(why.message);
    this.endSessions(why);
    this.options.onFailed?.(error);
    // Another may lead at once: what it is told here is never said again.
    this.leadership?.resign().catch(() => undefined);
  }

  // ---- what arrives ----

  private receive(session: string, message: FromClient | 'closed'): void {
    if (this.isLost()) return;
    if (message === 'closed') {
      this.sessions.delete(session);
      this.logs.unread(session);
      this.push({ from: 'client', session, message });
      return;
    }
    if (message.kind === 'submit' && this.appender.isFull) {
      this.sessions.get(session)?.onMessage({ kind: 'refusal', request: message.request, error: fullRefusal(message.spec.name) });
      return;
    }
    if (message.kind === 'readLogs') {
      return this.logs.read(session, message.reader, message.job, message.follow, message.from);
    }
    if (message.kind === 'unread') this.logs.unread(session, message.reader);
    const needsId = message.kind === 'submit' || message.kind === 'putBundle';
    this.inbox.take({ from: 'client', session, message, newId: needsId ? this.ids.next() : '' });
    this.wake();
  }

  private onLogs(lines: readonly LogLine[]): void {
    this.logs.add(lines);
    for (const line of lines) this.options.onLog?.(line);
  }

  private listen(address: string): Promise<Listener> {
    return listen<FromWorker>(
      this.options.broker,
      address,
      (messages) => this.hear(messages),
      (why) => this.options.onWarning?.(`a message makes no sense and is dropped: ${why}`),
    );
  }

  /** A pending promise holds the broker back while the inbox is full. */
  private hear(messages: readonly FromWorker[]): void | Promise<void> {
    if (this.isStopped) return;
    for (const message of messages) this.inbox.take({ from: 'worker', message });
    this.wake();
    return this.room();
  }

  private push(input: Input): void {
    if (this.isStopped) return;
    this.inbox.push(input);
    this.wake();
  }

  private wake(): void {
    if (this.isPumping) return;
    this.isPumping = true;
    queueMicrotask(() => void this.pump());
  }

  private tick(): void {
    if (this.isStopped) return;
    this.flushDue = true;
    this.tickCount++;
    this.reclaim();
    this.logs.prune();
    const { state: carries, refusedCount } = this.options.broker;
    this.push({ from: 'self', event: 'tick', isBrokerDown: carries === 'down', ...(refusedCount !== undefined && { refusedCount }) });
  }

  /** Whoever can't show that it leads takes nothing away (C06). */
  private reclaim(): void {
    if (this.proof?.isFresh(this.outside.nowMs())) this.effects.reclaim();
  }

  // ---- turns ----

  private async pump(): Promise<void> {
    try {
      while ((this.inbox.length > 0 || this.turnDue) && !this.isLost()) {
        const { unreadable } = this;
        const effects = this.turn();
        this.turnCount++;
        if (effects.mustWait) {
          const startMs = this.outside.nowMs();
          const entries = entriesOf(this.carried.values(), this.state);
          let wasFull = this.state.full;
          const onFull = (): void => {
            wasFull = true;
            this.refuseSubmits(effects.list);
          };
          const beginning = beginningOf(this.roll, this.state.writer);
          if (entries.length > 0) await this.appender.append(entries, onFull, beginning);
          this.tookMs = this.outside.nowMs() - startMs;
          if (entries.length > 0) this.proof?.confirmed(startMs);
          // Behind the word that it is full, which the core has not heard yet if this very append waited for room.
          if (wasFull) this.inbox.push({ from: 'self', event: 'full', full: false });
          this.remember();
        }
        if (unreadable !== undefined) throw unreadable;
        if (this.isLost()) return;
        this.effects.carryOut(this.afterCommit.splice(0, this.carried.size === 0 ? this.afterCommit.length : 0));
        this.effects.carryOut(this.holdBack(effects.list));
        if (this.effects.droppedCount >= reclaimCount) this.reclaim();
        this.logs.settle();
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.isPumping = false;
    }
    if (this.isStopped) return;
    this.setAlarm();
    // Whatever came while the last effects were carried out.
    if (this.inbox.length > 0 || this.turnDue) this.wake();
  }

  /** Bytes are missing: damage only for one that can still write, which the next turn shows; a successor may have dropped them. */
  private onUnreadable(error: unknown): void {
    this.effects.end();
    this.unreadable = error;
    this.push({ from: 'self', event: 'lease' });
  }

  /**
   * The journal has no room for this turn, which waits until there is some. Jobs opened by it are refused at once
   * all the same; they are deleted as soon as they are stored.
   */
  private refuseSubmits(effects: Effect[]): void {
    if (this.isLost()) return;
    this.push({ from: 'self', event: 'full', full: true });
    for (let i = 0; i < effects.length; i++) {
      const effect = effects[i]!;
      if (effect.effect !== 'tell' || effect.message.kind !== 'reply') continue;
      const { job, deduplicated } = (effect.message.value ?? {}) as { job?: string; deduplicated?: boolean };
      if (job === undefined || deduplicated !== false) continue;
      effects.splice(i--, 1);
      const name = this.state.jobs.get(job)?.spec.name ?? job;
      this.sessions.get(effect.session)?.onMessage({ kind: 'refusal', request: effect.message.request, error: fullRefusal(name) });
      this.push({ from: 'client', session: '', message: { kind: 'deleteJob', request: 0, job }, newId: '' });
    }
  }

  /** Facts that nobody waited for are not stored yet: what may only follow them waits for the next commit. */
  private holdBack(list: Effect[]): Effect[] {
    if (this.carried.size === 0) return list;
    const now: Effect[] = [];
    for (const effect of list) (effect.effect === 'dropStream' ? this.afterCommit : now).push(effect);
    return now;
  }

  private turn(): { list: Effect[]; mustWait: boolean } {
    this.turnDue = false;
    const moment = { nowMs: this.outside.nowMs(), wallMs: this.outside.wallMs(), seed: this.outside.randomBelow(2 ** 31) };
    const turn = new Turn(moment, this.carried);
    if (this.tookMs !== undefined) step(this.state, { from: 'self', event: 'committed', tookMs: this.tookMs }, turn);
    this.tookMs = undefined;
    for (const input of this.inbox.takeTurn()) step(this.state, input, turn);
    endTurn(this.state, turn);
    if (!turn.gating && this.proof?.isDue(turn.nowMs, turn.effects)) step(this.state, { from: 'self', event: 'lease' }, turn);
    this.roll = turn.roll;
    const mustWait = turn.gating || (this.flushDue && this.carried.size > 0);
    this.flushDue = false;
    return { list: turn.effects, mustWait };
  }

  /** The drafts are stored: the next ones come behind them, and their bytes are at hand for a while. */
  private remember(): void {
    advanceStreams(this.state, this.carried.values());
    for (const { stream, seq, body, bodyBytes } of this.carried.values()) this.effects.bodies.put(stream, seq, body, bodyBytes);
    this.carried = new Map();
  }

  // ---- time ----

  private setAlarm(): void {
    // A pending job keeps the process alive, even if only a timer of ours will move it; one that nobody asks for does not.
    if (this.ticker) {
      if (this.state.openJobs > this.state.restingJobs) this.ticker.ref();
      else this.ticker.unref();
    }
    this.alarm.set(this.state.timers.nextMs);
  }
}
