/**
 * What every election must do. An adapter's test hands in how to start a store and gets all of this:
 *
 *   electionSuite('file', 'files', async () => ({ url: `file:${dir}`, store: (options) => fileStore(dir, options), ... }));
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
  store(options: ElectionOptions): LeaseStore | Promise<LeaseStore>;
  /** Takes the lease away as an operator's hand would. */
  removeLease(cluster: string): Promise<void>;
  /** Where it is kept by one. */
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

export function electionSuite(name: string, keptBy: 'files' | 'a server', start: () => Promise<ElectionSetting>): void {
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

    async function open(options: Partial<ElectionOptions> = {}): Promise<Election> {
      const all = { cluster, ttlMs: longMs, ...options };
      const election = leaseElection(await setting.store(all), all);
      elections.push(election);
      return election;
    }

    async function campaign(id: string, options: Partial<ElectionOptions> = {}, signal = never): Promise<Leadership> {
      return (await open(options)).campaign(candidate(id), signal);
    }

    async function leader(): Promise<Candidate | undefined> {
      return (await open()).leader();
    }

    function startProcess(id: string, ttlMs: number): CandidateProcess {
      const child = new CandidateProcess([setting.url, cluster, String(ttlMs), id]);
      processes.push(child);
      return child;
    }

    describe('leading', () => {
      it('goes to one, and tells the others who it is', async () => {
        const first = await open();
        const second = await open();
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
          const leadership = await campaign(id);
          expect(live()).toEqual([]);
          holders.set(id, leadership);
          order.push(id);
          expect(await leader()).toEqual(candidate(id));
          holders.delete(id);
          await leadership.resign();
        };
        await Promise.all(['a', 'b', 'c'].map(serve));
        expect(order.sort()).toEqual(['a', 'b', 'c']);
        expect(await leader()).toBeUndefined();
      });

      it('is apart for each cluster', async () => {
        const here = await campaign('a');
        const there = await open({ cluster: `${cluster} ../x y` });
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
        const leadership = await campaign('a', { ttlMs, outside: noWallClock });
        const standby = campaign('b', { ttlMs, outside: noWallClock });
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
        const first = await campaign('a');
        await first.resign();
        await first.resign();
        const second = await campaign('a');
        await first.resign();
        expect(await leader()).toEqual(candidate('a'));
        expect(second.lost.aborted).toBe(false);
        expect(first.lost.aborted).toBe(false);
      });

      it('or renewing an old term does nothing to a newer one of the same candidate (C09)', async () => {
        const store = await setting.store({ cluster, ttlMs: longMs });
        const signal = (): AbortSignal => new AbortController().signal;
        const old = store.claim({ id: 'a.1', record: '{"term":"a.1","id":"a","address":"old"}' });
        const newer = store.claim({ id: 'a.2', record: '{"term":"a.2","id":"a","address":"new"}' });
        expect(await old.take(signal())).toBeDefined();
        // What one has already, one may take again: an answer was lost.
        expect(await old.take(signal())).toBeDefined();
        expect(await newer.take(signal())).toBeUndefined();
        await setting.removeLease(cluster);
        expect(await newer.take(signal())).toBeDefined();
        expect(await old.renew(signal())).toBe(false);
        await old.release(signal());
        await old.release(signal());
        expect(await newer.renew(signal())).toBe(true);
        expect(await store.holder(signal())).toContain('a.2');
        await newer.release(signal());
        expect(await store.holder(signal())).toBeUndefined();
        await store.close();
      });

      it('makes the same one wait before it leads again, so that others may (C10)', async () => {
        const first = await open();
        const leadership = await first.campaign(candidate('a'), never);
        const other = campaign('b');
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
        const leadership = await campaign('a');
        const giveUp = new AbortController();
        const second = campaign('b', {}, giveUp.signal);
        giveUp.abort(new Error('enough'));
        await expect(second).rejects.toThrow('enough');
        await expect(campaign('c', {}, AbortSignal.abort(new Error('never began')))).rejects.toThrow('never began');
        await leadership.resign();
        const third = await campaign('d');
        expect(third.lost.aborted).toBe(false);
      });

      it('ends with the election, which lets go of everything and may be closed twice', async () => {
        const first = await open();
        const second = await open();
        const leadership = await first.campaign(candidate('a'), never);
        const waiting = second.campaign(candidate('b'), never);
        const third = campaign('c');
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
      it('follows when the lease is removed by hand; the same one may lead again later', async () => {
        const election = await open({ ttlMs: shortMs });
        const leadership = await election.campaign(candidate('a'), never);
        const standby = campaign('b', { ttlMs: shortMs });
        await setting.removeLease(cluster);
        await lost(leadership);
        expect(leadership.lost.reason).toMatchObject({ code: 'SH3013' });
        await leadership.resign();
        const second = await standby;
        expect(second.lost.aborted).toBe(false);
        const again = election.campaign(candidate('a'), never);
        await second.resign();
        expect((await again).lost.aborted).toBe(false);
      });

      it('is known at the deadline, though no timer has had its turn yet (C07, K05)', async () => {
        let aheadMs = 0;
        const jumping: Outside = { ...realOutside, nowMs: () => realOutside.nowMs() + aheadMs };
        const leadership = await campaign('a', { outside: jumping });
        const standby = campaign('b');
        aheadMs = leadership.ttlMs;
        expect(leadership.lost.aborted).toBe(true);
        expect(leadership.lost.reason).toMatchObject({ code: 'SH3013' });
        await leadership.resign();
        expect((await standby).lost.aborted).toBe(false);
      });
    });

    // Defined only where there is one: a skip would count as something that should have run.
    if (keptBy === 'a server')
      describe('a server', () => {
        const serverOf = ({ server }: ElectionSetting): NonNullable<ElectionSetting['server']> => server!;

        it('that restarts has a leader again, and one alone (N01)', async () => {
          const server = serverOf(setting);
          const first = await campaign('a', { ttlMs: shortMs });
          const standby = campaign('b', { ttlMs: shortMs });
          await server.restart();
          // Whoever of them leads may let go now, and then the other one does.
          const next = await Promise.race([standby, campaign('c', { ttlMs: shortMs }), first.resign().then(() => standby)]);
          await next.resign();
        });

        it('that stands still ends its leader at the deadline, and nobody leads meanwhile (S10, C07)', async () => {
          const server = serverOf(setting);
          const warnings: string[] = [];
          const ttlMs = shortMs;
          const first = await campaign('a', { ttlMs, onWarning: (line) => warnings.push(line) });
          let isPaused = true;
          const standby = campaign('b', { ttlMs });
          const early = standby.then(() => isPaused);
          try {
            await server.pause();
            await lost(first);
            expect(first.lost.reason).toMatchObject({ code: 'SH3013' });
            await expect((await open({ ttlMs })).leader()).rejects.toMatchObject({ code: 'SH3010' });
          } finally {
            isPaused = false;
            await server.resume();
          }
          expect(await early).toBe(false);
          expect(warnings.length).toBeGreaterThan(0);
        });

        it('that comes late is waited for, and warned of once', async () => {
          const server = serverOf(setting);
          await server.kill();
          const warnings: string[] = [];
          let warned: () => void = () => undefined;
          const isWarned = new Promise<void>((resolve) => (warned = resolve));
          const onWarning = (line: string): void => {
            warnings.push(line);
            warned();
          };
          const first = campaign('a', { ttlMs: shortMs, onWarning });
          const giveUp = new AbortController();
          const other = campaign('b', { ttlMs: shortMs }, giveUp.signal);
          await isWarned;
          giveUp.abort(new Error('enough'));
          await expect(other).rejects.toThrow('enough');
          await server.restart();
          await (await first).resign();
          expect(warnings.filter((line) => line.includes("can't be reached"))).toHaveLength(1);
          expect(warnings.at(-1)).toContain('answers again');
        });
      });

    describe('a process', () => {
      if (keptBy === 'a server')
        it('that closes while its server is away ends all the same', async () => {
          const server = setting.server!;
          const first = startProcess('a', shortMs);
          await first.leading();
          await server.kill();
          first.write('resign');
          expect(await first.exitCode).toBe(0);
          await server.restart();
        });

      it('that is killed is followed by the next', async () => {
        const first = startProcess('a', shortMs);
        await first.leading();
        const standby = campaign('b', { ttlMs: shortMs });
        first.kill('SIGKILL');
        await standby;
      });

      it('that was stopped beyond its lease knows that it leads no more before it does anything (C04)', async () => {
        const first = startProcess('a', shortMs);
        await first.leading();
        const standby = campaign('b', { ttlMs: shortMs });
        first.kill('SIGSTOP');
        await standby;
        first.write('ask');
        first.kill('SIGCONT');
        expect(await first.next()).toBe('lost');
      });

      it('that has resigned and closed has nothing left to do', async () => {
        const first = startProcess('a', longMs);
        await first.leading();
        const standby = campaign('b');
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
