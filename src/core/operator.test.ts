import { describe, expect, it } from 'vitest';
import type { ClusterView, DeadLetter, Explanation, JobPage, LetterPage, QueueInfo, TaskPage, TaskView, WorkerInfo } from './answers.ts';
import { Driver, jobSpec, stage } from './drive.suite.ts';
import { letterPageBytesMax } from './limits.ts';
import { listJobs } from './listing.ts';

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));
const upper = (frames: string[]): string => `<${frames.join('+')}>`;
const cluster = (): Driver => new Driver(1, false);
const explain = (d: Driver, job: string, index?: number, at = 0): Explanation =>
  d.ask({ kind: 'explain', job, ...(index !== undefined && { stage: at, index }) });

describe('lists', () => {
  it('jobs come newest first, a page at a time, by state', () => {
    const d = cluster();
    const ids = Array.from({ length: 5 }, () => d.submit(jobSpec([stage()]), texts(1)));
    d.ask({ kind: 'cancel', job: ids[1], reason: 'enough' });
    const pages: string[][] = [];
    let after: string | undefined;
    do {
      const page: JobPage = d.ask({ kind: 'listJobs', limit: 2, ...(after !== undefined && { after }) });
      pages.push(page.jobs.map(({ job }) => job));
      after = page.next;
    } while (after !== undefined);
    expect(pages.flat()).toEqual(ids.toReversed());
    const cancelled: JobPage = d.ask({ kind: 'listJobs', limit: 10, states: ['cancelled'] });
    expect(cancelled.jobs.map(({ job }) => job)).toEqual([ids[1]]);
  });

  it('pages go on although the job that the last one ended with is gone, and whatever order jobs were opened in', () => {
    const d = cluster();
    const ids = Array.from({ length: 9 }, () => d.submit(jobSpec([stage()]), texts(1)));
    // A leader whose clock is behind gives smaller ids to newer jobs.
    const turned = { ...d.state, jobs: new Map([...d.state.jobs].reverse()) };
    const first = listJobs(turned, { kind: 'listJobs', request: 1, limit: 2 });
    expect(first.jobs.map(({ job }) => job)).toEqual([ids[8], ids[7]]);
    expect(d.ask({ kind: 'listJobs', limit: 2 })).toEqual(first);
    d.ask({ kind: 'deleteJob', job: ids[7] });
    const second: JobPage = d.ask({ kind: 'listJobs', limit: 2, after: first.next });
    expect(second.jobs.map(({ job }) => job)).toEqual([ids[6], ids[5]]);
    const last: JobPage = d.ask({ kind: 'listJobs', limit: 2, after: ids[2] });
    expect(last.jobs.map(({ job }) => job)).toEqual([ids[1], ids[0]]);
    expect(last.next).toBeUndefined();
  });

  it('a page of tasks says that there are more only if there are, and goes on at no place that is none', () => {
    const d = cluster();
    d.hello('w1', { slots: 4 });
    const job = d.submit(jobSpec([stage(undefined, { failuresMax: { count: 9 } })]), texts(6));
    for (const index of [1, 4]) {
      const assigned = d.assigned.find(({ ranges }) => ranges[0]! <= index && index < ranges[0]! + ranges[1]!)!;
      d.fail(assigned, index, 'dead');
    }
    const first: TaskPage = d.ask({ kind: 'listTasks', job, states: ['dead'], limit: 1 });
    expect(first).toMatchObject({ tasks: [{ index: 1 }], next: '0/1' });
    const second: TaskPage = d.ask({ kind: 'listTasks', job, states: ['dead'], limit: 1, after: first.next });
    expect(second.tasks).toMatchObject([{ index: 4 }]);
    expect(second.next).toBeUndefined();
    for (const after of ['-1/0', '0/-7', '1.5/0', 'x', '', '0/0/0']) {
      expect(() => d.ask({ kind: 'listTasks', job, limit: 1, after })).toThrow('there is no task');
    }
    expect(d.ask<TaskPage>({ kind: 'listTasks', job, limit: 1, after: '7/0' }).tasks).toEqual([]);
  });

  it('tasks come in order over all stages, by state, each with its story', () => {
    const d = cluster();
    d.hello();
    const job = d.submit(jobSpec([stage(undefined, { failuresMax: { count: 5 } }), stage({ kind: 'each', from: 0 })]), texts(4));
    d.fail(d.assigned[0]!, 0, 'dead', 'broken');
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page: TaskPage = d.ask({ kind: 'listTasks', job, limit: 3, ...(after !== undefined && { after }) });
      seen.push(...page.tasks.map(({ stage: s, index, state }) => `${s}/${index} ${state}`));
      after = page.next;
    } while (after !== undefined);
    expect(seen).toEqual([
      '0/0 dead',
      '0/1 running',
      '0/2 running',
      '0/3 running',
      '1/0 skipped',
      '1/1 waiting',
      '1/2 waiting',
      '1/3 waiting',
    ]);
    const dead: TaskPage = d.ask({ kind: 'listTasks', job, limit: 10, states: ['dead'] });
    expect(dead.tasks).toMatchObject([{ id: `${job}/0/0`, task: 'inputs', worker: 'w1', failure: { error: { message: 'broken' } } }]);
    const task: TaskView = d.ask({ kind: 'getTask', job, stage: 0, index: 0 });
    expect(task.history).toMatchObject([{ attempt: 1, worker: 'w1', error: { message: 'broken' } }]);
    expect(() => d.ask({ kind: 'getTask', job, stage: 7, index: 0 })).toThrow('no task');
    expect(() => d.ask({ kind: 'getTask', job: 'nobody', stage: 0, index: 0 })).toThrow('there is no job');
  });

  it('workers with what they said of themselves; one that is asked to drain gets nothing more, and is asked again', () => {
    const d = cluster();
    d.hello('w1');
    const memory = { bytes: 1, bytesMax: 10 };
    d.worker({ kind: 'beat', number: 1, term: 1, lastSerial: 0, load: 0, count: 0, hash: 0, memory });
    d.nowMs += 500;
    expect(d.ask<WorkerInfo[]>({ kind: 'listWorkers' })).toMatchObject([
      { worker: 'w1', status: 'live', slots: 2, memory, heardAgoMs: 500 },
    ]);
    d.ask({ kind: 'drainWorker', worker: 'w1' });
    const drains = (): number => d.sent.filter(({ message }) => message.kind === 'drain').length;
    expect(drains()).toBe(1);
    d.submit(jobSpec([stage()]), texts(1));
    expect(d.assigned).toEqual([]);
    d.worker({ kind: 'beat', number: 2, term: 1, lastSerial: 0, load: 0, count: 0, hash: 0 });
    expect(drains()).toBe(2);
    d.hello('w1', { slots: 0 });
    expect(d.ask<WorkerInfo[]>({ kind: 'listWorkers' })).toMatchObject([{ status: 'draining' }]);
    expect(() => d.ask({ kind: 'drainWorker', worker: 'w9' })).toThrow('no worker w9');
  });

  it('a worker that was asked to drain and comes back without having heard is asked again; one that is silent is not asked', () => {
    const d = cluster();
    d.hello('w1');
    d.ask({ kind: 'drainWorker', worker: 'w1' });
    d.hello('w1');
    expect(d.ask<WorkerInfo[]>({ kind: 'listWorkers' })).toMatchObject([{ status: 'draining' }]);
    d.sent = [];
    d.worker({ kind: 'beat', number: 1, term: 1, lastSerial: 0, load: 0, count: 0, hash: 0 });
    expect(d.sent.map(({ message }) => message.kind)).toContain('drain');
    d.hello('w1', { incarnation: 'i2' });
    expect(d.ask<WorkerInfo[]>({ kind: 'listWorkers' })).toMatchObject([{ status: 'live' }]);
    d.takeOver();
    expect(() => d.ask({ kind: 'drainWorker', worker: 'w1' })).toThrow('not been heard of');
  });

  it('of many workers that left, the last ones are listed', () => {
    const d = cluster();
    for (let i = 0; i < 130; i++) {
      d.hello(`w${i}`);
      d.nowMs += 1;
      if (i > 0) d.worker({ kind: 'goodbye' }, `w${i}`);
    }
    const listed = d.ask<WorkerInfo[]>({ kind: 'listWorkers' });
    expect(listed.map(({ worker }) => worker)).toEqual(['w0', ...Array.from({ length: 100 }, (_, i) => `w${i + 30}`)]);
    expect(listed[1]).toMatchObject({ status: 'left', why: 'goodbye' });
  });

  it('queues with their workers and tasks', () => {
    const d = cluster();
    d.hello('w1', { queues: ['gpu'] });
    d.submit(jobSpec([stage(undefined, { queue: 'slow' })]), texts(3));
    d.ask({ kind: 'setQueue', queue: 'slow', paused: true });
    const queues: QueueInfo[] = d.ask({ kind: 'listQueues' });
    expect(queues).toMatchObject([
      { queue: 'default', workers: 0, ready: 0 },
      { queue: 'gpu', workers: 1 },
      { queue: 'slow', paused: true, workers: 0, jobs: 1, ready: 3 },
    ]);
  });
});

describe('why a job waits', () => {
  const cases: [string, (d: Driver) => string, RegExp, RegExp | undefined][] = [
    ['no worker', (d) => d.submit(jobSpec([stage()]), texts(1)), /there is no worker/, /shoal worker .*--tasks FILE$/],
    [
      'no worker for a bundle',
      (d) => {
        d.ask({ kind: 'putBundle', hash: 'abc', name: 'p', body: [] });
        return d.submit(jobSpec([stage(undefined, { definition: { name: 'inputs', bundle: 'abc' } })]), texts(1));
      },
      /there is no worker/,
      /shoal worker .*--allow-bundles$/,
    ],
    [
      'nobody has the code of what a run has left',
      (d) => {
        d.hello('w1', { code: { kind: 'named', names: [], bundles: true } });
        return d.submit(jobSpec([stage()], { key: 'run:1:inputs:0' }), texts(1));
      },
      /no worker has the code/,
      /run it again, or shoal jobs cancel/,
    ],
    [
      'its queue is paused',
      (d) => {
        d.hello();
        d.ask({ kind: 'setQueue', queue: 'default', paused: true });
        return d.submit(jobSpec([stage()]), texts(1));
      },
      /queue "default" is paused/,
      /shoal queues resume default/,
    ],
    [
      'nobody serves its queue',
      (d) => {
        d.hello();
        return d.submit(jobSpec([stage(undefined, { queue: 'gpu' })]), texts(1));
      },
      /no worker serves the queue "gpu"/,
      /--queues gpu/,
    ],
    [
      'nobody has the code',
      (d) => {
        d.hello('w1', { code: { kind: 'named', names: [], bundles: true } });
        return d.submit(jobSpec([stage()]), texts(1));
      },
      /no worker has the code of "inputs"/,
      /--tasks/,
    ],
    [
      'nobody takes bundles',
      (d) => {
        d.hello('w1', { code: { kind: 'named', names: ['inputs'], bundles: false } });
        d.ask({ kind: 'putBundle', hash: 'abc', name: 'p', body: [] });
        return d.submit(jobSpec([stage(undefined, { definition: { name: 'inputs', bundle: 'abc' } })]), texts(1));
      },
      /no worker accepts bundles/,
      /--allow-bundles/,
    ],
    [
      'nobody has the resources',
      (d) => {
        d.hello('w1', { resources: { cpu: 2, memory: 1e9, gpu: 1 } });
        return d.submit(jobSpec([stage(undefined, { resources: { gpu: 4 } })]), texts(1));
      },
      /4 gpu \(the best worker has 1\)/,
      /--resource/,
    ],
    ['its time has not come', (d) => d.submit(jobSpec([stage()], { delayMs: 60_000 }), texts(1)), /start time has not come/, undefined],
    ['its inputs are not there', (d) => d.submit(jobSpec([stage()]), undefined), /waiting for inputs/, undefined],
    [
      'more urgent ones go first',
      (d) => {
        d.hello('w1', { slots: 1 });
        d.submit(jobSpec([stage()], { priority: 10, name: 'urgent' }), texts(50));
        return d.submit(jobSpec([stage()]), texts(1));
      },
      /higher priority go first: urgent/,
      /more workers/,
    ],
  ];
  it.each(cases)('%s', (_why, arrange, what, advice) => {
    const d = cluster();
    const job = arrange(d);
    const { summary, reasons } = explain(d, job);
    expect(reasons[0]!.what).toMatch(what);
    if (advice) expect(reasons[0]!.try).toMatch(advice);
    expect(summary).toContain(reasons[0]!.what);
    expect(d.view(job).waiting).toBe(reasons[0]!.what);
  });

  it('and what becomes of it: running, backing off, failed with its story, succeeded', () => {
    const d = cluster();
    d.hello();
    const retry = { retries: 1, backoff: 'fixed' as const, delayMs: 30_000, delayMsMax: 30_000, jitter: false };
    const job = d.submit(jobSpec([stage(undefined, { retry })]), texts(1));
    expect(explain(d, job).summary).toContain('is running');
    expect(explain(d, job, 0).reasons[0]!.what).toMatch(/attempt 1 is with w1/);
    d.fail(d.take(), 0, 'retry', 'flaky');
    expect(explain(d, job, 0).reasons[0]!.what).toMatch(/attempt 2 starts in \d+ s; the last one failed on w1: flaky/);
    expect(d.ask<TaskView>({ kind: 'getTask', job, stage: 0, index: 0 }).notBeforeWallMs).toBeGreaterThan(d.wallMs);
    expect(explain(d, job).reasons[0]!.what).toMatch(/next attempt/);
    d.passWithBeats(31_000, ['w1']);
    d.fail(d.take(), 0, 'retry', 'broken');
    const failed = explain(d, job);
    expect(failed.summary).toMatch(/has failed: inputs\[0\] failed for good after 2 attempts, last on w1: broken/);
    expect(failed.reasons.map((reason) => reason.try).join()).toContain(`shoal dlq replay ${job}`);
    expect(explain(d, job, 0).state).toBe('dead');
    const good = d.submit(jobSpec([stage()]), texts(1));
    d.work(upper);
    expect(explain(d, good).summary).toContain('has succeeded');
    expect(explain(d, good, 0).reasons[0]!.what).toMatch(/gave its result on w1/);
  });

  it('a task waits for what it needs', () => {
    const d = cluster();
    d.hello();
    const job = d.submit(jobSpec([stage(), stage({ kind: 'each', from: 0 })]), texts(2));
    expect(explain(d, job, 1, 1).reasons[0]!.what).toBe('it needs the result of inputs[1], which is running');
  });
});

describe('status', () => {
  it('counts, and names what a person should look at', () => {
    const d = cluster();
    d.hello('w1', { slots: 3 });
    d.worker({ kind: 'beat', number: 1, term: 1, lastSerial: 0, load: 0, count: 0, hash: 0, memory: { bytes: 95, bytesMax: 100 } });
    d.submit(jobSpec([stage(undefined, { queue: 'nobody' })]), texts(2));
    d.submit(jobSpec([stage(undefined, { failuresMax: { count: 9 } })]), texts(1));
    d.fail(d.take(), 0, 'dead');
    const view: ClusterView = d.ask({ kind: 'status' });
    expect(view).toMatchObject({ term: 1, workers: { live: 1, slots: 3 }, jobs: { succeeded: 1 }, tasks: { ready: 2 } });
    const problems = view.problems.map(({ what }) => what).join('\n');
    for (const part of ['no worker serves the queue "nobody"', '95 % of its memory', '1 dead letter']) expect(problems).toContain(part);
    expect(view.problems.every((problem) => problem.try !== undefined)).toBe(true);
  });

  it('many jobs with one cause are one problem', () => {
    const d = cluster();
    const ids = Array.from({ length: 5 }, () => d.submit(jobSpec([stage()], { name: 'render' }), texts(1)));
    const names = ids.slice(0, 3).map((id) => `render (${id})`);
    const { problems }: ClusterView = d.ask({ kind: 'status' });
    expect(problems.map(({ what }) => what)).toEqual([`${names.join(', ')} and 2 more can't go on: there is no worker`]);
  });

  it('names queues that are paused with work in them, once', () => {
    const d = cluster();
    d.hello();
    for (const queue of ['default', 'empty']) d.ask({ kind: 'setQueue', queue, paused: true });
    for (let i = 0; i < 2; i++) d.submit(jobSpec([stage()]), texts(2));
    const { problems }: ClusterView = d.ask({ kind: 'status' });
    expect(problems).toEqual([{ what: 'the queue "default" is paused with 4 tasks in it', try: 'shoal queues resume default' }]);
  });

  it('tells of messages that nobody of the cluster has signed, for ten minutes', () => {
    const d = cluster();
    d.turn([{ from: 'self', event: 'tick', refusedCount: 3 }]);
    const whats = (): string[] => d.ask<ClusterView>({ kind: 'status' }).problems.map(({ what }) => what);
    expect(whats()).toEqual(['3 messages were refused: not signed with the secret of this cluster']);
    d.nowMs += 600_000;
    d.turn([{ from: 'self', event: 'tick', refusedCount: 3 }]);
    expect(whats()).toEqual([]);
  });

  it('is fine when there is nothing', () => {
    const view: ClusterView = cluster().ask({ kind: 'status' });
    expect(view.problems).toEqual([]);
  });
});

describe('dead letters', () => {
  it('are listed over all jobs, with their stories; those purged are neither listed nor replayed, also for the next leader', () => {
    const d = cluster();
    d.hello();
    const jobs = [0, 1].map(() => d.submit(jobSpec([stage(undefined, { failuresMax: { count: 9 } })]), texts(2)));
    for (const assigned of d.assigned.splice(0))
      for (let i = 0; i < assigned.lengths.length; i++) d.fail(assigned, assigned.ranges[0]! + i, 'dead', 'no');
    const all = (): DeadLetter[] => d.ask<LetterPage>({ kind: 'deadLetters' }).letters;
    expect(all().map(({ job, index }) => [job, index])).toEqual([
      [jobs[0], 0],
      [jobs[0], 1],
      [jobs[1], 0],
      [jobs[1], 1],
    ]);
    const { letters, next } = d.ask<LetterPage>({ kind: 'deadLetters', limit: 3 });
    expect(letters).toEqual(all().slice(0, 3));
    expect(d.ask<LetterPage>({ kind: 'deadLetters', limit: 3, after: next })).toEqual({ letters: all().slice(3) });
    expect(d.ask({ kind: 'purge', job: jobs[0], stage: 0, index: 1 })).toMatchObject({ purged: 1 });
    expect(d.ask({ kind: 'purge', job: jobs[0], stage: 0, index: 1 })).toMatchObject({ purged: 0 });
    d.takeOver();
    expect(all()).toHaveLength(3);
    expect(d.ask({ kind: 'replay', job: jobs[0] })).toMatchObject({ replayed: 1 });
    expect(() => d.ask({ kind: 'deadLetters', job: 'nobody' })).toThrow('there is no job');
  });

  it('are purged by job, stage or task; what was dropped leaves none', () => {
    const d = cluster();
    d.hello('w1', { slots: 4 });
    const many = { failuresMax: { count: 9 } };
    const [kept, dropped] = [many, { ...many, onFailure: 'drop' as const }].map((options) => {
      const job = d.submit(jobSpec([stage(undefined, options)]), texts(3));
      for (const assigned of d.assigned.splice(0))
        for (let i = 0; i < assigned.lengths.length; i++) d.fail(assigned, assigned.ranges[0]! + i, 'dead', 'no');
      return job;
    });
    expect(d.ask({ kind: 'purge', job: dropped })).toMatchObject({ purged: 0 });
    expect(d.ask({ kind: 'purge', job: kept, stage: 1 })).toMatchObject({ purged: 0 });
    expect(d.ask({ kind: 'purge', job: kept, stage: 0, index: 99 })).toMatchObject({ purged: 0 });
    expect(d.ask({ kind: 'purge', job: kept, stage: 0, index: 2 })).toMatchObject({ purged: 1 });
    expect(d.ask<ClusterView>({ kind: 'status' }).problems).toMatchObject([{ what: '2 dead letters wait' }]);
    expect(d.ask({ kind: 'replay', job: kept, stage: 0, index: 2 })).toMatchObject({ replayed: 0 });
    expect(d.ask({ kind: 'purge', job: kept })).toMatchObject({ purged: 2 });
    expect(d.ask<ClusterView>({ kind: 'status' }).problems).toEqual([]);
    expect(d.ask({ kind: 'deadLetters' })).toEqual({ letters: [] });
  });

  it('come a page at a time, and a page is small where their stories are long', () => {
    const d = cluster();
    d.hello('w1', { slots: 8 });
    const jobs = [0, 1].map(() => d.submit(jobSpec([stage(undefined, { failuresMax: { count: 99 } })]), texts(5)));
    const long = 'x'.repeat(letterPageBytesMax / 3);
    for (const assigned of d.assigned.splice(0))
      for (let i = 0; i < assigned.lengths.length; i++) d.fail(assigned, assigned.ranges[0]! + i, 'dead', long);
    const pages: string[][] = [];
    for (let after: string | undefined; ; ) {
      const page: LetterPage = d.ask({ kind: 'deadLetters', ...(after !== undefined && { after }) });
      pages.push(page.letters.map(({ job, stage: at, index }) => `${job}/${at}/${index}`));
      after = page.next;
      if (after === undefined) break;
    }
    expect(pages.map((page) => page.length)).toEqual([3, 3, 3, 1]);
    expect(pages.flat()).toEqual(jobs.flatMap((job) => [0, 1, 2, 3, 4].map((index) => `${job}/0/${index}`)));
    // What a page ended with may be gone when the next is asked for.
    d.ask({ kind: 'purge', job: jobs[0], stage: 0, index: 2 });
    d.client({ kind: 'deleteJob', request: 0, job: jobs[0]! });
    expect(d.ask<LetterPage>({ kind: 'deadLetters', limit: 1, after: pages[0]!.at(-1) }).letters).toMatchObject([
      { job: jobs[1], index: 0 },
    ]);
    expect(() => d.ask({ kind: 'deadLetters', after: 'nonsense' })).toThrow('there is no task nonsense');
  });
});
