/**
 * What every election must do. An adapter's test hands in how to start a store and gets all of this:
 *
 *   electionSuite('file', async () => ({ url: `file:${dir}`, store: (options) => fileStore(dir, options), ... }));
 *
 * Faults of whole processes are real ones: kill -9 and SIGSTOP of candidate.fixture.mjs, which runs from dist/.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Outside, realOutside } from '../lib/outside.ts';
import type { Candidate, Election, Leadership } from './election.ts';
import { type ElectionOptions, type LeaseStore, leaseElection } from './lease.ts';

export interface ElectionSetting {
  /** As `--election` takes it. */
  readonly url: string;
  store(options: ElectionOptions): LeaseStore;
  /** Takes the lease away as an operator's hand would. */
  removeLease(cluster: string): Promise<void>;
  /** Where a server keeps it. */
  readonly server?: {
    /** SIGSTOP and SIGCONT. */
    pause(): void | Promise<void>;
    resume(): void | Promise<void>;
    kill(): Promise<void>;
    /** On the same port, with the same data; also after `kill`. */
    restart(): Promise<void>;
  };
  stop(): Promise<void>;
}

/** Nobody waits for it: what happens within a test happens by itself. */
const longMs = 60_000;
/** Long enough for a machine that has other things to do. */
const shortMs = 2_000;

let clusters = 0;

export function electionSuite(name: string, start: () => Promise<ElectionSetting>): void {
  describe(`election ${name}`, () => {
    let setting: ElectionSetting;
    let cluster = '';
    const elections: Election[] = [];
    const processes: CandidateProcess[] = [];

    beforeAll(async () => {
      setting = await start();
    });
    afterAll(() => setting?.stop());
    beforeEach(() => {
      cluster = `suite ${process.pid}/${++clusters}`;
    });
    afterEach(async () => {
      vi.useRealTimers();
      for (const child of processes.splice(0)) await child.end();
      await Promise.all(elections.splice(0).map((election) => election.close()));
    });

    function open(options: Partial<ElectionOptions> = {}): Election {
      const all = { cluster, ttlMs: longMs, ...options };
      const election = leaseElection(setting.store(all), all);
      elections.push(election);
      return election;
    }

    function startProcess(id: string, ttlMs: number): CandidateProcess {
      const child = new CandidateProcess([setting.url, cluster, String(ttlMs), id]);
      processes.push(child);
      return child;
    }

    describe('leading', () => {
      it('goes to one, and tells the others who it is', async () => {
        const first = open();
        const second = open();
        expect(await first.leader()).toBeUndefined();
        const me = { id: 'a', url: 'http://a.example:7690', address: 'hello' };
        const leadership = await first.campaign(me, never);
        expect(leadership.lost.aborted).toBe(false);
        expect(leadership.ttlMs).toBeGreaterThanOrEqual(longMs / 2);
        expect(await second.leader()).toEqual(me);
        expect(await first.leader()).toEqual(me);
      });

      it('goes from one to the next when they resign, and never to two at once', async () => {
        const holders = new Map<string, Leadership>();
        const order: string[] = [];
        const live = (): string[] => [...holders].filter(([, { lost }]) => !lost.aborted).map(([id]) => id);
        const serve = async (id: string): Promise<void> => {
          const leadership = await open().campaign(candidate(id), never);
          expect(live()).toEqual([]);
          holders.set(id, leadership);
          order.push(id);
          expect(await open().leader()).toEqual(candidate(id));
          holders.delete(id);
          await leadership.resign();
        };
        await Promise.all(['a', 'b', 'c'].map(serve));
        expect(order.sort()).toEqual(['a', 'b', 'c']);
        expect(await open().leader()).toBeUndefined();
      });

      it('is apart for each cluster', async () => {
        const here = await open().campaign(candidate('a'), never);
        const there = open({ cluster: `${cluster} ../x y` });
        const other = await there.campaign(candidate('b'), never);
        expect(here.lost.aborted || other.lost.aborted).toBe(false);
        expect(await there.leader()).toEqual(candidate('b'));
      });

      it('outlives its ttl while it is renewed, whatever the time of day does (K01)', async () => {
        const noWallClock: Outside = {
          ...realOutside,
          wallMs: () => {
            throw new Error('an election has no use for the time of day');
          },
        };
        const ttlMs = 3_000;
        const leadership = await open({ ttlMs, outside: noWallClock }).campaign(candidate('a'), never);
        const standby = open({ ttlMs, outside: noWallClock }).campaign(candidate('b'), never);
        vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 });
        await outlive(leadership, standby, leadership.ttlMs / 2);
        vi.setSystemTime(Date.now() - 7_200_000);
        await outlive(leadership, standby, leadership.ttlMs * 0.75);
        await leadership.resign();
        expect((await standby).lost.aborted).toBe(false);
      });
    });

    describe('resigning', () => {
      it('may be said again, and lets nobody else go (C09)', async () => {
        const first = await open().campaign(candidate('a'), never);
        await first.resign();
        await first.resign();
        const second = await open().campaign(candidate('a'), never);
        await first.resign();
        expect(await open().leader()).toEqual(candidate('a'));
        expect(second.lost.aborted).toBe(false);
        expect(first.lost.aborted).toBe(false);
      });

      it('or renewing an old term does nothing to a newer one of the same candidate (C09)', async () => {
        const store = setting.store({ cluster, ttlMs: longMs });
        const signal = never;
        const old = store.claim({ id: 'a.1', record: '{"term":"a.1","id":"a","address":"old"}' });
        const newer = store.claim({ id: 'a.2', record: '{"term":"a.2","id":"a","address":"new"}' });
        expect(await old.take(signal)).toBeDefined();
        // What one has already, one may take again: an answer was lost.
        expect(await old.take(signal)).toBeDefined();
        expect(await newer.take(signal)).toBeUndefined();
        await setting.removeLease(cluster);
        expect(await newer.take(signal)).toBeDefined();
        expect(await old.renew(signal)).toBe(false);
        await old.release(signal);
        await old.release(signal);
        expect(await newer.renew(signal)).toBe(true);
        expect(await store.holder(signal)).toContain('a.2');
        await newer.release(signal);
        expect(await store.holder(signal)).toBeUndefined();
        await store.close();
      });

      it('makes the same one wait before it leads again, so that others may (C10)', async () => {
        const first = open();
        const leadership = await first.campaign(candidate('a'), never);
        const other = open().campaign(candidate('b'), never);
        await leadership.resign();
        const giveUp = new AbortController();
        const again = first.campaign(candidate('a'), giveUp.signal);
        expect((await other).lost.aborted).toBe(false);
        giveUp.abort(new Error('enough'));
        await expect(again).rejects.toThrow('enough');
      });
    });

    describe('campaigning', () => {
      it('ends when it is told to, and then no longer stands in the way', async () => {
        const leadership = await open().campaign(candidate('a'), never);
        const giveUp = new AbortController();
        const second = open().campaign(candidate('b'), giveUp.signal);
        giveUp.abort(new Error('enough'));
        await expect(second).rejects.toThrow('enough');
        await expect(open().campaign(candidate('c'), AbortSignal.abort(new Error('never began')))).rejects.toThrow('never began');
        await leadership.resign();
        const third = await open().campaign(candidate('d'), never);
        expect(third.lost.aborted).toBe(false);
      });

      it('ends with the election, which lets go of everything and may be closed twice', async () => {
        const first = open();
        const second = open();
        const leadership = await first.campaign(candidate('a'), never);
        const waiting = second.campaign(candidate('b'), never);
        const third = open().campaign(candidate('c'), never);
        await Promise.all([second.close(), expect(waiting).rejects.toMatchObject({ code: 'SH3012' })]);
        await first.close();
        await Promise.all([first.close(), second.close()]);
        expect(leadership.lost.aborted).toBe(false);
        await expect(first.campaign(candidate('a'), never)).rejects.toMatchObject({ code: 'SH3012' });
        await expect(first.leader()).rejects.toMatchObject({ code: 'SH3012' });
        expect((await third).lost.aborted).toBe(false);
      });
    });

    describe('losing', () => {
      it('follows when the lease is removed by hand', async () => {
        const leadership = await open({ ttlMs: 3 * shortMs }).campaign(candidate('a'), never);
        const standby = open({ ttlMs: 3 * shortMs }).campaign(candidate('b'), never);
        await setting.removeLease(cluster);
        await lost(leadership);
        expect(leadership.lost.reason).toMatchObject({ code: 'SH3013' });
        await leadership.resign();
        await standby;
      });

      it('is known at the deadline, though no timer has had its turn yet (C07, K05)', async () => {
        let aheadMs = 0;
        const jumping: Outside = { ...realOutside, nowMs: () => realOutside.nowMs() + aheadMs };
        const leadership = await open({ outside: jumping }).campaign(candidate('a'), never);
        const standby = open().campaign(candidate('b'), never);
        aheadMs = leadership.ttlMs;
        expect(leadership.lost.aborted).toBe(true);
        expect(leadership.lost.reason).toMatchObject({ code: 'SH3013' });
        await leadership.resign();
        expect((await standby).lost.aborted).toBe(false);
      });
    });

    describe('a process', () => {
      it('that is killed is followed by the next', async () => {
        const first = startProcess('a', shortMs);
        await first.leading();
        const standby = open({ ttlMs: shortMs }).campaign(candidate('b'), never);
        first.kill('SIGKILL');
        await standby;
      });

      it('that was stopped beyond its lease knows that it leads no more before it does anything (C04)', async () => {
        const first = startProcess('a', shortMs);
        await first.leading();
        const standby = open({ ttlMs: shortMs }).campaign(candidate('b'), never);
        first.kill('SIGSTOP');
        await standby;
        first.write('ask');
        first.kill('SIGCONT');
        expect(await first.next()).toBe('lost');
      });

      it('that has resigned and closed has nothing left to do', async () => {
        const first = startProcess('a', longMs);
        await first.leading();
        const standby = open().campaign(candidate('b'), never);
        first.write('resign');
        expect(await first.exitCode).toBe(0);
        expect((await standby).lost.aborted).toBe(false);
      });
    });
  });
}

const never = new AbortController().signal;

function candidate(id: string): Candidate {
  return { id, address: 'hello' };
}

async function lost({ lost }: Leadership): Promise<void> {
  if (!lost.aborted) await once(lost, 'abort');
}

async function outlive(leadership: Leadership, other: Promise<Leadership>, ms: number): Promise<void> {
  const first = await Promise.race([
    new Promise((resolve) => realOutside.after(ms, () => resolve('time has passed'))),
    lost(leadership).then(() => 'it was lost'),
    other.then(() => 'another leads'),
  ]);
  expect(first).toBe('time has passed');
}

const fixture = fileURLToPath(new URL('./candidate.fixture.mjs', import.meta.url));

class CandidateProcess {
  readonly exitCode: Promise<number | null>;
  private readonly child: ChildProcessByStdio<Writable, Readable, null>;
  private readonly lines: AsyncIterator<string>;

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [fixture, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    this.exitCode = once(this.child, 'exit').then(([code]) => code as number | null);
    // It may be gone before it has read.
    this.child.stdin.on('error', () => undefined);
  }

  /** Its next line; undefined when it is gone. */
  async next(): Promise<string | undefined> {
    const { value, done } = await this.lines.next();
    return done ? undefined : value;
  }

  async leading(): Promise<void> {
    expect(await this.next()).toBe('leading');
  }

  write(line: string): void {
    this.child.stdin.write(`${line}\n`);
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async end(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exitCode;
  }
}
