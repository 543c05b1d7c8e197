/**
 * The host's side of every kind of slot: it posts works to a vessel (thread, child, or this thread), two at a time, or as many as
 * keep its lanes busy, so that the vessel never waits, and tells what became of each task exactly once, whatever the vessel does or fails to do.
 *
 * Neighbours: vessel.ts is what runs; stops.ts watches the time; posted.ts keeps what was told of a work.
 *
 * 1. State is settled before an event is told, since whoever hears it may call run, abort or revoke at once.
 * 2. A vessel that is gone is forgotten before its works are told; what it still says is not heard.
 * 3. What a task's own end tells after its time-out or abort changes nothing (W08).
 */
import { Cutter, shapeOf } from '../cut.ts';
import { claim, claimsAt, claimsMax, loadingPosition } from '../runtime/board.ts';
import { buffersOf, type Failure, type FromRuntime, type Partial, type Runs, type Values } from '../runtime/channel.ts';
import type { ErrorRecord, Executor, ExecutorOptions, Ranges, Work, WorkEvents } from './executor.ts';
import { Leftovers } from './leftovers.ts';
import { Posted, Told } from './posted.ts';
import { answerMs, Stops } from './stops.ts';
import { crashRecord, type Launch, stillborn, type Vessel, type VesselEvents } from './vessel.ts';

const postedMax = 2;
/** Deaths in a row of which nobody is guilty, with nothing told in between: a background of the module dies again and again. */
const barrenMax = 2;
/** Between attempts to start a thread or process where none can be started. */
const launchPauseMsMax = 5_000;

export class Host implements Executor {
  private readonly events: WorkEvents;
  private readonly graceMs: number;
  private readonly launch: Launch;
  private readonly barrenMax: number;
  private readonly stops: Stops;
  private vessel: Vessel | undefined;
  private leftovers = new Leftovers();
  private posted: Posted[] = [];
  private queue: Posted[] = [];
  /** A module could not be loaded in the vessel, and would not be if it were tried again there: Node remembers. */
  private isSpoiled = false;
  /** Vessels that close in peace, and whom that is told. */
  private readonly retiring = new Map<Vessel, () => void>();
  private launchesFailed = 0;
  /** Deaths since something was told last. */
  private barren = 0;
  private lastWords: (FromRuntime & { kind: 'dying' }) | undefined;
  /** Vessels that are on their way out. */
  private readonly endings = new Set<Promise<unknown>>();
  private closing: { answered: () => void; closed: () => void } | undefined;

  constructor(options: ExecutorOptions, launch: Launch) {
    this.events = options.events;
    this.graceMs = options.graceMs;
    this.barrenMax = options.isAlone ? 0 : barrenMax;
    this.launch = launch;
    this.stops = new Stops(options.graceMs, options.loadMs, {
      expired: (entry, position) => this.expire(entry, position),
      stillLoads: (entry, ms) => this.giveUpLoading(entry, ms),
      stuck: (_, why) => this.replace(why),
    });
  }

  run(work: Work): void {
    if (this.closing) throw new Error('a closed executor runs nothing');
    this.queue.push(new Posted(work));
    this.fill();
  }

  abort(work: Work, ranges: Ranges, reason: string): void {
    const entry = this.find(work.id);
    if (!entry) return;
    const runs = entry.runsOf(ranges);
    this.withdraw(entry, runs, 'aborted');
    // Where its thread loads for ever there is nobody to tell its end.
    entry.isUnwanted = entry.untold === 0;
    const running = entry.select([Told.open], runs);
    if (running.length === 0) return;
    entry.mark(running, Told.aborted);
    const ask = this.stops.ask(entry, running, false);
    this.vessel!.post({ kind: 'abort', work: work.id, runs: running, cause: 'cancel', reason, ask }, []);
  }

  revoke(work: Work, ranges: Ranges, why: string): void {
    const entry = this.find(work.id);
    if (!entry) return;
    const runs = entry.runsOf(ranges);
    this.withdraw(entry, runs, why);
    // A child process keeps its claims to itself and has to be asked.
    if (!this.vessel || this.vessel.shared || !this.posted.includes(entry)) return;
    const open = entry.select([Told.open], runs);
    if (open.length > 0) this.vessel.post({ kind: 'revoke', work: work.id, runs: open, why }, []);
  }

  async close(): Promise<void> {
    if (!this.closing) {
      this.stops.clear();
      this.queue = [];
      this.posted = [];
      const vessel = this.vessel;
      this.closing = { answered: () => undefined, closed: () => undefined };
      if (vessel) this.ending(this.closeVessel(vessel));
    }
    await Promise.all(this.endings);
  }

  private find(id: number): Posted | undefined {
    return this.posted.find((entry) => entry.work.id === id) ?? this.queue.find((entry) => entry.work.id === id);
  }

  private fill(): void {
    if (this.isSpoiled && this.posted.length === 0) this.retire();
    while (this.queue.length > 0 && this.hasRoomFor(this.queue[0]!)) this.post(this.queue.shift()!);
  }

  /** Works with lanes run side by side: as many are posted as have a task for each lane, and one more for each. */
  private hasRoomFor({ lanes }: Posted): boolean {
    if (this.isSpoiled) return false;
    if (this.posted.length < postedMax) return true;
    let untold = 0;
    for (const entry of this.posted) {
      if (entry.lanes === 1) return false;
      untold += entry.untold;
    }
    return lanes > 1 && untold < 2 * lanes;
  }

  /** Which half of the board's claims nobody has. */
  private freeHalf(): 0 | 1 | undefined {
    for (const half of [0, 1] as const) if (!this.posted.some((entry) => entry.half === half)) return half;
    return undefined;
  }

  private post(entry: Posted): void {
    const vessel = this.vessel ?? this.start();
    const { work } = entry;
    const withdrawn = entry.untold < entry.count ? entry.select([Told.told]) : [];
    if (this.posted.length === 0) vessel.hold(true);
    this.stops.watchWork(entry, vessel);
    if (entry.count <= claimsMax) entry.half = this.freeHalf();
    this.posted.push(entry);
    const own = vessel.shared && entry.half === undefined ? new SharedArrayBuffer(entry.count) : undefined;
    const at = claimsAt(entry.half ?? 0);
    if (own) entry.claims = { bytes: new Uint8Array(own), at: 0 };
    else if (vessel.shared) entry.claims = { bytes: vessel.shared.claims.fill(claim.open, at, at + entry.count), at };
    vessel.post(
      { kind: 'work', work, claimsAt: at, ...(own && { claims: own }), ...(withdrawn.length > 0 && { withdrawn }) },
      vessel.shared ? buffersOf(work.body) : [],
    );
  }

  private start(): Vessel {
    const leftovers = new Leftovers();
    this.leftovers = leftovers;
    this.lastWords = undefined;
    this.isSpoiled = false;
    const vessel: Vessel = this.launched({
      message: (message) => {
        if (message.kind === 'holds') leftovers.note(message);
        else if (this.vessel === vessel) this.onMessage(message);
        else if (message.kind === 'closed') this.retiring.get(vessel)?.();
      },
      died: (how, error) => {
        this.ending(leftovers.clear());
        if (this.vessel === vessel) this.onDeath(vessel, how, error);
        else this.retiring.get(vessel)?.();
      },
    });
    this.vessel = vessel;
    return vessel;
  }

  /** No file, process or memory is left for one: that is a death like any other, and its works go back. */
  private launched(events: VesselEvents): Vessel {
    try {
      const vessel = this.launch(events);
      this.launchesFailed = 0;
      return vessel;
    } catch (error) {
      const why = crashRecord(`neither thread nor process could be started: ${error instanceof Error ? error.message : String(error)}`);
      return stillborn(events, why, Math.min(launchPauseMsMax, 2 ** this.launchesFailed++));
    }
  }

  /** What it ran closes its perThread values; the next work has a fresh one. */
  private retire(): void {
    const { vessel, leftovers } = this;
    this.isSpoiled = false;
    if (!vessel) return;
    this.vessel = undefined;
    const closed = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.graceMs);
      this.retiring.set(vessel, () => {
        clearTimeout(timer);
        resolve();
      });
    });
    vessel.post({ kind: 'close' }, []);
    this.ending(
      closed.then(async () => {
        this.retiring.delete(vessel);
        await vessel.kill();
        await leftovers.clear();
      }),
    );
  }

  private onMessage(message: FromRuntime): void {
    if (message.kind === 'closing') return this.closing?.answered();
    if (message.kind === 'closed') return this.closing?.closed();
    if (this.closing) return;
    if (message.kind === 'logs') return this.events.logs(message.lines);
    if (message.kind === 'signalled') return this.stops.answered(message.ask);
    if (message.kind === 'dying') this.lastWords = message;
    if (message.kind === 'holds' || message.kind === 'dying') return;
    const entry = this.find(message.work);
    if (!entry) return;
    switch (message.kind) {
      case 'report':
        if (message.values) this.tellValues(entry, message.values);
        for (const partial of message.partials ?? []) this.tellPartial(entry, partial);
        for (const failure of message.failures ?? []) this.tellFailure(entry, failure);
        if (message.finished) this.finish(entry);
        return;
      case 'refused':
        this.isSpoiled ||= message.error.code === 'SH5001';
        this.refuse(entry, message.error);
        return this.finish(entry);
      case 'withdrawn':
        this.release(entry, entry.select([Told.open, Told.aborted], message.runs), message.why);
        if (message.why === 'aborted') entry.isUnwanted = entry.untold === 0;
        return;
      case 'note':
        return this.events.note(entry.work, entry.indexOf(message.position), message.done, message.total, message.note);
    }
  }

  private tellValues(entry: Posted, values: Values): void {
    if (!entry.isOverruled) return this.tellPiece(entry, values.runs, values);
    const { runs, lengths, counts, durations, body } = values;
    const wanted = entry.select([Told.open], runs);
    const others = entry.select([Told.told, Told.aborted, Told.expired], runs);
    const columns = { ranges: Uint32Array.from(runs), lengths, body: [body], ...(counts && { counts }) };
    const cutter = new Cutter(columns, shapeOf({ kind: 'value' }, counts !== undefined));
    if (wanted.length > 0) {
      cutter.drop(Uint32Array.from(others));
      while (cutter.pending > 0) {
        const piece = cutter.take(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
        this.tellPiece(entry, [...piece.ranges], { ...piece, durations: durations.slice(piece.first, piece.first + piece.count) });
      }
    }
    this.over(entry, others);
  }

  private tellPiece(
    entry: Posted,
    runs: Runs,
    piece: { lengths: Uint32Array; counts?: Uint32Array; durations: Uint32Array; body: Uint8Array },
  ): void {
    this.barren = 0;
    entry.markTold(runs);
    const { lengths, counts, durations, body } = piece;
    this.events.results(entry.work, { ranges: entry.rangesOf(runs), lengths, durations, body, ...(counts && { counts }) });
  }

  /** All or nothing: a partial that covers a task which does not count any more does not count either. */
  private tellPartial(entry: Posted, { runs, durations, body }: Partial): void {
    const others = entry.isOverruled ? entry.select([Told.told, Told.aborted, Told.expired], runs) : [];
    if (others.length > 0) {
      this.over(entry, others);
      return this.release(entry, entry.select([Told.open], runs), 'combined with a task that was aborted or out of time');
    }
    this.barren = 0;
    entry.markTold(runs);
    this.events.partial(entry.work, { ranges: entry.rangesOf(runs), durations, body });
  }

  private tellFailure(entry: Posted, { position, ...failure }: Failure): void {
    if (entry.told[position] !== Told.open) return this.over(entry, [position, 1]);
    this.barren = 0;
    entry.markTold([position, 1]);
    this.events.failed(entry.work, entry.indexOf(position), failure);
  }

  /** Tasks that were asked to stop have ended. */
  private over(entry: Posted, runs: Runs): void {
    entry.mark(entry.select([Told.expired], runs), Told.told);
    this.release(entry, entry.select([Told.aborted], runs), 'aborted');
  }

  private refuse(entry: Posted, error: ErrorRecord): void {
    this.release(entry, entry.select([Told.aborted]), 'aborted');
    const open = entry.select([Told.open]);
    if (open.length === 0) return;
    entry.markTold(open);
    this.events.refused(entry.work, error);
  }

  private release(entry: Posted, runs: Runs, why: string): void {
    if (runs.length === 0) return;
    entry.markTold(runs);
    this.events.released(entry.work, entry.rangesOf(runs), why);
  }

  /** Takes back what has not started, as far as that can be done from here. */
  private withdraw(entry: Posted, runs: Runs, why: string): void {
    const isQueued = this.queue.includes(entry);
    const { claims } = entry;
    const take = (position: number): boolean =>
      isQueued ||
      (claims !== undefined && Atomics.compareExchange(claims.bytes, claims.at + position, claim.open, claim.withdrawn) === claim.open);
    this.release(entry, entry.select([Told.open], runs, take), why);
    if (!isQueued || entry.untold > 0) return;
    this.queue = this.queue.filter((each) => each !== entry);
    this.events.finished(entry.work);
  }

  private finish(entry: Posted): void {
    this.over(entry, [0, entry.count]);
    this.release(entry, entry.select([Told.open]), 'not run');
    this.posted = this.posted.filter((each) => each !== entry);
    this.stops.forget(entry);
    this.fill();
    this.events.finished(entry.work);
    if (this.posted.length > 0) return;
    this.stops.clear();
    this.vessel?.hold(false);
  }

  private expire(entry: Posted, position: number): void {
    const { definition, timeoutMs } = entry.work;
    const reason = `${definition.name} took longer than its timeout of ${timeoutMs} ms`;
    entry.markTold([position, 1]);
    entry.mark([position, 1], Told.expired);
    const ask = this.stops.ask(entry, [position, 1], true);
    this.vessel!.post({ kind: 'abort', work: entry.work.id, runs: [position, 1], cause: 'timeout', reason, ask }, []);
    const error = { name: 'TimeoutError', message: reason, code: 'SH2002' };
    this.events.failed(entry.work, entry.indexOf(position), { error, verdict: 'retry', durationUs: timeoutMs! * 1000 });
  }

  private giveUpLoading(entry: Posted, ms: number): void {
    const { name, module } = entry.work.definition;
    const why = `loading the module of the task "${name}" took longer than ${ms / 1000} s`;
    this.refuse(entry, { name: 'ShoalError', code: 'SH5001', message: module ? `${why} (${module})` : why });
    this.replace(why);
  }

  /** Ends a vessel that does not do what it must; nobody in it is guilty of more than was told. */
  private replace(why: string): void {
    const { vessel, leftovers } = this;
    if (!vessel) return;
    this.ending(vessel.kill().then(() => leftovers.clear()));
    this.abandon(why, () => undefined);
  }

  private onDeath(vessel: Vessel, how: string, error: ErrorRecord): void {
    if (this.closing) return this.closing.closed();
    const { lastWords } = this;
    const isNobodys = lastWords !== undefined && lastWords.guilty === undefined && ++this.barren <= this.barrenMax;
    const told = lastWords ?? { how, error, guilty: undefined };
    this.abandon(`the slot died (${told.how}): ${told.error.message}`, (entry) => {
      const { guilty } = told;
      const marks = vessel.marksOf(entry.work.id, entry.lanes);
      if (!guilty && marks.some(({ position }) => position === loadingPosition)) {
        const { name, module } = entry.work.definition;
        const message = `loading the module of the task "${name}" ended its thread: ${told.error.message}`;
        return this.refuse(entry, { name: 'ShoalError', code: 'SH5001', message: module ? `${message} (${module})` : message });
      }
      // Where nobody said who it was, all that ran are charged: a crash that is nobody's would be repeated for ever.
      const own = guilty?.work === entry.work.id ? [guilty.position] : [];
      const positions = guilty || isNobodys ? own : marks.map(({ position }) => position);
      for (const position of positions) {
        if (entry.told[position] !== Told.open) continue;
        entry.markTold([position, 1]);
        this.events.crashed(entry.work, entry.indexOf(position), told.how, told.error);
      }
    });
  }

  /** The vessel is gone: its works are told to their end, the next ones run in another. */
  private abandon(why: string, blame: (entry: Posted) => void): void {
    const lost = this.posted;
    this.posted = [];
    this.vessel = undefined;
    this.isSpoiled = false;
    this.stops.clear();
    this.events.replaced(why);
    for (const entry of lost) {
      blame(entry);
      this.over(entry, [0, entry.count]);
      this.release(entry, entry.select([Told.open]), why);
      this.events.finished(entry.work);
    }
    this.fill();
  }

  private ending(ending: Promise<unknown>): void {
    // A directory that can't be removed is not worth an executor.
    const settled: Promise<unknown> = ending.catch(() => undefined).finally(() => this.endings.delete(settled));
    this.endings.add(settled);
  }

  private async closeVessel(vessel: Vessel): Promise<void> {
    const { leftovers } = this;
    vessel.hold(true);
    await new Promise<void>((resolve) => {
      const giveUp = (): void => void setImmediate(resolve);
      let timer = setTimeout(giveUp, Math.min(answerMs, this.graceMs));
      this.closing = {
        answered: () => {
          clearTimeout(timer);
          timer = setTimeout(giveUp, this.graceMs);
        },
        closed: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      vessel.post({ kind: 'close' }, []);
    });
    this.vessel = undefined;
    await vessel.kill();
    await leftovers.clear();
  }
}
